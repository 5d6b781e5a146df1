// Labels are what runs and grades say, the rows survive kill -9.
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <random>
#include <thread>

#include "e2e/program.h"

namespace kvgauge::testing {
namespace {

constexpr int kRows = 40;

/// Greedy, f32, bit-identical whatever shares a batch.
const std::vector<std::string> kSame = {"--dtype", "f32", "--batch-invariant", "--threads", "2", "--quiet"};

std::vector<std::string> with(std::vector<std::string> arguments, const std::vector<std::string>& more = {}) {
  arguments.insert(arguments.end(), kSame.begin(), kSame.end());
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

struct LabelJob {
  TempDir dir;
  std::string in = path("in.jsonl"), out = path("labels.jsonl");
  LabelJob() { write_file(in, questions(kRows)); }
  std::string path(const std::string& name) const { return (dir.path() / name).string(); }
  std::vector<std::string> label(const std::vector<std::string>& more = {}) const {
    return with({"label", "--input", in, "--output", out, "--dataset", "gsm8k", "--checkpoints", "16"}, more);
  }
};

/// The labels of the 40 questions, made once.
const std::string& labels_text() {
  static const std::string text = [] {
    const LabelJob job;
    const Outcome outcome = kvgauge(job.label());
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    return read_file(job.out);
  }();
  return text;
}

std::vector<OrderedJson> graded_runs(const LabelJob& job, const char* think) {
  const std::string answers = job.path("a.jsonl"), graded = job.path("g.jsonl");
  std::filesystem::remove(answers);
  const Outcome run = kvgauge(with({"run", "--input", job.in, "--output", answers, "--think", think, "--scores", "none",
                                    "--output-ids", "--max-tokens", "900"}));
  EXPECT_EQ(run.exit, 0) << run.err;
  EXPECT_EQ(kvgauge({"grade", "--dataset", "gsm8k", "--input", answers, "--output", graded, "--quiet"}).exit, 0);
  return rows_in(graded);
}

TEST(Label, IsWhatRunAndGradeSay) {
  const LabelJob job;
  const auto labels = rows_of(labels_text());
  const auto fast = graded_runs(job, "off"), slow = graded_runs(job, "on");
  ASSERT_EQ(labels.size(), static_cast<std::size_t>(kRows));
  int kinds[3] = {};
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const OrderedJson& row = labels[i];
    SCOPED_TRACE(row["id"]);
    for (const auto& [mine, theirs] : {std::pair{&row["fast"][0], &fast[i]}, {&row["slow"][0], &slow[i]}}) {
      for (const char* const key : {"text", "output_ids", "correct", "predicted", "finish_reason"})
        EXPECT_EQ((*mine)[key], (*theirs)[key]) << key;
      EXPECT_EQ((*mine)["tokens"], (*theirs)["output_ids"].size());
    }
    const bool fast_right = fast[i]["correct"], slow_right = slow[i]["correct"];
    EXPECT_EQ(row["label"], fast_right ? 0 : slow_right ? 75 : 100);
    ++kinds[fast_right ? 0 : slow_right ? 1 : 2];
    // The prompt goes up to where the template writes its tags.
    auto prompt = row["prompt_ids"].get<std::vector<int>>();
    const auto open = row["open_ids"].get<std::vector<int>>();
    prompt.insert(prompt.end(), open.begin(), open.end());
    EXPECT_EQ(prompt, slow[i]["prompt_ids"].get<std::vector<int>>());
  }
  EXPECT_GT(kinds[0], 3);
  EXPECT_GT(kinds[1], 3);
}

// Closing at a checkpoint: the same tokens given to the model as a plain prompt.
TEST(Label, CheckpointsAreWhatClosingThereGives) {
  const LabelJob job;
  std::string ids;
  std::vector<std::pair<std::size_t, std::size_t>> places;
  const auto labels = rows_of(labels_text());
  for (std::size_t i = 0; i < 8; ++i) {
    const OrderedJson& row = labels[i];
    const OrderedJson& slow = row["slow"][0]["output_ids"];
    ASSERT_FALSE(row["checkpoints"].empty());
    for (std::size_t c = 0; c < row["checkpoints"].size(); ++c) {
      EXPECT_EQ(row["checkpoints"][c]["at"], 16 * (c + 1));
      std::vector<int> prompt = row["prompt_ids"].get<std::vector<int>>();
      for (const int id : row["open_ids"]) prompt.push_back(id);
      for (std::size_t t = 0; t < 16 * (c + 1); ++t) prompt.push_back(slow[t]);
      ids += OrderedJson(prompt).dump() + "\n";
      places.emplace_back(i, c);
    }
    const std::string thought = row["slow"][0]["text"];
    EXPECT_LE(row["checkpoints"].size(), thought.find("</think>") / 16) << "none behind the model's own close";
  }
  std::string in;
  for (const OrderedJson& prompt : rows_of(kvgauge({"tokenize", "--decode"}, ids).out))
    in += OrderedJson{{"prompt", prompt["text"].get<std::string>() + "</think>\n\n"}}.dump() + "\n";
  write_file(job.path("closings.jsonl"), in);
  ASSERT_EQ(kvgauge(with({"run", "--input", job.path("closings.jsonl"), "--output", job.path("c.jsonl"), "--no-chat",
                          "--scores", "none", "--output-ids"}))
                .exit,
            0);
  const auto closings = rows_in(job.path("c.jsonl"));
  ASSERT_EQ(closings.size(), places.size());
  for (std::size_t i = 0; i < places.size(); ++i) {
    const OrderedJson& row = labels[places[i].first];
    const OrderedJson& checkpoint = row["checkpoints"][places[i].second];
    EXPECT_EQ(checkpoint["text"], closings[i]["text"]) << row["id"] << " at " << checkpoint["at"];
    EXPECT_EQ(checkpoint["tokens"], closings[i]["output_ids"].size());
    const std::string gold = row["answer"].get<std::string>();
    const std::string number = gold.substr(gold.rfind("#### ") + 5);
    EXPECT_EQ(checkpoint["correct"].get<bool>(), checkpoint["predicted"] == number);
  }
}

TEST(Label, KilledAtRandomMomentsEveryRowIsThereOnce) {
  std::mt19937_64 random(test_seed(20260123));
  const std::string& want = labels_text();
  const LabelJob job;
  for (int kills = 0; kills < 6; ++kills) {
    Program program(job.label({"--resume", "--max-batch", "4"}));
    std::this_thread::sleep_for(std::chrono::milliseconds(static_cast<int>(random() % 600)));
    program.signal(SIGKILL);
    program.wait();
  }
  const Outcome last = kvgauge(job.label({"--resume"}));
  ASSERT_EQ(last.exit, 0) << last.err;
  auto rows = rows_in(job.out), wanted = rows_of(want);
  ASSERT_EQ(rows.size(), wanted.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i]["usage"].erase("cached_tokens");  // depends on what ran before
    wanted[i]["usage"].erase("cached_tokens");
    EXPECT_EQ(rows[i], wanted[i]) << "row " << i;
  }
  const Outcome other = kvgauge(job.label({"--resume", "--easy-tokens", "5"}));
  EXPECT_EQ(other.exit, 2);
  EXPECT_NE(other.err.find("--easy-tokens (128 then, 5 now)"), std::string::npos) << other.err;
}

TEST(Label, SeveralSeedsAreSampledAndAveraged) {
  const LabelJob job;
  const Outcome outcome = kvgauge(with({"label", "--input", job.in, "--output", job.out, "--dataset", "gsm8k"},
                                       {"--limit", "4", "--seeds", "3", "--temperature", "1.5", "--seed", "5"}));
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  bool differ = false;
  for (const OrderedJson& row : rows_in(job.out)) {
    ASSERT_EQ(row["fast"].size(), 3u);
    ASSERT_EQ(row["slow"].size(), 3u);
    double sum = 0;
    for (int i = 0; i < 3; ++i)
      sum += row["fast"][i]["correct"].get<bool>() ? 0 : row["slow"][i]["correct"].get<bool>() ? 75 : 100;
    EXPECT_DOUBLE_EQ(row["label"].get<double>(), sum / 3);
    differ = differ || row["slow"][0]["text"] != row["slow"][1]["text"];
    EXPECT_FALSE(row.contains("checkpoints"));
  }
  EXPECT_TRUE(differ);
}

TEST(Label, SamplingIsTheModelsOwnUnlessItIsGiven) {
  const LabelJob job;
  const std::string model = job.path("model");
  std::filesystem::copy(repo_path("models/tiny-reasoner"), model, std::filesystem::copy_options::recursive);
  const auto settings = [&](const std::string& generation, const std::vector<std::string>& more) {
    write_file(model + "/generation_config.json", generation);
    std::filesystem::remove(job.out);
    const Outcome outcome = kvgauge(with({"label", "--model", model, "--input", job.in, "--output", job.out, "--limit",
                                          "1", "--seeds", "2", "--fast-max-tokens", "3", "--slow-max-tokens", "3"},
                                         more));
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
    EXPECT_EQ(rows_in(job.out).at(0)["cut_generations"], 4);
    OrderedJson all = parse_ordered_json(read_file(job.out + ".manifest.json"), "manifest")["settings"];
    return OrderedJson{all["temperature"], all["top-p"], all["top-k"], all["min-p"]};
  };
  const std::string eos = R"("eos_token_id": [1021, 1019])";
  EXPECT_EQ(settings("{\"do_sample\": true, \"temperature\": 0.6, \"top_p\": 0.95, \"top_k\": 20, " + eos + "}", {}),
            (OrderedJson{0.6, 0.95, 20, 0.0}));
  EXPECT_EQ(settings("{\"do_sample\": true, " + eos + "}", {}), (OrderedJson{1.0, 1.0, 50, 0.0}));
  EXPECT_EQ(settings("{\"temperature\": 0.5, " + eos + "}", {"--top-k", "0", "--min-p", "0.25"}),
            (OrderedJson{0.5, 1.0, 0, 0.25}));
  EXPECT_EQ(settings("{\"do_sample\": false, \"temperature\": 0.5, " + eos + "}", {"--temperature", "2"}),
            (OrderedJson{2.0, 1.0, 0, 0.0}));
}

TEST(Label, RowsThatCannotBeLabelledFailAlone) {
  const LabelJob job;
  write_file(
      job.in,
      "{\"question\":\"1+1?\"}\n"
      "{\"custom_id\":\"b\",\"method\":\"POST\",\"url\":\"/v1/chat/completions\",\"body\":{\"messages\":[{\"role\":"
      "\"user\",\"content\":\"1+1?\"}]},\"answer\":\"2\"}\n"
      "{\"messages\":[{\"role\":\"user\",\"content\":\"Tom has 3 pens. He buys 4. How many pens has Tom?\"}],"
      "\"answer\":7}\n");
  const Outcome outcome = kvgauge(job.label());
  EXPECT_EQ(outcome.exit, 1) << outcome.err;
  const auto rows = rows_in(job.out);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_NE(rows[0]["error"].get<std::string>().find("no right answer to grade by"), std::string::npos);
  EXPECT_NE(rows[1].dump().find("a batch row brings settings of its own"), std::string::npos);
  EXPECT_TRUE(rows[2]["error"].is_null());
  EXPECT_TRUE(rows[2]["question"].is_null());
  EXPECT_TRUE(rows[2]["label"].is_number());
}

TEST(Label, IsMadeAnewWithoutGenerating) {
  const LabelJob job;
  const std::string again = job.path("again.jsonl"), exact = job.path("exact.jsonl");
  write_file(job.out, labels_text());
  ASSERT_EQ(kvgauge({"label", "--relabel", "--input", job.out, "--output", again, "--quiet"}).exit, 0);
  EXPECT_EQ(read_file(again), labels_text());
  ASSERT_EQ(kvgauge({"label", "--relabel", "--input", job.out, "--output", again, "--easy-tokens", "12", "--dataset",
                     "gsm8k", "--quiet"})
                .exit,
            0);
  int quarters = 0;
  for (const OrderedJson& row : rows_in(again)) {
    const OrderedJson& fast = row["fast"][0];
    const double label = row["label"];
    if (fast["correct"].get<bool>()) {
      EXPECT_EQ(label, fast["tokens"].get<int>() < 12 ? 0 : 25);
    }
    quarters += label == 25 ? 1 : 0;
  }
  EXPECT_GT(quarters, 0);
}

TEST(Label, RefusesWhatDoesNotGoTogether) {
  const LabelJob job;
  const auto refused = [&](const std::vector<std::string>& more, const std::string& message) {
    std::vector<std::string> arguments = {"label", "--input", job.in, "--output", job.out, "--quiet"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = kvgauge(arguments);
    EXPECT_EQ(outcome.exit, 2) << message;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
  };
  refused({"--seeds", "2"}, "--seeds: sampling is greedy");
  refused({"--seeds", "2", "--temperature", "0"}, "--seeds: 2 generations would be the same");
  refused({"--top-p", "0.5"}, "--top-p: sampling is greedy");
  refused({"--checkpoints", "every"}, "--checkpoints: found 'every'");
  refused({"--checkpoints", "0"}, "--checkpoints: found '0'");
  refused({"--max-checkpoints", "3"}, "--max-checkpoints: --checkpoints is not given");
  refused({"--prompt-set", "paper", "--prompt-template", "{question}"}, "--prompt-template: --prompt-set paper");
  refused({"--dataset", "mmlu"}, "mmlu");
  refused({"--relabel", "--seeds", "2"}, "--seeds: --relabel generates nothing");
  refused({"--model", repo_path("tests/golden/models/llama_tied").string()}, "no think tags");
  EXPECT_FALSE(std::filesystem::exists(job.out));
}

TEST(Label, ThePapersPromptsDifferByOneWord) {
  const LabelJob job;
  ASSERT_EQ(kvgauge(job.label({"--prompt-set", "paper", "--limit", "2"})).exit, 0);
  const auto rows = rows_in(job.out);
  const auto text = rows_of(kvgauge({"tokenize", "--decode"}, rows[0]["prompt_ids"].dump() + "\n").out);
  const std::string question = rows[0]["question"];
  EXPECT_EQ(text.at(0)["text"].get<std::string>(),
            "<|im_start|>user\nYou are a math problem solver. For the following question, solve it using your thinking "
            "ability.\nHere is the question:\n" +
                question + "\n<|im_end|>\n<|im_start|>assistant\n");
  EXPECT_TRUE(rows[0]["template_set"].get<std::string>().starts_with("paper "));
}

}  // namespace
}  // namespace kvgauge::testing
