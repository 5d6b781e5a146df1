// Heads are trained on labels, carry what they were made for, and give what their weights say.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "control/difficulty_head.h"
#include "core/sha256.h"
#include "e2e/program.h"

namespace kvgauge::testing {
namespace {

constexpr int kQuestions = 40;

struct TrainJob {
  TempDir dir;
  std::string questions_file = path("q.jsonl"), labels = path("labels.jsonl"), head = path("head.safetensors"),
              log = path("train.json");
  explicit TrainJob(int count = kQuestions, const std::string& checkpoints = "16") {
    write_file(questions_file, questions(count));
    std::vector<std::string> arguments = {"label",     "--input", questions_file, "--output", labels,
                                          "--dataset", "gsm8k",   "--dtype",      "f32",      "--batch-invariant",
                                          "--threads", "2",       "--quiet"};
    if (!checkpoints.empty()) arguments.insert(arguments.end(), {"--checkpoints", checkpoints});
    const Outcome outcome = kvgauge(arguments);
    EXPECT_EQ(outcome.exit, 0) << outcome.err;
  }
  std::string path(const std::string& name) const { return (dir.path() / name).string(); }
  Outcome train(const std::vector<std::string>& more = {}, const std::string& threads = "2") const {
    std::vector<std::string> arguments = {"train",     "--input", labels,     "--output", head,
                                          "--log",     log,       "--dtype",  "f32",      "--batch-invariant",
                                          "--threads", threads,   "--epochs", "3",        "--hidden",
                                          "16",        "--batch", "32"};
    if (std::find(more.begin(), more.end(), "--validation") == more.end())
      arguments.insert(arguments.end(), {"--validation", "0.3"});
    arguments.insert(arguments.end(), more.begin(), more.end());
    return kvgauge(arguments);
  }
};

/// d by the definition of METHOD.md F.1, from features laid out as `embed` gives them: head, K before V, element.
double difficulty_of(const DifficultyHead& head, const std::vector<double>& embedding) {
  std::vector<double> f;
  for (const std::int64_t part : {0, 1})
    for (std::int64_t h = 0; h < head.kv_heads; ++h)
      for (std::int64_t j = 0; j < head.head_dim; ++j)
        f.push_back(embedding[static_cast<std::size_t>((2 * h + part) * head.head_dim + j)]);
  double d = head.b2[0];
  for (std::size_t i = 0; i < head.b1.size(); ++i) {
    double sum = head.b1[i];
    for (std::size_t k = 0; k < f.size(); ++k)
      sum += static_cast<double>(head.w1[i * f.size() + k]) * (f[k] - static_cast<double>(head.mean[k])) /
             static_cast<double>(head.deviation[k]);
    d += static_cast<double>(head.w2[i]) * std::max(sum, 0.0);
  }
  return d;
}

TEST(Train, MakesAHeadThatSaysWhatItIs) {
  const TrainJob job;
  const Outcome outcome = job.train({"--rows", "both", "--layers", "2,4", "--window", "24"});
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  EXPECT_NE(outcome.err.find("epoch 3: training loss"), std::string::npos) << outcome.err;
  EXPECT_NE(outcome.out.find("AUROC"), std::string::npos) << outcome.out;
  const DifficultyHead head = read_difficulty_head(job.head);
  const auto rows = rows_in(job.labels);
  EXPECT_EQ(head.window.layers, (std::vector<std::int32_t>{2, 4}));
  EXPECT_EQ(head.window.positions, 24);
  EXPECT_EQ(head.hidden, 16);
  EXPECT_EQ(head.features(), 128);
  EXPECT_EQ(head.training_data, sha256_hex(read_file(job.labels)));
  EXPECT_EQ(head.template_set, rows[0]["template_set"].get<std::string>());
  EXPECT_TRUE(head.model_hash.starts_with(rows[0]["model"].get<std::string>()));
  EXPECT_EQ(head.mean.size(), 128u);

  const OrderedJson log = parse_ordered_json(read_file(job.log), "log");
  ASSERT_EQ(log["epochs"].size(), 3u);
  for (const OrderedJson& epoch : log["epochs"]) {
    EXPECT_GT(epoch["train_loss"].get<double>(), 0);
    EXPECT_GT(epoch["validation_loss"].get<double>(), 0);
  }
  EXPECT_EQ(log["head"]["id"], head.id);
  EXPECT_EQ(log["settings"]["layers"], "2,4");
  std::size_t checkpoints = 0;
  for (const OrderedJson& row : rows) checkpoints += row["checkpoints"].size();
  EXPECT_EQ(log["examples"], checkpoints + kQuestions);
  EXPECT_EQ(log["validation"]["all"]["rows"].get<int>() + log["train_rows"].get<int>(), log["examples"].get<int>());
  EXPECT_EQ(log["validation"]["prompt"]["rows"], log["validation"]["prompt"]["questions"]);
  EXPECT_TRUE(log["validation"]["checkpoint"]["auroc_label_75"]["ci95"].is_array());
  EXPECT_EQ(OrderedJson::parse(head.recipe)["reached"]["validation"], log["validation"]);

  const std::string bytes = read_file(job.head);
  ASSERT_EQ(job.train({"--rows", "both", "--layers", "2,4", "--window", "24", "--quiet"}, "1").exit, 0);
  EXPECT_EQ(read_file(job.head), bytes) << "one thread gives the same bits";
  ASSERT_EQ(job.train({"--rows", "both", "--layers", "2,4", "--window", "24", "--seed", "1", "--quiet"}).exit, 0);
  EXPECT_NE(read_file(job.head), bytes);
}

TEST(Train, RunGivesWhatTheWeightsSay) {
  const TrainJob job(24, "");
  ASSERT_EQ(job.train({"--layers", "1,3-5", "--window", "0", "--pos", "mean", "--quiet"}).exit, 0);
  const DifficultyHead head = read_difficulty_head(job.head);
  std::string ids;
  for (const OrderedJson& row : rows_in(job.labels)) ids += row["prompt_ids"].dump() + "\n";
  const std::string texts = kvgauge({"tokenize", "--decode"}, ids).out;
  const Outcome embedded =
      kvgauge({"embed", "--input", "-", "--output", "-", "--part", "kv", "--layers", "1,3-5", "--across-layers", "mean",
               "--pos", "mean", "--heads", "flatten", "--dtype", "f32", "--quiet"},
              texts);
  ASSERT_EQ(embedded.exit, 0) << embedded.err;
  const Outcome run = kvgauge({"run", "--input", job.questions_file, "--difficulty", job.head, "--max-tokens", "1",
                               "--scores", "none", "--dtype", "f32", "--quiet"});
  ASSERT_EQ(run.exit, 0) << run.err;
  const auto embeddings = rows_of(embedded.out), answers = rows_of(run.out);
  ASSERT_EQ(embeddings.size(), 24u);
  ASSERT_EQ(answers.size(), 24u);
  double least = 1e9, most = -1e9;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    const double d = answers[i]["difficulty"]["prompt"];
    const double want = difficulty_of(head, embeddings[i]["embedding"].get<std::vector<double>>());
    EXPECT_NEAR(d, want, 1e-3 * (1 + std::abs(want)));  // f32 sums of at most 200 positions and 128 products
    EXPECT_EQ(answers[i]["difficulty"]["head"], head.id);
    least = std::min(least, d);
    most = std::max(most, d);
  }
  EXPECT_GT(most - least, 1e-3);

