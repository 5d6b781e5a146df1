// `kvgauge embed`: the formats read back, rows that fail, refusals, resume.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>

#include "core/cat.h"
#include "e2e/program.h"
#include "loader/npy.h"
#include "loader/safetensors.h"

namespace kvgauge::testing {
namespace {

struct Job {
  TempDir dir;
  std::string in = path("in.jsonl");
  explicit Job(int rows = 6) { write_file(in, questions(rows)); }
  std::string path(const std::string& name) const { return (dir.path() / name).string(); }
  Outcome embed(const std::string& out, std::vector<std::string> more = {}) const {
    std::vector<std::string> arguments = {"embed", "--input",           in,          "--output", path(out), "--dtype",
                                          "f32",   "--batch-invariant", "--threads", "2",        "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return kvgauge(arguments);
  }
};

NpyMatrix read_npy(const std::string& path) {
  const std::string bytes = read_file(path);
  return parse_npy(std::as_bytes(std::span(bytes)), path);
}

void expect_same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  ASSERT_EQ(a.size(), b.size());
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0);
}

TEST(Embed, ThreeFormatsHaveTheSameNumbers) {
  const Job job;
  for (const char* const out : {"e.jsonl", "e.npy", "e.safetensors"}) {
    const Outcome outcome = job.embed(out, {"--max-batch", out[2] == 'n' ? "2" : "5", "--normalize"});
    ASSERT_EQ(outcome.exit, 0) << outcome.err;
  }
  const auto rows = rows_in(job.path("e.jsonl"));
  ASSERT_EQ(rows.size(), 6u);
  std::vector<float> values;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i]["id"], cat("q", i));
    EXPECT_EQ(rows[i]["index"], i);
    EXPECT_TRUE(rows[i]["error"].is_null());
    EXPECT_TRUE(rows[i]["answer"].is_string()) << "carried through";
    EXPECT_FALSE(rows[i].contains("finish_reason"));
    EXPECT_GT(rows[i]["usage"]["prompt_tokens"], 5);
    double squares = 0;
    for (const float x : rows[i]["embedding"].get<std::vector<float>>()) {
      values.push_back(x);
      squares += static_cast<double>(x) * static_cast<double>(x);
    }
    EXPECT_NEAR(squares, 1, 1e-5);
  }
  const NpyMatrix npy = read_npy(job.path("e.npy"));
  EXPECT_EQ(npy.rows, 6);
  EXPECT_EQ(npy.columns, 2 * 32);  // K and V, heads averaged
  expect_same_bits(npy.values, values);
  const std::string file = read_file(job.path("e.safetensors"));
  const auto tensors = parse_safetensors(std::as_bytes(std::span(file)), "e.safetensors");
  ASSERT_EQ(tensors.size(), 1u);
  EXPECT_EQ(tensors[0].name, "embeddings");
  EXPECT_EQ(tensors[0].rows, 6);
  std::vector<float> stored(values.size());
  ASSERT_EQ(tensors[0].data.size(), stored.size() * sizeof(float));
  std::memcpy(stored.data(), tensors[0].data.data(), tensors[0].data.size());
  expect_same_bits(stored, values);
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  const Json metadata = parse_json(file.substr(8, length), "header")["__metadata__"];
  EXPECT_EQ(Json::parse(metadata["ids"].get<std::string>()), Json::array({"q0", "q1", "q2", "q3", "q4", "q5"}));
  EXPECT_EQ(metadata["failed"], "[]");
  EXPECT_EQ(Json::parse(metadata["settings"].get<std::string>())["layers"], "last4");
  for (const char* const out : {"e.jsonl", "e.npy", "e.safetensors"}) {
    const Json manifest = parse_json(read_file(job.path(out) + ".manifest.json"), "manifest");
    EXPECT_EQ(manifest["verb"], "embed");
    EXPECT_EQ(manifest["totals"]["rows"], 6);
    EXPECT_TRUE(manifest["finished"].is_string());
    EXPECT_FALSE(manifest["model"]["hash"].get<std::string>().empty());
  }
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(job.dir.path()), {}), 7) << "nothing else is left behind";
}

TEST(Embed, ShapesFollowTheOptions) {
  const Job job(2);
  const auto columns = [&](const std::vector<std::string>& more) {
    const Outcome outcome = job.embed("s.npy", more);
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    const std::int64_t found = outcome.exit == 0 ? read_npy(job.path("s.npy")).columns : -1;
    std::filesystem::remove(job.path("s.npy"));
    return found;
  };
  EXPECT_EQ(columns({"--part", "v"}), 32);
  EXPECT_EQ(columns({"--part", "k", "--heads", "flatten"}), 64);
  EXPECT_EQ(columns({"--layers", "0,2-4", "--across-layers", "flatten", "--heads", "flatten"}), 4 * 2 * 2 * 32);
  EXPECT_EQ(columns({"--layers", "all", "--across-layers", "flatten", "--part", "v", "--pos", "last"}), 6 * 32);
}

