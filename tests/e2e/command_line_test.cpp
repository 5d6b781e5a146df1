// Every refusal: its exit code, and one line that names the flag, the value and what was needed.
#include <gtest/gtest.h>

#include "e2e/program.h"

namespace kvgauge::testing {
namespace {

void expect_refusal(const std::vector<std::string>& arguments, int exit, const std::string& part) {
  const Outcome outcome = kvgauge(arguments);
  EXPECT_EQ(outcome.exit, exit) << outcome.err;
  EXPECT_NE(outcome.err.find(part), std::string::npos) << "found: " << outcome.err << "needed: " << part;
  EXPECT_EQ(outcome.err.rfind("kvgauge: ", 0), 0u) << outcome.err;
  EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << "one line was needed: " << outcome.err;
  EXPECT_EQ(outcome.out, "");
}

struct Job {
  TempDir dir;
  std::string in = (dir.path() / "in.jsonl").string(), out = (dir.path() / "out.jsonl").string();
  Job() { write_file(in, questions(2)); }
  std::vector<std::string> run(std::vector<std::string> more) const {
    std::vector<std::string> arguments = {"run", "--input", in, "--output", out};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  }
};

TEST(CommandLine, HelpListsTheVerbsAndEachHasExamples) {
  const Outcome help = kvgauge({"--help"});
  EXPECT_EQ(help.exit, 0);
  std::size_t last = 0;
  for (const char* const verb :
       {"  run ", "  score ", "  grade ", "  evaluate ", "  embed ", "  classify ", "  inspect ", "  tokenize "}) {
    const std::size_t at = help.out.find(verb);
    ASSERT_NE(at, std::string::npos) << verb << help.out;
    EXPECT_GT(at, last) << "in the order in which a newcomer meets them: " << verb;
    last = at;
  }
  for (const char* const verb : {"run", "score", "grade", "evaluate", "embed", "classify", "inspect", "tokenize"}) {
    const Outcome page = kvgauge({verb, "--help"});
    EXPECT_EQ(page.exit, 0);
    EXPECT_NE(page.out.find("Examples:"), std::string::npos) << verb;
  }
}

TEST(CommandLine, VersionTellsTheBuildAndTheMachine) {
  const Outcome version = kvgauge({"--version"});
  EXPECT_EQ(version.exit, 0);
  for (const char* const part : {"kvgauge 0.", "commit ", "build: ", "devices: ", "cpu: "})
    EXPECT_NE(version.out.find(part), std::string::npos) << version.out;
}

TEST(CommandLine, UnknownVerbsAndFlagsAreRefusedWithAGuess) {
  expect_refusal({}, 2, "no verb");
  expect_refusal({"rnu"}, 2, "did you mean run?");
  expect_refusal({"serve"}, 2, "found 'serve'");
  expect_refusal({"bench"}, 2, "no benchmark was named");
  expect_refusal({"bench", "latncy"}, 2, "did you mean latency?");
  expect_refusal({"bench", "kernels", "--shape", "gpt-5"}, 2, "--shape: found 'gpt-5'");
  expect_refusal({"bench", "kernels", "--batch", "0"}, 2, "--batch");
  expect_refusal({"--modle", "x"}, 2, "--modle");
  const Job job;
  expect_refusal(job.run({"--max-token", "5"}), 2, "did you mean --max-tokens?");
  expect_refusal(job.run({"extra"}), 2, "found 'extra'");
  expect_refusal(job.run({"--select", "x"}), 2, "--select");
}

TEST(CommandLine, ValuesAreCheckedBeforeTheModelIsLoaded) {
  const Job job;
  // A model that does not exist would be exit 3: the value is refused first.
  const auto refuse = [&](const std::string& flag, const std::string& value, const std::string& part) {
    SCOPED_TRACE(flag + " " + value);
    expect_refusal(job.run({flag, value, "--model", "/nonexistent"}), 2, part);
  };
  refuse("--max-tokens", "0", "--max-tokens: found '0', a whole number of at least");
  refuse("--max-tokens", "ten", "--max-tokens: found 'ten'");
  refuse("--temperature", "-1", "--temperature: found '-1'");
  refuse("--temperature", "nan", "--temperature: found 'nan'");
  refuse("--top-p", "1.5", "--top-p: found '1.5', a number from 0 to 1");
  refuse("--n", "0", "--n: found '0'");
  refuse("--seed", "-1", "--seed");
  refuse("--threads", "0", "--threads");
  refuse("--kv-memory", "lots", "--kv-memory: found 'lots', a size such as 4GiB");
  refuse("--dtype", "int8", "--dtype: found 'int8', one of auto, bf16, f32");
  refuse("--think", "maybe", "--think: found 'maybe', one of template, on, off");
  refuse("--span", "answer", "--span");
  refuse("--part", "q", "--part");
  refuse("--scores", "kv-coe,magic", "--scores: found 'magic'");
  refuse("--scores", "difficulty", "'difficulty' is not in this version");
  refuse("--stop", "", "--stop");
  refuse("--device", "tpu", "--device: found 'tpu'");
  refuse("--log-level", "loud", "--log-level");
}

TEST(CommandLine, CombinationsAreChecked) {
  const Job job;
  expect_refusal({"run"}, 2, "--input: not given");
  expect_refusal(job.run({"--retry-failed"}), 2, "--retry-failed");
  expect_refusal(job.run({"--scores", "prob", "--trajectory"}), 2, "--trajectory");
  expect_refusal(job.run({"--scores", "none", "--span", "all"}), 2, "--span");
  expect_refusal(job.run({"--no-chat", "--think", "on"}), 2, "--think");
  expect_refusal({"run", "--input", "-", "--output", job.out, "--resume"}, 2, "--resume: stdin");
  expect_refusal({"run", "--input", job.in, "--resume"}, 2, "--resume: standard output");
  expect_refusal({"run", "--input", job.in, "--output", job.in}, 2, "is the --input");
  expect_refusal({"score", "--input", job.in, "--scores", "none"}, 2, "--scores");
  expect_refusal({"evaluate", "--input", job.in, "--format", "pdf"}, 2, "--format: found 'pdf'");
  expect_refusal({"grade", "--input", job.in}, 2, "--dataset: not given");
  expect_refusal({"grade", "--input", job.in, "--dataset", "mmlu"}, 2, "'mmlu', one of gsm8k, math");
  expect_refusal({"grade", "--input", job.in, "--dataset", "math", "--strict"}, 2, "--strict: --dataset math");
  expect_refusal({"grade", "--input", job.in, "--dataset", "gsm8k", "--tolerance", "0.1"}, 2, "--tolerance: ");
  expect_refusal({"grade", "--input", job.in, "--dataset", "theoremqa", "--tolerance", "-1"}, 2, "--tolerance");
  expect_refusal({"tokenize", "--text", "x", "--input", job.in}, 2, "--input");
}

TEST(CommandLine, DevicesThatAreNotInThisBuildAreRefused) {
  const Job job;
  const std::string devices = kvgauge({"--version"}).out;  // has the line "devices: auto|cpu|..."
  if (devices.find("|cuda|") == std::string::npos) {
    for (const char* const device : {"cuda", "cuda:1"})
      expect_refusal(job.run({"--device", device}), 4, "this build has no CUDA back end");
  }
  if (devices.find("|emulated") == std::string::npos)
    expect_refusal(job.run({"--device", "emulated"}), 4, "this build has no emulated device");
  for (const char* const device : {"gpu", "cuda:", "cuda:x", "cuda:-1"})
    expect_refusal(job.run({"--device", device}), 2, "--device: found");
}

TEST(CommandLine, MissingOrBadFilesAreInputErrors) {
  const Job job;
  expect_refusal({"run", "--input", "/nonexistent.jsonl"}, 3, "/nonexistent.jsonl");
  expect_refusal(job.run({"--model", "/nonexistent"}), 3, "/nonexistent");
  expect_refusal({"run", "--input", job.dir.path().string()}, 3, "directory");
  expect_refusal({"inspect", job.in}, 3, "");
  expect_refusal({"evaluate", "--input", job.in}, 3, "'correct'");
  EXPECT_FALSE(std::filesystem::exists(job.out)) << "a job that never began leaves no output";
}

TEST(CommandLine, OutputThatCannotBeOpenedIsExit4) {
  const Job job;
  expect_refusal({"run", "--input", job.in, "--output", "/nonexistent/out.jsonl"}, 4, "/nonexistent/out.jsonl");
}

TEST(CommandLine, AnOutputWithRowsIsNotOverwritten) {
  const Job job;
  write_file(job.out, "{\"index\":0}\n");
  expect_refusal(job.run({}), 2, "--resume");
  EXPECT_EQ(read_file(job.out), "{\"index\":0}\n");
}

}  // namespace
}  // namespace kvgauge::testing
