// What was said once is scored the same afterwards: run, then score; grade, then evaluate.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/cat.h"
#include "e2e/program.h"

namespace kvgauge::testing {
namespace {

struct Answered {
  TempDir dir;
  std::string in = (dir.path() / "q.jsonl").string(), answers = (dir.path() / "a.jsonl").string();
  explicit Answered(int rows, std::vector<std::string> more) {
    write_file(in, questions(rows));
    more.insert(more.begin(), {"run", "--input", in, "--output", answers, "--quiet", "--output-ids", "--max-tokens",
                               "150", "--threads", "2"});
    const Outcome outcome = kvgauge(more);
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
  }
  std::vector<OrderedJson> scored(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"score", "--input", answers, "--quiet", "--threads", "2"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = kvgauge(arguments);
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    return rows_of(outcome.out);
  }
};

// Every number of two score objects within a relative tolerance; texts and nulls equal.
void expect_near(const OrderedJson& a, const OrderedJson& b, double tolerance, const std::string& path) {
  ASSERT_EQ(a.type() == OrderedJson::value_t::null, b.type() == OrderedJson::value_t::null) << path;
  if (a.is_object()) {
    ASSERT_EQ(a.size(), b.size()) << path;
    for (const auto& member : a.items())
      expect_near(member.value(), b.at(member.key()), tolerance, path + "." + member.key());
  } else if (a.is_number_float()) {
    const double x = a.get<double>(), y = b.get<double>();
    // Differences of nearly equal terms (R = mean m - mean a) keep the absolute error of their terms, which are of
    // order one.
    EXPECT_NEAR(x, y, tolerance * std::max({std::abs(x), std::abs(y), path.ends_with(".r") ? 1.0 : 1e-3})) << path;
  } else {
    EXPECT_EQ(a, b) << path;
  }
}

TEST(Score, AgreesWithRunInF32) {
  for (const char* const think : {"on", "off"}) {
    const Answered answered(10, {"--dtype", "f32", "--think", think});
    const auto rows = rows_in(answered.answers), scored = answered.scored({"--dtype", "f32"});
    ASSERT_EQ(rows.size(), scored.size());
    int compared = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const OrderedJson& gauge = rows[i]["scores"]["kv_coe"];
      EXPECT_EQ(scored[i]["usage"]["completion_tokens"], rows[i]["usage"]["completion_tokens"]);
      EXPECT_EQ(scored[i]["finish_reason"], rows[i]["finish_reason"]);
      if (gauge["end_dr"].get<double>() <= 1e-3 || gauge["end_dtheta"].get<double>() <= 1e-3) continue;
      ++compared;
      expect_near(rows[i]["scores"], scored[i]["scores"], 1e-4, cat("row ", i));
    }
    EXPECT_GT(compared, 5);
  }
}

TEST(Score, IsBitEqualToRunWhenBatchInvariant) {
  for (const char* const dtype : {"f32", "auto"}) {
    const Answered answered(10, {"--batch-invariant", "--dtype", dtype, "--think", "on"});
    const auto rows = rows_in(answered.answers),
               scored = answered.scored({"--batch-invariant", "--dtype", dtype, "--max-batch", "3"});
    ASSERT_EQ(rows.size(), scored.size());
    for (std::size_t i = 0; i < rows.size(); ++i)
      EXPECT_EQ(rows[i]["scores"], scored[i]["scores"]) << "row " << i << ", " << dtype;
  }
}

TEST(Score, TextPairsGetTheEndOfTurn) {
  // The embedded model ends every answer with <|im_end|>: text alone gives the tokens that were sampled.
  const Answered answered(3, {"--dtype", "f32", "--think", "off"});
  const auto rows = rows_in(answered.answers);
  std::string pairs;
  for (const OrderedJson& row : rows) {
    const OrderedJson question = rows_of(questions(1, row["index"].get<int>())).at(0);
    OrderedJson pair = OrderedJson::object();
    pair["prompt"] = question["question"];
    pair["response"] = row["text"];
    pairs += pair.dump() + "\n";
  }
  const Outcome outcome =
      kvgauge({"score", "--input", "-", "--think", "off", "--quiet", "--output-ids", "--dtype", "f32"},
              pairs + "{\"prompt\":\"no response\"}\n");
  EXPECT_EQ(outcome.exit, 1);
  const auto scored = rows_of(outcome.out);
  ASSERT_EQ(scored.size(), 4u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(scored[i]["prompt_ids"], rows[i]["prompt_ids"]);
    EXPECT_EQ(scored[i]["output_ids"], rows[i]["output_ids"]);
  }
  EXPECT_NE(scored[3]["error"].get<std::string>().find("no response"), std::string::npos);
}

TEST(GradeAndEvaluate, FindTheAccuracyAndAnAurocForEveryScore) {
  const Answered answered(40, {"--think", "off"});
  const std::string graded = (answered.dir.path() / "g.jsonl").string();
  const Outcome grade = kvgauge({"grade", "--dataset", "gsm8k", "--input", answered.answers, "--output", graded});
  ASSERT_EQ(grade.exit, 0) << grade.err;
  EXPECT_NE(grade.err.find("accuracy"), std::string::npos);
  std::int64_t correct = 0;
  for (const OrderedJson& row : rows_in(graded)) {
    ASSERT_TRUE(row["correct"].is_boolean());
    EXPECT_TRUE(row["paper_correct"].is_boolean());
    EXPECT_TRUE(row["gold"].is_string());
    EXPECT_TRUE(row.contains("scores")) << "all fields pass through";
    correct += row["correct"].get<bool>();
  }
  const Outcome outcome = kvgauge({"evaluate", "--input", graded, "--format", "json"});
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  const OrderedJson evaluation = parse_ordered_json(outcome.out, "evaluation");
  EXPECT_EQ(evaluation["rows"], 40);
  EXPECT_EQ(evaluation["correct"], correct);
  bool found = false;
  for (const OrderedJson& score : evaluation["scores"]) {
    EXPECT_TRUE(score.contains("auroc") && score.contains("fpr95") && score.contains("auroc_ci95")) << score.dump();
    found = found || score["name"] == "kv_coe.normalized.c";
  }
  EXPECT_TRUE(found);
  EXPECT_NE(kvgauge({"evaluate", "--input", graded}).out.find("kv_coe.normalized.c"), std::string::npos)
      << "a table on stdout";
  EXPECT_EQ(kvgauge({"evaluate", "--input", graded, "--score", "kv_coe.nothing"}).exit, 2);
}

TEST(GradeAndEvaluate, EveryFormatOfTheReport) {
  const Answered answered(60, {"--think", "off", "--trajectory"});
  const std::string graded = (answered.dir.path() / "g.jsonl").string();
  ASSERT_EQ(kvgauge({"grade", "--dataset", "exact", "--input", answered.answers, "--output", graded}).exit, 0);
  write_file(graded + ".manifest.json", read_file(answered.answers + ".manifest.json"));
  const auto evaluated = [&](std::vector<std::string> more) {
    std::vector<std::string> arguments = {"evaluate", "--input", graded, "--resamples", "100"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = kvgauge(arguments);
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    return outcome.out;
  };
  const std::string html = evaluated({"--format", "html"});
  EXPECT_TRUE(html.starts_with("<!DOCTYPE html>")) << html.substr(0, 80);
  EXPECT_TRUE(html.ends_with("</html>\n"));
  for (const char* const text : {"kv_coe.normalized.c", "Two trajectories", "max-tokens = ", "Reliability"})
    EXPECT_NE(html.find(text), std::string::npos) << text;
  EXPECT_EQ(html, evaluated({"--format", "html"})) << "the same bytes again";
  const std::string csv = evaluated({"--format", "csv", "--score", "prob.nll"});
  EXPECT_EQ(std::count(csv.begin(), csv.end(), '\n'), 1 + 2 * 3) << csv;
  EXPECT_NE(evaluated({}).find("## What each score shows"), std::string::npos);
  const OrderedJson json =
      parse_ordered_json(evaluated({"--format", "json", "--compare", "prob.nll", "kv_coe.normalized.c", "--compare",
                                    "prob.nll", "complete", "--against", "none", "--score", "prob.margin"}),
                         "evaluation");
  EXPECT_EQ(json["scores"].size(), 3u) << "the one asked for and the two compared";
  ASSERT_EQ(json["comparisons"].size(), 2u);
  EXPECT_EQ(json["comparisons"][0]["a"], "prob.nll");
  EXPECT_EQ(json["comparisons"][0]["b"], "kv_coe.normalized.c");
  EXPECT_EQ(json["comparisons"][1]["b"], "complete");
  EXPECT_EQ(json["manifest"]["verb"], "run");
  EXPECT_EQ(json["label"], "correct");
  const OrderedJson released = parse_ordered_json(
      evaluated({"--format", "json", "--label", "paper_correct", "--score", "prob.nll"}), "evaluation");
  EXPECT_EQ(released["accuracy"], json["paper_accuracy"]);
  EXPECT_EQ(kvgauge({"evaluate", "--input", graded, "--dataset", "nothing"}).exit, 2);
  EXPECT_EQ(json["input"]["sha256"].get<std::string>().size(), 64u);
  EXPECT_FALSE(json["scores"][0]["verdict_text"].get<std::string>().empty());
  for (const char* const flag : {"--compare", "--against"}) {
    std::vector<std::string> arguments = {"evaluate", "--input", graded, flag, "kv_coe.nothing"};
    if (flag == std::string("--compare")) arguments.push_back("prob.nll");
    const Outcome outcome = kvgauge(arguments);
    EXPECT_EQ(outcome.exit, 2);
    EXPECT_NE(outcome.err.find(std::string(flag) + ": no row has 'kv_coe.nothing'"), std::string::npos) << outcome.err;
  }
  EXPECT_EQ(kvgauge({"evaluate", "--input", graded, "--compare", "prob.nll"}).exit, 2) << "two are needed";
  EXPECT_EQ(kvgauge({"evaluate", "--input", graded, "--manifest", graded}).exit, 3) << "no manifest";
}

TEST(GradeAndEvaluate, ComparesSelectorsOfSampledAnswers) {
  const Answered answered(20, {"--think", "off", "--n", "4", "--temperature", "1"});
  const std::string graded = (answered.dir.path() / "g.jsonl").string();
  ASSERT_EQ(kvgauge({"grade", "--dataset", "exact", "--input", answered.answers, "--output", graded}).exit, 0);
  const OrderedJson json =
      parse_ordered_json(kvgauge({"evaluate", "--input", graded, "--format", "json"}).out, "evaluation");
  ASSERT_TRUE(json.contains("selection"));
  const OrderedJson& selection = json["selection"];
  EXPECT_EQ(selection["questions"], 20);
  EXPECT_EQ(selection["candidates"], 4.0);
  double random = -1, oracle = -1, right = 0, answers = 0;
  for (const OrderedJson& row : rows_in(graded))
    for (const OrderedJson& candidate : row["candidates"]) {
      right += candidate["correct"].get<bool>();
      answers += 1;
    }
  for (const OrderedJson& selector : selection["selectors"]) {
    if (selector["name"] == "random") random = selector["accuracy"].get<double>();
    if (selector["name"] == "oracle") oracle = selector["accuracy"].get<double>();
  }
  EXPECT_NEAR(random, right / answers, 1e-12);
  EXPECT_GE(oracle, random);
  EXPECT_NE(kvgauge({"evaluate", "--input", graded}).out.find("| majority |"), std::string::npos);
}

TEST(GradeAndEvaluate, GoldIsJoinedById) {
  const TempDir dir;
  const std::string gold = (dir.path() / "gold.jsonl").string();
  write_file(gold, "{\"id\":\"b\",\"answer\":\"so it is\\n#### 4\"}\n{\"id\":5,\"answer\":\"7\"}\n");
  const Outcome outcome = kvgauge({"grade", "--dataset", "gsm8k", "--input", "-", "--gold", gold, "--quiet"},
                                  "{\"id\":\"5\",\"text\":\"The answer is 7.\"}\n{\"custom_id\":\"b\",\"text\":\"#### "
                                  "5\"}\n{\"id\":\"z\",\"text\":\"1\"}\nnonsense\n");
  EXPECT_EQ(outcome.exit, 1) << "two rows could not be graded";
  const auto rows = rows_of(outcome.out);
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0]["correct"], true);
  EXPECT_EQ(rows[0]["predicted"], "7");
  EXPECT_EQ(rows[1]["correct"], false);
  EXPECT_EQ(rows[1]["gold"], "4");
  EXPECT_NE(rows[2]["error"].get<std::string>().find("'z'"), std::string::npos);
  EXPECT_NE(rows[3]["error"].get<std::string>().find("stdin:4"), std::string::npos);
}