TEST(Embed, RowsMayBeStringsAndMayFail) {
  const Job job;
  write_file(job.in,
             "\"a bare text\"\n{\"text\":\"\",\"id\":\"empty\"}\nnot json\n{\"id\":\"p\",\"prompt\":\"a bare "
             "text\",\"label\":3}\n"
             "{\"colour\":1}\n{\"text\":\"own\",\"body\":\"a bare text\"}\n");
  const Outcome rows_outcome = job.embed("e.jsonl");
  EXPECT_EQ(rows_outcome.exit, 1) << rows_outcome.err;
  const auto rows = rows_in(job.path("e.jsonl"));
  ASSERT_EQ(rows.size(), 6u);
  EXPECT_EQ(rows[0]["id"], "1");
  EXPECT_EQ(rows[0]["embedding"], rows[3]["embedding"]);
  EXPECT_EQ(rows[3]["label"], 3);
  EXPECT_NE(rows[1]["error"].get<std::string>().find("at least one token"), std::string::npos);
  EXPECT_NE(rows[2]["error"].get<std::string>().find("in.jsonl:3"), std::string::npos);
  EXPECT_NE(rows[4]["error"].get<std::string>().find("one of text, prompt"), std::string::npos);
  EXPECT_NE(rows[5]["embedding"], rows[0]["embedding"]);
  EXPECT_EQ(job.embed("e.npy").exit, 1);
  const NpyMatrix npy = read_npy(job.path("e.npy"));
  ASSERT_EQ(npy.rows, 6);
  for (std::size_t i = 0; i < npy.values.size(); ++i) {
    const std::size_t row = i / static_cast<std::size_t>(npy.columns);
    EXPECT_EQ(std::isnan(npy.values[i]), row == 1 || row == 2 || row == 4) << "row " << row;
  }
  EXPECT_EQ(job.embed("f.jsonl", {"--text-field", "body"}).exit, 1);
  const auto by_field = rows_in(job.path("f.jsonl"));
  EXPECT_EQ(by_field[5]["embedding"], rows[0]["embedding"]);
  EXPECT_NE(by_field[3]["error"].get<std::string>().find("no 'body'"), std::string::npos);
  // A first row that fails, before the width is known; and nothing but failures.
  write_file(job.in, "{}\n\"text\"\n{}\n");
  EXPECT_EQ(job.embed("g.npy").exit, 1);
  EXPECT_EQ(read_npy(job.path("g.npy")).rows, 3);
  write_file(job.in, "{}\n{}\n");
  EXPECT_EQ(job.embed("h.npy").exit, 1);
  EXPECT_EQ(read_npy(job.path("h.npy")).rows, 2);
  EXPECT_EQ(read_npy(job.path("h.npy")).columns, 0);
}

TEST(Embed, LongTextsAreCutAndCounted) {
  const Job job(4);
  const Outcome outcome = job.embed("e.jsonl", {"--max-length", "9"});
  EXPECT_EQ(outcome.exit, 0) << outcome.err;
  for (const OrderedJson& row : rows_in(job.path("e.jsonl"))) {
    EXPECT_EQ(row["usage"]["prompt_tokens"], 9);
    EXPECT_EQ(row["truncated"], true);
  }
  EXPECT_EQ(parse_json(read_file(job.path("e.jsonl.manifest.json")), "manifest")["totals"]["truncated"], 4);
  const Outcome told = kvgauge({"embed", "--input", job.in, "--max-model-len", "9", "--threads", "2"});
  EXPECT_EQ(told.exit, 0);
  EXPECT_NE(told.err.find("4 texts were longer"), std::string::npos) << told.err;
  EXPECT_EQ(rows_of(told.out).size(), 4u);
}

// The embedding of an answer, in the run and afterwards; over the prompt it is that of the same text.
TEST(Embed, AnswersMayBeEmbeddedToo) {
  const Job job(3);
  const std::vector<std::string> common = {"--dtype", "f32",     "--batch-invariant", "--threads", "2",
                                           "--quiet", "--embed", "--embed-layers",    "all",       "--embed-normalize",
                                           "--span"};
  const auto rows = [&](const std::string& verb, const std::string& in, const std::string& out, const std::string& span,
                        const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {verb, "--input", in, "--output", job.path(out)};
    arguments.insert(arguments.end(), common.begin(), common.end());
    arguments.push_back(span);
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = kvgauge(arguments);
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    return rows_in(job.path(out));
  };
  const auto answers = rows("run", job.in, "a.jsonl", "response",
                            {"--think", "off", "--output-ids", "--max-tokens", "12", "--scores", "none"});
  const auto scored = rows("score", job.path("a.jsonl"), "s.jsonl", "response", {"--scores", "none"});
  ASSERT_EQ(answers.size(), 3u);
  ASSERT_EQ(scored.size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(answers[i]["embedding"].size(), 64u);
    EXPECT_FALSE(answers[i].contains("scores"));
    EXPECT_EQ(answers[i]["embedding"], scored[i]["embedding"]);
  }
  const auto plain = rows("run", job.in, "p.jsonl", "prompt", {"--no-chat", "--max-tokens", "1"});
  ASSERT_EQ(job.embed("e.jsonl", {"--layers", "all", "--normalize"}).exit, 0);
  const auto texts = rows_in(job.path("e.jsonl"));
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(plain[i]["embedding"], texts[i]["embedding"]);
  const auto short_answers = rows("run", job.in, "t.jsonl", "response", {"--max-tokens", "1"});
  EXPECT_TRUE(short_answers[0]["embedding"].is_null()) << "one token: nothing of it entered the cache";
  const Outcome idle = kvgauge({"run", "--input", job.in, "--embed-part", "v"});
  EXPECT_EQ(idle.exit, 2);
  EXPECT_NE(idle.err.find("--embed-part: --embed is off"), std::string::npos) << idle.err;
}

