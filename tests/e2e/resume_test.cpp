// A job survives whatever ends it: kill -9, signals, a full disk. After --resume every row is there once, with the
// bytes of an uninterrupted run (but for `timing`).
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <random>
#include <thread>

#include "e2e/program.h"

namespace kvgauge::testing {
namespace {

constexpr int kRows = 24;

// A job of a few seconds: greedy, f32, bit-identical whatever shares a batch.
struct Job {
  TempDir dir;
  std::string in = (dir.path() / "in.jsonl").string(), out = (dir.path() / "out.jsonl").string();
  explicit Job(int rows = kRows) { write_file(in, questions(rows)); }
  std::vector<std::string> run(const std::vector<std::string>& more = {}, bool resume = true) const {
    std::vector<std::string> arguments = {
        "run",          "--input", in,    "--output",          out,         "--think", "on",      "--max-tokens", "60",
        "--ignore-eos", "--dtype", "f32", "--batch-invariant", "--threads", "2",       "--quiet", "--max-batch",  "4"};
    if (resume) arguments.push_back("--resume");
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
  void expect_rows_of(const std::vector<OrderedJson>& want) const {
    const auto rows = rows_in(out);
    ASSERT_EQ(rows.size(), want.size());
    for (std::size_t i = 0; i < rows.size(); ++i)
      ASSERT_EQ(without_timing(rows[i]), without_timing(want[i])) << "row " << i;
  }
};

const std::vector<OrderedJson>& uninterrupted() {
  static const std::vector<OrderedJson> rows = [] {
    const Job job;
    const Outcome outcome = kvgauge(job.run({}, false));
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    return rows_in(job.out);
  }();
  return rows;
}

void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

// Waits until the job has written something; false if it takes longer than a minute.
bool wait_for_bytes(const std::string& path, std::uintmax_t bytes) {
  std::error_code ignored;
  for (int i = 0; i < 6000; ++i, sleep_ms(10))
    if (std::filesystem::exists(path) && std::filesystem::file_size(path, ignored) >= bytes) return true;
  return false;
}

TEST(Resume, KilledAtRandomMomentsEveryRowIsThereOnce) {
  std::mt19937_64 random(test_seed(20260122));
  const auto& want = uninterrupted();
  ASSERT_EQ(want.size(), static_cast<std::size_t>(kRows));
  for (const bool unordered : {false, true}) {
    const Job job;
    const std::vector<std::string> more =
        unordered ? std::vector<std::string>{"--unordered"} : std::vector<std::string>{};
    for (int kills = 0; kills < 10; ++kills) {
      Program program(job.run(more));
      sleep_ms(static_cast<int>(random() % 300));
      program.signal(SIGKILL);
      program.wait();
    }
    const Outcome last = kvgauge(job.run());
    ASSERT_EQ(last.exit, 0) << last.err;
    job.expect_rows_of(want);
    const OrderedJson manifest = parse_ordered_json(read_file(job.out + ".manifest.json"), "manifest");
    EXPECT_EQ(manifest["totals"]["rows"], kRows);
    EXPECT_TRUE(manifest["finished"].is_string());
  }
}

TEST(Resume, ASignalEndsTheJobWith130AndItGoesOn) {
  for (const int number : {SIGINT, SIGTERM}) {
    const Job job;
    Program program(job.run({}, false));
    ASSERT_TRUE(wait_for_bytes(job.out, 1));
    program.signal(number);
    const Outcome outcome = program.wait();
    EXPECT_EQ(outcome.exit, 130);
    const auto part = rows_in(job.out);
    EXPECT_LT(part.size(), static_cast<std::size_t>(kRows)) << "the job was to be long enough to be interrupted";
    ASSERT_EQ(kvgauge(job.run()).exit, 0);
    job.expect_rows_of(uninterrupted());
  }
}

TEST(Resume, AFinishedJobIsDoneAtOnce) {
  const Job job(3);
  ASSERT_EQ(kvgauge(job.run()).exit, 0);
  const std::string bytes = read_file(job.out);
  ASSERT_EQ(kvgauge(job.run()).exit, 0);
  EXPECT_EQ(read_file(job.out), bytes) << "not even timing changes";
}

TEST(Resume, OtherSettingsAreRefusedByName) {
  const Job job(2);
  ASSERT_EQ(kvgauge(job.run()).exit, 0);
  const Outcome sampled = kvgauge(job.run({"--temperature", "0.5", "--top-k", "7"}));
  EXPECT_EQ(sampled.exit, 2);
  EXPECT_NE(sampled.err.find("--temperature (0.0 then, 0.5 now)"), std::string::npos) << sampled.err;
  EXPECT_NE(sampled.err.find("--top-k (0 then, 7 now)"), std::string::npos) << sampled.err;
  const Outcome harmless = kvgauge(job.run({"--limit", "1", "--unordered"}));
  EXPECT_EQ(harmless.exit, 0) << harmless.err;
  write_file(job.in, questions(3));
  const Outcome changed = kvgauge(job.run());
  EXPECT_EQ(changed.exit, 2);
  EXPECT_NE(changed.err.find("the content of --input"), std::string::npos) << changed.err;
}

TEST(Resume, AnotherModelIsRefused) {
  const Job job(2);
  ASSERT_EQ(kvgauge(job.run()).exit, 0);
  const std::string copy = (job.dir.path() / "model").string();
  std::filesystem::copy(repo_path("models/tiny-reasoner"), copy, std::filesystem::copy_options::recursive);
  EXPECT_EQ(kvgauge(job.run({"--model", copy})).exit, 0) << "the same content elsewhere is the same model";
  std::string weights = read_file(copy + "/model.safetensors");
  weights[weights.size() / 2] ^= 1;
  write_file(copy + "/model.safetensors", weights);
  const Outcome outcome = kvgauge(job.run({"--model", copy}));
  EXPECT_EQ(outcome.exit, 2);
  EXPECT_NE(outcome.err.find("the content of --model"), std::string::npos) << outcome.err;
}

TEST(Resume, TwoWritersAreRefused) {
  const Job job;
  const Program first(job.run({}, false));
  ASSERT_TRUE(wait_for_bytes(job.out, 1));
  const Outcome second = kvgauge(job.run());
  EXPECT_EQ(second.exit, 4);
  EXPECT_NE(second.err.find("another kvgauge"), std::string::npos) << second.err;
}

TEST(Resume, AFullDiskLosesNothingThatWasWritten) {
  const Job job;
  // The file may grow to a third of what the job needs: the write that goes beyond fails as on a full disk.
  std::size_t bytes = 0;
  for (const OrderedJson& row : uninterrupted()) bytes += row.dump().size() + 1;
  const Outcome full = Program(job.run({}, false), "", static_cast<long>(bytes / 3)).wait();
  EXPECT_EQ(full.exit, 4);
  EXPECT_NE(full.err.find("--resume"), std::string::npos) << full.err;
  const auto part = rows_in(job.out);
  EXPECT_GT(part.size(), 3u);
  EXPECT_LT(part.size(), static_cast<std::size_t>(kRows));
  ASSERT_EQ(kvgauge(job.run()).exit, 0);
  job.expect_rows_of(uninterrupted());
}

TEST(Resume, RetryFailedRunsFailedRowsAgain) {
  const Job job(3);
  ASSERT_EQ(kvgauge(job.run()).exit, 0);
  auto rows = rows_in(job.out);
  const auto want = rows;
  rows[1] = {{"id", "q1"}, {"index", 1}, {"finish_reason", "error"}, {"error", "the machine was out of memory"}};
  std::string text;
  for (const OrderedJson& row : rows) text += row.dump() + "\n";
  write_file(job.out, text);
  EXPECT_EQ(kvgauge(job.run()).exit, 1) << "without --retry-failed the failed row stays";
  ASSERT_EQ(kvgauge(job.run({"--retry-failed"})).exit, 0);
  job.expect_rows_of(want);
}

}  // namespace
}  // namespace kvgauge::testing
