#include "report/job_output.h"

#include <gtest/gtest.h>

#include "core/cat.h"
#include "kvgauge/error.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

using testing::read_file;
using testing::TempDir;
using testing::write_file;

Manifest manifest(double temperature = 0) {
  Manifest m;
  m.verb = "run";
  m.input_sha256 = "i";
  m.model_hash = "h";
  m.settings["temperature"] = temperature;
  m.settings["stop"] = std::vector<std::string>{"a"};
  return m;
}

OrderedJson row(std::int64_t index, bool failed = false) {
  return {{"id", cat("r", index)},
          {"index", index},
          {"usage", {{"completion_tokens", 2}}},
          {"error", failed ? OrderedJson("bad") : OrderedJson()}};
}

std::string lines(std::initializer_list<std::int64_t> indices) {
  std::string text;
  for (const std::int64_t index : indices) text += to_line(row(index)) + "\n";
  return text;
}

struct Files {
  TempDir dir;
  std::string out = (dir.path() / "out.jsonl").string();
  JobOutput open(bool resume, const Manifest& m = manifest(), bool retry = false) const {
    return JobOutput({.path = out, .resume = resume, .retry_failed = retry}, m);
  }
};

template <class Exception, class Run>
std::string message_of(Run run) {
  try {
    run();
  } catch (const Exception& error) {
    return error.what();
  }
  return "no exception";
}

TEST(JobOutput, AFreshStartWritesRowsAndTotals) {
  const Files files;
  JobOutput output = files.open(false);
  output.write(row(0));
  output.write(row(1, true));
  output.finish(true);
  EXPECT_TRUE(output.done(1));
  EXPECT_FALSE(output.done(2));
  EXPECT_EQ(output.totals().rows, 2);
  EXPECT_EQ(output.totals().failed, 1);
  EXPECT_EQ(output.totals().completion_tokens, 4);
}

TEST(JobOutput, LeavesNoTraceOfAJobThatNeverBegan) {
  const Files files;
  { const JobOutput output = files.open(false); }
  EXPECT_FALSE(std::filesystem::exists(files.out));
}

TEST(JobOutput, RowsAreNotOverwritten) {
  const Files files;
  write_file(files.out, lines({0}));
  EXPECT_NE(message_of<UsageError>([&] { files.open(false); }).find("--resume"), std::string::npos);
  EXPECT_EQ(read_file(files.out), lines({0}));
  EXPECT_NE(message_of<UsageError>([&] { files.open(true); }).find("manifest.json"), std::string::npos);
}

TEST(JobOutput, ResumeRefusesOtherSettingsAndNamesThem) {
  const Files files;
  write_manifest(files.out, manifest());
  write_file(files.out, lines({0}));
  Manifest other = manifest(0.7);
  other.input_sha256 = "j";
  other.settings["stop"] = std::vector<std::string>();
  const std::string message = message_of<UsageError>([&] { files.open(true, other); });
  EXPECT_NE(message.find("--temperature (0.0 then, 0.7 now)"), std::string::npos) << message;
  EXPECT_NE(message.find("--stop"), std::string::npos) << message;
  EXPECT_NE(message.find("--input"), std::string::npos) << message;
  EXPECT_EQ(message.find("--model"), std::string::npos) << message;
  other = manifest();
  other.model_hash = "g";
  EXPECT_NE(message_of<UsageError>([&] { files.open(true, other); }).find("--model"), std::string::npos);
  other.model_hash.clear();
  JobOutput output = files.open(true, other);
  other.model_hash = "g";
  EXPECT_THROW(output.check_settings(other), UsageError) << "once the model is open";
}

TEST(JobOutput, ResumeCutsATornLineAtEveryByte) {
  const Files files;
  write_manifest(files.out, manifest());
  const std::string all = lines({0, 1, 2});
  for (std::size_t cut = 1; cut <= all.size(); ++cut) {
    write_file(files.out, all.substr(0, cut));
    JobOutput output = files.open(true);
    for (std::int64_t index = 0; index < 3; ++index)
      if (!output.done(index)) output.write(row(index));
    output.finish(true);
    ASSERT_EQ(read_file(files.out), all) << "cut after " << cut << " bytes";
  }
}