TEST(Embed, RefusalsNameTheFlag) {
  const Job job(2);
  const auto refuse = [&](const std::string& out, const std::vector<std::string>& more, int exit,
                          const std::string& part) {
    const Outcome outcome = job.embed(out, more);
    EXPECT_EQ(outcome.exit, exit) << part;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
    EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(job.path(out)));
  };
  refuse("e.npz", {}, 2, "--output: found");
  for (const char* const out : {"e.npy", "e.safetensors"}) {
    refuse(out, {"--resume"}, 2, "--resume: ");
    refuse(out, {"--unordered"}, 2, "--unordered: ");
    refuse(out, {"--carry", "x"}, 2, "--carry: ");
  }
  refuse("e.npy", {"--layers", "3,2"}, 2, "--layers: found '3,2'");
  refuse("e.npy", {"--layers", "last5"}, 2, "--layers: found 'last5'");
  refuse("e.npy", {"--layers", "2-9"}, 2, "--layers: layer 9 was asked for, the model has 0 to 5");
  refuse("e.npy", {"--part", "kvv"}, 2, "--part: found 'kvv'");
  refuse("e.npy", {"--pos", "middle"}, 2, "--pos");
  refuse("e.npy", {"--seed", "1"}, 2, "--seed");
  refuse("e.npy", {"--max-length", "100000"}, 2, "--max-length: 100000");
  refuse("e.npy", {"--model", "/nonexistent"}, 3, "/nonexistent");
  write_file(job.path("there.npy"), "something");
  EXPECT_EQ(job.embed("there.npy").exit, 2);
  EXPECT_EQ(read_file(job.path("there.npy")), "something");
  EXPECT_EQ(kvgauge({"embed", "--input", job.path("none.jsonl")}).exit, 3);
  EXPECT_EQ(kvgauge({"embed"}).exit, 2);
  EXPECT_EQ(job.embed("no/such/folder/e.npy").exit, 4);
}

TEST(Embed, AJobThatIsKilledGoesOnOrLeavesNothing) {
  const Job job(60);
  const std::vector<std::string> slow = {"--max-batch", "1", "--no-prefix-cache"};
  ASSERT_EQ(job.embed("whole.jsonl", slow).exit, 0);
  const auto want = rows_in(job.path("whole.jsonl"));
  for (const char* const out : {"k.jsonl", "k.npy"}) {
    for (int kills = 0; kills < 3; ++kills) {
      std::vector<std::string> arguments = {
          "embed", "--input",           job.in,      "--output", job.path(out), "--dtype",
          "f32",   "--batch-invariant", "--threads", "2",        "--quiet",     "--max-batch",
          "1",     "--no-prefix-cache"};
      if (std::string(out) == "k.jsonl") arguments.push_back("--resume");
      Program program(arguments);
      std::this_thread::sleep_for(std::chrono::milliseconds(150 + 100 * kills));
      program.signal(SIGKILL);
      program.wait();
      if (std::string(out) == "k.npy" && std::filesystem::exists(job.path(out))) std::filesystem::remove(job.path(out));
    }
  }
  std::vector<std::string> resume = slow;
  resume.push_back("--resume");
  ASSERT_EQ(job.embed("k.jsonl", resume).exit, 0);
  const auto rows = rows_in(job.path("k.jsonl"));
  ASSERT_EQ(rows.size(), want.size());
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(without_timing(rows[i]), without_timing(want[i]));
  ASSERT_EQ(job.embed("k.npy", slow).exit, 0);
  EXPECT_EQ(read_npy(job.path("k.npy")).rows, 60);
  for (const auto& entry : std::filesystem::directory_iterator(job.dir.path()))
    EXPECT_EQ(entry.path().string().find("npy."), entry.path().string().find("npy.manifest.json")) << entry.path();
  const Outcome other = job.embed("k.jsonl", {"--resume", "--part", "v"});
  EXPECT_EQ(other.exit, 2);
  EXPECT_NE(other.err.find("--part (\"kv\" then, \"v\" now)"), std::string::npos) << other.err;
}

}  // namespace
}  // namespace kvgauge::testing
