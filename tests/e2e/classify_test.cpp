// `kvgauge classify`: texts through the model, embeddings made before, baselines, refusals.
#include <gtest/gtest.h>

#include "core/cat.h"
#include "e2e/program.h"

namespace kvgauge::testing {
namespace {

struct Files {
  TempDir dir;
  std::string train = path("train.jsonl"), test = path("test.jsonl");
  std::string path(const std::string& name) const { return (dir.path() / name).string(); }
  Files() {
    write_file(train, questions(150, 0));
    write_file(test, questions(40, 200));
  }
  Outcome classify(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"classify", "--train", train, "--test", test, "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return kvgauge(arguments);
  }
  Json json(std::vector<std::string> more) const {
    more.insert(more.end(), {"--format", "json"});
    const Outcome outcome = classify(more);
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    return outcome.exit == 0 ? parse_json(outcome.out, "report") : Json();
  }
};

const std::vector<std::string> kSmall = {"--label-field", "small"};

std::vector<std::string> with(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(Classify, FromTextsFromRowsAndFromMatricesIsTheSame) {
  const Files files;
  const std::vector<std::string> exact = {"--dtype", "f32", "--batch-invariant", "--threads", "2"};
  const Json texts =
      files.json(with(with(kSmall, exact), {"--part", "v", "--center", "--normalize", "--baseline", "bow,majority"}));
  ASSERT_EQ(texts["results"].size(), 3u);
  EXPECT_EQ(texts["train_rows"], 150);
  EXPECT_EQ(texts["labels"][0]["name"], "false");
  EXPECT_EQ(texts["results"][0]["name"], "KV cache: v, layers last4, centred, normalised");
  ASSERT_EQ(texts["results"][0]["experiments"].size(), 10u);
  for (const Json& experiment : texts["results"][0]["experiments"]) {
    EXPECT_EQ(experiment["train_rows"], 16);
    EXPECT_EQ(experiment["features"], 32);
    EXPECT_EQ(experiment["converged"], true);
    EXPECT_TRUE(experiment["ap"].is_number());
  }
  EXPECT_GT(texts["results"][0]["mean"]["accuracy"], 0.5);
  for (const char* const name : {"train", "test"})
    for (const char* const kind : {"jsonl", "npy"}) {
      std::vector<std::string> embed = {
          "embed", "--input", files.path(cat(name, ".jsonl")), "--output", files.path(cat(name, "-e.", kind)), "--part",
          "v",     "--quiet"};
      embed.insert(embed.end(), exact.begin(), exact.end());
      if (std::string(kind) == "jsonl") embed.insert(embed.end(), {"--carry", "small"});
      ASSERT_EQ(kvgauge(embed).exit, 0);
    }
  const Json matrices =
      files.json(with(kSmall, {"--center", "--normalize", "--train-embeddings", files.path("train-e.npy"),
                               "--test-embeddings", files.path("test-e.npy")}));
  EXPECT_EQ(matrices["results"][0]["experiments"], texts["results"][0]["experiments"]);
  const Outcome rows =
      kvgauge({"classify", "--train", files.path("train-e.jsonl"), "--test", files.path("test-e.jsonl"),
               "--label-field", "small", "--center", "--normalize", "--format", "json"});
  ASSERT_EQ(rows.exit, 0) << rows.err;
  EXPECT_EQ(parse_json(rows.out, "report")["results"][0]["experiments"], texts["results"][0]["experiments"]);
}

// One pass of the model that keeps layers and parts apart gives what a pass for each choice gives.
TEST(Classify, AGridIsThePassesOneByOne) {
  const Files files;
  const std::vector<std::string> exact = {"--dtype", "f32", "--batch-invariant", "--threads", "2", "--quiet"};
  for (const char* const name : {"train", "test"}) {
    std::vector<std::string> embed = {"embed",
                                      "--input",
                                      files.path(cat(name, ".jsonl")),
                                      "--output",
                                      files.path(cat(name, ".npy")),
                                      "--layers",
                                      "all",
                                      "--across-layers",
                                      "flatten"};
    ASSERT_EQ(kvgauge(with(embed, exact)).exit, 0);
  }
  const std::vector<std::string> grid = with(
      kSmall, {"--train-embeddings", files.path("train.npy"), "--test-embeddings", files.path("test.npy"), "--grid"});
  const Json report = files.json(with(grid, {"6"}));
  ASSERT_EQ(report["results"].size(), 18u);
  const Json one = files.json(with(with(kSmall, exact), {"--part", "k", "--center", "--normalize"}));
  bool seen = false;
  for (const Json& result : report["results"]) {
    if (result["name"] != "k, layers last4, centred, normalised") continue;
    seen = true;
    EXPECT_NEAR(result["mean"]["accuracy"].get<double>(), one["results"][0]["mean"]["accuracy"].get<double>(), 0.01);
  }
  EXPECT_TRUE(seen);
  EXPECT_NE(files.classify(with(grid, {"5"})).err.find("--grid: "), std::string::npos);
  EXPECT_EQ(files.classify(with(grid, {"6", "--center"})).exit, 2);
  EXPECT_EQ(files.classify(with(kSmall, {"--grid", "6"})).exit, 2);
}

TEST(Classify, BaselinesNeedNoModelAndAReportReads) {
  const Files files;
  const Outcome report = files.classify({"--label-field", "answer", "--label-pattern", "^\\d+([-+*/])",
                                         "--baselines-only", "--baseline", "bow,length,majority"});
  ASSERT_EQ(report.exit, 0) << report.err;
  for (const char* const part : {"4 labels, 150 train rows, 40 test rows", "| bag of words |", "| majority |", "| * |",
                                 "Accuracy of each experiment"})
    EXPECT_NE(report.out.find(part), std::string::npos) << part << report.out;
  const Json all = files.json({"--label-field", "steps", "--baselines-only", "--baseline", "bow", "--all"});
  ASSERT_EQ(all["results"][0]["experiments"].size(), 1u);
  EXPECT_EQ(all["results"][0]["experiments"][0]["train_rows"], 150);
  EXPECT_TRUE(all["results"][0]["sd"]["accuracy"].is_null());
  EXPECT_EQ(all["labels"][1]["name"], "2");
  EXPECT_EQ(all["labels"].back()["name"], "12") << "as numbers, not as text";
}

TEST(Classify, RefusalsNameTheFlagOrTheLine) {
  const Files files;
  const auto refuse = [&](const std::vector<std::string>& more, int exit, const std::string& part) {
    const Outcome outcome = files.classify(more);
    EXPECT_EQ(outcome.exit, exit) << part << outcome.err;
    EXPECT_NE(outcome.err.find(part), std::string::npos) << outcome.err;
    EXPECT_EQ(outcome.err.find('\n'), outcome.err.size() - 1) << outcome.err;
    EXPECT_EQ(outcome.out, "");
  };
  refuse({}, 3, "train.jsonl:1: no 'label' in it");
  refuse({"--label-field", "steps", "--text-field", "colour"}, 3, "no 'colour'");
  refuse({"--label-field", "question", "--label-pattern", "zzz"}, 3, "--label-pattern finds nothing");
  refuse({"--label-pattern", "("}, 2, "--label-pattern: found '('");
  refuse({"--label-field", "answer", "--label-pattern", "()"}, 2, "1 different label(s)");
  refuse({"--baseline", "bow,svm"}, 2, "--baseline: found 'svm'");
  refuse({"--baselines-only"}, 2, "--baselines-only: no baseline");
  refuse(with(kSmall, {"--baselines-only", "--baseline", "bow", "--part", "v"}), 2, "--part: ");
  refuse(with(kSmall, {"--baselines-only", "--baseline", "bow", "--center"}), 2, "--center: ");
  refuse(with(kSmall, {"--all", "--experiments", "3"}), 2, "--experiments: ");
  refuse(with(kSmall, {"--train-embeddings", "x.npy"}), 2, "--train-embeddings: it goes with");
  refuse(with(kSmall, {"--train-embeddings", "/none.npy", "--test-embeddings", "/none.npy"}), 3, "/none.npy");
  refuse(with(kSmall, {"--train-embeddings", files.train, "--test-embeddings", files.train}), 3,
         "does not begin as a .npy");
  refuse(with(kSmall, {"--model", "/nonexistent"}), 3, "/nonexistent");
  refuse(with(kSmall, {"--output", "/no/such/folder/report.md"}), 4, "/no/such/folder");
  EXPECT_EQ(kvgauge({"classify", "--train", files.train}).exit, 2);
  EXPECT_EQ(kvgauge({"classify", "--train", files.train, "--test", files.path("none.jsonl")}).exit, 3);
  write_file(files.test, "{\"question\":\"\",\"small\":true}\n");
  refuse(kSmall, 3, "test.jsonl:1: ");
  write_file(files.test, "");
  refuse(kSmall, 3, "found no row");
}

}  // namespace
}  // namespace kvgauge::testing