TEST(JobOutput, RowsOutOfOrderAreSortedAtTheEnd) {
  const Files files;
  write_manifest(files.out, manifest());
  write_file(files.out, lines({2, 0}));
  {
    JobOutput output = files.open(true);
    output.write(row(3));
    output.write(row(1));
    output.finish(false);
    EXPECT_EQ(read_file(files.out), lines({2, 0, 3, 1}));
  }
  JobOutput output = files.open(true);
  output.finish(true);
  EXPECT_EQ(read_file(files.out), lines({0, 1, 2, 3}));
  EXPECT_FALSE(std::filesystem::exists(files.out + ".tmp"));
}

TEST(JobOutput, RetryFailedTakesFailedRowsOutAndKeepsTheRest) {
  const Files files;
  write_manifest(files.out, manifest());
  const std::string failed = to_line(row(1, true)) + "\n";
  write_file(files.out, lines({0}) + failed + lines({2}));
  {
    JobOutput output = files.open(true);
    EXPECT_TRUE(output.done(1)) << "without --retry-failed a failed row is done";
  }
  JobOutput output = files.open(true, manifest(), true);
  EXPECT_FALSE(output.done(1));
  EXPECT_EQ(read_file(files.out), lines({0}) + failed + lines({2})) << "nothing changes before the job begins";
  output.write(row(1));
  EXPECT_EQ(read_file(files.out), lines({0, 2, 1}));
  output.finish(true);
  EXPECT_EQ(read_file(files.out), lines({0, 1, 2}));
  EXPECT_EQ(output.totals().failed, 0);
}

TEST(JobOutput, OneWriterAtATime) {
  const Files files;
  JobOutput first = files.open(false);
  EXPECT_NE(message_of<OutputError>([&] { files.open(true); }).find("another kvgauge"), std::string::npos);
}

TEST(JobOutput, AFileOfOthersIsNotTouched) {
  const Files files;
  write_manifest(files.out, manifest());
  for (const std::string& text : {std::string("hello\nworld\n{}\n"), std::string("{\"a\":1}\n"), lines({0, 1, 0})}) {
    write_file(files.out, text);
    EXPECT_THROW(files.open(true), FormatError);
    EXPECT_EQ(read_file(files.out), text);
  }
}

TEST(JobOutput, DevicesAreOnlyWrittenTo) {
  JobOutput null({.path = "/dev/null"}, manifest());
  EXPECT_FALSE(null.is_regular());
  null.write(row(0));
  null.finish(true);
  EXPECT_THROW(JobOutput({.path = "/dev/null", .resume = true}, manifest()), UsageError);
  JobOutput full({.path = "/dev/full"}, manifest());
  EXPECT_THROW(full.write(row(0)), OutputError);
  EXPECT_THROW(JobOutput({.path = "/nonexistent/x"}, manifest()), OutputError);
}

TEST(Manifest, RoundTripsThroughItsFile) {
  const Files files;
  EXPECT_FALSE(read_manifest(files.out));
  Manifest m = manifest(0.1);
  m.totals.add({.index = 0, .failed = true, .prompt_tokens = 3});
  write_manifest(files.out, m);
  EXPECT_TRUE(differences(*read_manifest(files.out), m).empty());
  write_file(manifest_path(files.out), "[]");
  EXPECT_THROW(read_manifest(files.out), FormatError);
}

TEST(InspectInput, CountsLinesAndHashesBytes) {
  const TempDir dir;
  const std::string path = (dir.path() / "in").string();
  write_file(path, "a\nb");
  const InputFacts facts = inspect_input(path);
  EXPECT_EQ(facts.lines, 2);
  // printf 'a\nb' | sha256sum
  EXPECT_EQ(facts.sha256, "7e18f737311b2dc3b2f269dd78396b0351f14fb66efa879f768cb23181883c78");
  write_file(path, "");
  EXPECT_EQ(inspect_input(path).lines, 0);
}

}  // namespace
}  // namespace kvgauge