TEST(GradeAndEvaluate, EveryDatasetAndItsFields) {
  const auto graded = [](std::vector<std::string> flags, const std::string& row) {
    flags.insert(flags.begin(), {"grade", "--input", "-", "--quiet", "--dataset"});
    const Outcome outcome = kvgauge(flags, row + "\n");
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    return rows_of(outcome.out).at(0);
  };
  const auto math =
      graded({"math"}, R"({"text":"Thus $\\boxed{\\frac{28}{6}}$.","answer":"\\frac{14}{3}","kept":[1]})");
  EXPECT_EQ(math["correct"], true);
  EXPECT_EQ(math["paper_correct"], false) << "the released grader cuts the gold answer to 3";
  EXPECT_EQ(math["coe_paper_correct"], false);
  EXPECT_EQ(math["predicted"], "\\frac{28}{6}");
  EXPECT_EQ(math["gold"], "\\frac{14}{3}");
  EXPECT_EQ(math["kept"].dump(), "[1]");
  EXPECT_EQ(graded({"math"}, R"({"response":"\\boxed{2}","solution":"so $\\boxed{2}$"})")["correct"], true);
  const std::string number = R"({"text":"The answer is 103.","answer":"100","answer_type":"integer"})";
  EXPECT_EQ(graded({"theoremqa"}, number)["correct"], true);
  EXPECT_EQ(graded({"theoremqa", "--strict"}, number)["correct"], false);
  EXPECT_EQ(graded({"theoremqa", "--tolerance", "0.02"}, number)["correct"], false);
  EXPECT_EQ(graded({"theoremqa"}, R"({"text":"The answer is yes.","answer":true})")["correct"], true);
  EXPECT_EQ(graded({"theoremqa"}, R"({"text":"The answer is [1, 2].","answer":[1,2]})")["correct"], true);
  EXPECT_EQ(graded({"csqa"}, R"({"prediction":"Answer: b","gold":"B"})")["predicted"], "B");
  const auto several =
      graded({"gsm8k"}, R"({"text":"#### 5","gold":5,"candidates":[{"text":"#### 5"},{"text":"#### 6"}]})");
  EXPECT_EQ(several["correct"], true);
  EXPECT_EQ(several["candidates"][0]["correct"], true);
  EXPECT_EQ(several["candidates"][1]["correct"], false);
  EXPECT_EQ(several["candidates"][1]["predicted"], "6");
}

TEST(TokenizeAndInspect, TellWhatAModelIs) {
  const auto rows = rows_of(kvgauge({"tokenize"}, "The answer is 4.\n\n<think>\n").out);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[1]["ids"].size(), 0u);
  EXPECT_EQ(rows[2]["ids"].dump(), "[1022]");
  const auto text =
      rows_of(kvgauge({"tokenize", "--decode"}, rows[0].dump() + "\n" + rows[0]["ids"].dump() + "\n").out);
  EXPECT_EQ(text.at(0)["text"], "The answer is 4.");
  EXPECT_EQ(text.at(1)["text"], "The answer is 4.");
  EXPECT_EQ(kvgauge({"tokenize", "--decode", "--text", "1 x"}).exit, 3);

  const OrderedJson facts = parse_ordered_json(kvgauge({"inspect", "--json", "--kv-memory", "1GiB"}).out, "inspect");
  EXPECT_EQ(facts["architecture"], "qwen3");
  const std::int64_t per_token = 2 * facts["layers"].get<std::int64_t>() * facts["kv_heads"].get<std::int64_t>() *
                                 facts["head_dim"].get<std::int64_t>() * 2;
  EXPECT_EQ(facts["kv_cache"]["bf16"]["bytes_per_token"], per_token);
  EXPECT_EQ(facts["kv_cache"]["f32"]["bytes_per_token"], 2 * per_token);
  EXPECT_EQ(facts["kv_cache"]["bf16"]["sequences_4k"], (std::int64_t{1} << 30) / (per_token * 4096));
  EXPECT_TRUE(facts["tokenizer"]["chat_template"]);
  EXPECT_NE(kvgauge({"inspect"}).out.find("model.embed_tokens.weight"), std::string::npos);
}

}  // namespace
}  // namespace kvgauge::testing