  // The head is for prompts of this chat template with nothing around the question.
  std::vector<std::string> automatic = {
      "run",        "--input", job.questions_file, "--difficulty", job.head,       "--think", "auto",   "--tau", "0",
      "--tau-fast", "-1e6",    "--tau-slow",       "1e6",          "--max-tokens", "2",       "--quiet"};
  EXPECT_EQ(kvgauge(automatic).exit, 0);
  automatic.insert(automatic.end(), {"--prompt-template", "Think of {question}"});
  const Outcome refused = kvgauge(automatic);
  EXPECT_EQ(refused.exit, 3);
  EXPECT_NE(refused.err.find("head.safetensors: template set 'native "), std::string::npos) << refused.err;
  EXPECT_NE(refused.err.find("--prompt-template"), std::string::npos) << refused.err;
}

// The windows are read and the head is trained where the model runs.
TEST(Train, TheDeviceReadsTheSameFeatures) {
  if (kvgauge({"--version"}).out.find("emulated") == std::string::npos)
    GTEST_SKIP() << "no emulated device in this build";
  const TrainJob job(6);
  const std::vector<std::string> recipe = {"--rows", "both", "--quiet", "--validation", "0"};
  ASSERT_EQ(job.train(recipe).exit, 0);
  const DifficultyHead want = read_difficulty_head(job.head);
  std::vector<std::string> emulated = recipe;
  emulated.insert(emulated.end(), {"--device", "emulated"});
  const Outcome outcome = job.train(emulated);
  ASSERT_EQ(outcome.exit, 0) << outcome.err;
  const DifficultyHead got = read_difficulty_head(job.head);
  ASSERT_EQ(got.mean.size(), want.mean.size());
  // Means of sums over at most 128 positions of six layers' f32 states.
  for (std::size_t i = 0; i < want.mean.size(); ++i)
    EXPECT_NEAR(got.mean[i], want.mean[i], 1e-3 * (1 + std::abs(static_cast<double>(want.mean[i])))) << i;
}

TEST(Train, RawQuestionsAreFurtherRows) {
  const TrainJob job(16, "lines");
  ASSERT_EQ(
      job.train({"--augment-raw", "--quiet", "--loss", "ordinal", "--standardize", "off", "--validation", "0"}).exit,
      0);
  const OrderedJson log = parse_ordered_json(read_file(job.log), "log");
  EXPECT_EQ(log["examples"], 32);
  EXPECT_EQ(log["train_rows"], 32);
  EXPECT_EQ(log["train_questions"], 16);
  EXPECT_TRUE(log["validation"].empty());
  EXPECT_TRUE(read_difficulty_head(job.head).mean.empty());
  ASSERT_EQ(job.train({"--rows", "checkpoints", "--both-wrong", "drop", "--unsafe-label", "75", "--quiet"}).exit, 0);
}

TEST(Train, AnotherModelIsRefused) {
  const TrainJob job(8, "");
  ASSERT_EQ(job.train({"--quiet", "--validation", "0"}).exit, 0);
  const std::string copy = job.path("model");
  std::filesystem::copy(repo_path("models/tiny-reasoner"), copy, std::filesystem::copy_options::recursive);
  std::string weights = read_file(copy + "/model.safetensors");
  weights[weights.size() / 2] ^= 1;
  write_file(copy + "/model.safetensors", weights);
  const Outcome run =
      kvgauge({"run", "--model", copy, "--input", job.questions_file, "--difficulty", job.head, "--quiet"});
  EXPECT_EQ(run.exit, 3);
  EXPECT_NE(run.err.find("model hash"), std::string::npos) << run.err;
  const Outcome train = job.train({"--model", copy});
  EXPECT_EQ(train.exit, 3);
  EXPECT_NE(train.err.find("its answers are of the model"), std::string::npos) << train.err;
}

TEST(Train, RefusesWhatDoesNotGoTogether) {
  const TempDir dir;
  const std::string labels = (dir.path() / "l.jsonl").string(), head = (dir.path() / "h").string();
  const std::string row =
      R"({"id":"a","index":0,"label":0,"fast":[{"correct":true,"tokens":1,"finish_reason":"stop","predicted":null,"text":"","output_ids":[1]}],)"
      R"("slow":[{"correct":true,"tokens":1,"finish_reason":"stop","predicted":null,"text":"","output_ids":[1]}],)"
      R"("model":"MODEL","template_set":"native x","question":"?","prompt_ids":[1],"open_ids":[2]})";
  write_file(labels, row + "\n");
  const auto refused = [&](const std::vector<std::string>& more, int exit, const std::string& message) {
    std::vector<std::string> arguments = {"train", "--input", labels, "--output", head};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Outcome outcome = kvgauge(arguments);
    EXPECT_EQ(outcome.exit, exit) << message;
    EXPECT_NE(outcome.err.find(message), std::string::npos) << outcome.err;
    EXPECT_FALSE(std::filesystem::exists(head));
  };
  refused({"--both-wrong", "drop"}, 2, "--both-wrong: it is about checkpoints, --rows is prompt");
  refused({"--prompt-share", "0.5"}, 2, "--prompt-share: it weighs prompts against checkpoints");
  refused({"--rows", "checkpoints", "--augment-raw"}, 2, "--augment-raw: it adds prompts");
  refused({"--early-stop", "3", "--validation", "0"}, 2, "--early-stop: it waits for the validation loss");
  refused({"--layers", "last"}, 2, "--layers: found 'last'");
  refused({"--layers", "7"}, 2, "--layers: found '7'");
  refused({"--loss", "hinge"}, 2, "--loss: found 'hinge'");
  refused({"--log", head}, 2, "--log: ");
  refused({"--rows", "both"}, 3, "no row has checkpoints, --rows both needs them");
  refused({}, 3, "its answers are of the model MODEL");
  write_file(labels, row + "\n" + row.substr(0, row.size() - 30) + "}\n");
  refused({}, 3, "l.jsonl:2: ");
  std::string other = row;
  other.replace(other.find("native x"), 8, "native y");
  write_file(labels, row + "\n" + other + "\n");
  refused({}, 3, "l.jsonl:2: 'template_set' is 'native y', 'native x' was needed");
  write_file(labels, "{\"id\":\"a\",\"index\":0,\"error\":\"it broke\"}\n");
  refused({}, 3, "found no row with a label");
  write_file(labels, "");
  refused({}, 3, "found no row with a label");
}

}  // namespace
}  // namespace kvgauge::testing
