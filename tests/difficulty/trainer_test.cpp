#include "difficulty/trainer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "core/cat.h"
#include "cpu/cpu_backend.h"
#include "kvgauge/error.h"
#include "reference/lcg.h"
#include "support/paths.h"

namespace kvgauge::testing {
namespace {

std::unique_ptr<Backend> cpu(int threads = 1) {
  return make_cpu_backend({.threads = threads, .compute_dtype = DType::kF32, .batch_invariant = false, .isa = {}});
}

/// Questions whose label follows from two of their features by a kink that no linear map has; `each` rows a question.
struct Sample {
  Sample(std::size_t questions, std::size_t each, std::int64_t columns, std::uint64_t seed) : columns(columns) {
    Lcg lcg(seed);
    for (std::size_t q = 0; q < questions; ++q) {
      std::vector<float> f;
      for (std::int64_t c = 0; c < columns; ++c) f.push_back(static_cast<float>(lcg.f24()));
      const float level = std::abs(f[0]) + std::abs(f[1]);
      const float label = level < 0.6f ? 0 : level < 1 ? 25 : level < 1.4f ? 75 : 100;
      for (std::size_t i = 0; i < each; ++i) {
        for (std::int64_t c = 0; c < columns; ++c)  // raw sums: large, off zero, each in a unit of its own
          values.push_back(static_cast<float>(40 * (c + 1)) *
                           (f[static_cast<std::size_t>(c)] + 3 + 0.01f * static_cast<float>(lcg.f24())));
        labels.push_back(label);
        questions_of_rows.push_back(question_key(cat("question ", q)));
      }
    }
  }
  std::int64_t rows() const { return std::ssize(labels); }
  TrainingData data(const MatrixView& features) const {
    return {.features = features,
            .labels = labels,
            .questions = questions_of_rows,
            .weights = weights,
            .validation = validation};
  }
  TrainingResult train(const TrainerSettings& settings, int threads = 1,
                       const std::function<bool(const EpochRecord&)>& on_epoch = {}) const {
    const auto backend = cpu(threads);
    const DeviceFeatures features(*backend, rows(), columns, values);
    return train_head(*backend, data(features.view()), settings, on_epoch);
  }
  std::int64_t columns;
  std::vector<float> values, labels, weights;
  std::vector<std::uint64_t> questions_of_rows;
  std::vector<std::uint8_t> validation;
};

TrainerSettings small_settings(MlpLossKind kind = MlpLossKind::kMse) {
  return {.hidden = 48,
          .loss = usual_mlp_loss(kind),
          .learning_rate = 1e-2,
          .batch = 64,
          .epochs = 60,
          .patience = 0,
          .validation_share = 0.25,
          .seed = test_seed(11),
          .resamples = 100};
}

double variance(const std::vector<float>& labels) {
  double mean = 0, squares = 0;
  for (const float y : labels) mean += static_cast<double>(y) / static_cast<double>(labels.size());
  for (const float y : labels)
    squares += std::pow(static_cast<double>(y) - mean, 2) / static_cast<double>(labels.size());
  return squares;
}

TEST(Trainer, LearnsWhatALineCannotWithEveryLossAndOptimizer) {
  const Sample sample(600, 2, 5, 3);
  for (const MlpLossKind kind : {MlpLossKind::kMse, MlpLossKind::kBce, MlpLossKind::kOrdinal}) {
    for (const Optimizer optimizer : {Optimizer::kAdam, Optimizer::kAdamW}) {
      TrainerSettings settings = small_settings(kind);
      settings.optimizer = optimizer;
      settings.weight_decay = optimizer == Optimizer::kAdamW ? 1e-2 : 0;
      const TrainingResult result = sample.train(settings);
      EXPECT_GT(result.validation.auroc.value, 0.95) << name(kind) << " " << name(optimizer);
      EXPECT_GT(result.validation.spearman.value, 0.85) << name(kind) << " " << name(optimizer);
      EXPECT_TRUE(result.validation.auroc.ci95.holds(result.validation.auroc.value));
      EXPECT_LT(result.history.back().train_loss, 0.5 * result.history.front().train_loss);
      if (kind != MlpLossKind::kBce) {
        EXPECT_LT(result.validation.mse.value, 0.5 * variance(sample.labels)) << name(kind);
      }
      EXPECT_NEAR(result.validation.slow_share.value, 0.5, 0.2) << name(kind);
    }
  }
}

TEST(Trainer, GivesTheSameBitsForAnyNumberOfThreadsAndOthersForAnotherSeed) {
  const Sample sample(150, 2, 33, 4);
  TrainerSettings settings = small_settings();
  settings.epochs = 4;
  const TrainedHead one = sample.train(settings, 1).head, four = sample.train(settings, 4).head;
  EXPECT_EQ(one.w1, four.w1);
  EXPECT_EQ(one.b1, four.b1);
  EXPECT_EQ(one.w2, four.w2);
  EXPECT_EQ(one.b2, four.b2);
  EXPECT_EQ(one.deviation, four.deviation);
  settings.seed += 1;
  EXPECT_NE(sample.train(settings, 1).head.w1, one.w1);
}

TEST(Trainer, SplitsByQuestionWhateverTheOrderOfRows) {
  const double share = 0.3;
  std::size_t kept = 0;
  for (int q = 0; q < 10'000; ++q) kept += is_validation_question(question_key(cat(q)), 7, share);
  EXPECT_NEAR(static_cast<double>(kept), 3000, 5 * std::sqrt(10'000 * share * (1 - share)));  // five deviations
  EXPECT_EQ(question_key("abc"), 0xba7816bf8f01cfeaull);                                      // FIPS 180-4's example

  const Sample sample(100, 3, 4, 8);
  TrainerSettings settings = small_settings();
  settings.epochs = 1;
  const TrainingResult result = sample.train(settings);
  EXPECT_EQ(result.train_questions + result.validation.questions, 100);
  EXPECT_EQ(result.train_rows, 3 * result.train_questions);
  EXPECT_EQ(result.validation.rows, 3 * result.validation.questions);
}

TEST(Trainer, TakesASplitThatIsGivenAndRefusesOneThatCutsAQuestion) {
  Sample sample(40, 2, 4, 8);
  sample.validation.assign(80, 0);
  for (std::size_t i = 60; i < 80; ++i) sample.validation[i] = 1;
  TrainerSettings settings = small_settings();
  settings.epochs = 1;
  EXPECT_EQ(sample.train(settings).validation.questions, 10);
  sample.validation[59] = 1;
  EXPECT_THROW(sample.train(settings), InputError);
}

TEST(Trainer, StopsEarlyAndRestoresTheBestWeights) {
  Sample sample(60, 1, 30, 5);  // few questions, many features: it overfits
  TrainerSettings settings = small_settings();
  settings.epochs = 400;
  settings.patience = 5;
  std::vector<EpochRecord> seen;
  const TrainingResult result = sample.train(settings, 1, [&](const EpochRecord& record) {
    seen.push_back(record);
    return true;
  });
  EXPECT_TRUE(result.stopped_early);
  ASSERT_EQ(std::ssize(result.history), result.best_epoch + settings.patience);
  ASSERT_EQ(seen.size(), result.history.size());
  const EpochRecord& best = result.history[static_cast<std::size_t>(result.best_epoch - 1)];
  EXPECT_TRUE(best.best);
  for (const EpochRecord& record : result.history) EXPECT_GE(record.validation_loss, best.validation_loss);
  // d is rounded to f32 on its way out
  EXPECT_NEAR(result.validation.mse.value, best.validation_mse, 1e-5 * best.validation_mse);
  settings.epochs = result.best_epoch;
  settings.patience = 0;
  EXPECT_EQ(sample.train(settings).head.w1, result.head.w1);
  settings.epochs = 400;
  EXPECT_EQ(sample.train(settings, 1, [](const EpochRecord& record) { return record.epoch < 3; }).history.size(), 3u);
}

TEST(Trainer, StandardisesByTheTrainingRowsAndLeavesConstantsAlone) {
  Sample sample(80, 1, 3, 6);
  for (std::size_t i = 0; i < sample.values.size(); i += 3) sample.values[i + 2] = 0.1f;
  sample.validation.assign(80, 0);
  for (std::size_t i = 50; i < 80; ++i) sample.validation[i] = 1;
  TrainerSettings settings = small_settings();
  settings.epochs = 2;
  const TrainedHead head = sample.train(settings).head;
  for (std::size_t c = 0; c < 3; ++c) {
    double mean = 0, squares = 0;
    for (std::size_t i = 0; i < 50; ++i) mean += double{sample.values[3 * i + c]} / 50;
    for (std::size_t i = 0; i < 50; ++i) squares += std::pow(double{sample.values[3 * i + c]} - mean, 2) / 50;
    EXPECT_NEAR(head.mean[c], mean, 1e-6 * std::abs(mean));
    EXPECT_NEAR(head.deviation[c], c == 2 ? 1 : std::sqrt(squares), 1e-6 * (1 + std::sqrt(squares)));
  }
  settings.standardise = false;
  EXPECT_TRUE(sample.train(settings).head.mean.empty());
}

// A row of weight 2 is the row twice, a row of weight 0 none: in one batch that holds them all, the first epoch's loss
// agrees.
TEST(Trainer, WeighsRows) {
  Sample once(30, 1, 4, 9);
  once.validation.assign(30, 0);
  Sample written_out = once;
  once.weights.assign(30, 1);
  once.weights[3] = 2;
  once.weights[5] = 0;
  const auto drop = [&](auto& values, std::ptrdiff_t row, std::ptrdiff_t width) {
    values.erase(values.begin() + row * width, values.begin() + (row + 1) * width);
  };
  drop(written_out.values, 5, 4), drop(written_out.labels, 5, 1), drop(written_out.questions_of_rows, 5, 1);
  for (int c = 0; c < 4; ++c) written_out.values.push_back(once.values[12 + static_cast<std::size_t>(c)]);
  written_out.labels.push_back(once.labels[3]);
  written_out.questions_of_rows.push_back(once.questions_of_rows[3]);
  TrainerSettings settings = small_settings();
  settings.standardise = false;
  settings.learning_rate = 1e-4;
  settings.epochs = 3;
  const TrainingResult a = once.train(settings), b = written_out.train(settings);
  for (std::size_t i = 0; i < 3; ++i)
    EXPECT_NEAR(a.history[i].train_loss, b.history[i].train_loss, 1e-4 * b.history[i].train_loss);
}

template <class E>
std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const E& error) {
    return error.what();
  }
  return "no such error";
}

TEST(Trainer, EndsWithAMessageWhenTheLossIsNoLongerFinite) {
  const Sample sample(100, 1, 4, 10);
  TrainerSettings settings = small_settings();
  settings.learning_rate = 1e30;
  settings.epochs = 50;
  const std::string message = message_of<DivergedError>([&] { sample.train(settings); });
  EXPECT_NE(message.find("in epoch "), std::string::npos) << message;
  EXPECT_NE(message.find("lower --lr"), std::string::npos) << message;
}

TEST(Trainer, RefusesBadDataAndSettingsByName) {
  const Sample good(40, 1, 4, 10);
  const TrainerSettings settings = small_settings();
  Sample bad = good;
  bad.labels[7] = 120;
  EXPECT_EQ(message_of<InputError>([&] { bad.train(settings); }), "train: row 7: label 120, 0 to 100 was needed");
  bad = good;
  bad.values[4 * 11 + 2] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_NE(message_of<InputError>([&] { bad.train(settings); }).find("feature 2 "), std::string::npos);
  bad = good;
  bad.weights.assign(40, -1);
  EXPECT_NE(message_of<InputError>([&] { bad.train(settings); }).find("row 0: weight -1"), std::string::npos);
  const Sample few(1, 5, 4, 10);
  EXPECT_NE(message_of<InputError>([&] { few.train(settings); }).find("--validation"), std::string::npos);
  const auto with = [&](auto member, auto value) {
    TrainerSettings changed = settings;
    changed.*member = value;
    return message_of<UsageError>([&] { good.train(changed); });
  };
  EXPECT_NE(with(&TrainerSettings::hidden, 0).find("--hidden: 0,"), std::string::npos);
  EXPECT_NE(with(&TrainerSettings::learning_rate, -1.).find("--lr: -1,"), std::string::npos);
  EXPECT_NE(with(&TrainerSettings::learning_rate, std::nan("")).find("--lr"), std::string::npos);
  EXPECT_NE(with(&TrainerSettings::batch, 0).find("--batch: 0,"), std::string::npos);
  EXPECT_NE(with(&TrainerSettings::epochs, 0).find("--epochs: 0,"), std::string::npos);
  EXPECT_NE(with(&TrainerSettings::validation_share, 1.).find("--validation: 1,"), std::string::npos);
  TrainerSettings none = settings;
  none.validation_share = 0;
  none.patience = 3;
  EXPECT_NE(message_of<UsageError>([&] { good.train(none); }).find("--early-stop"), std::string::npos);
  none.patience = 0;
  none.epochs = 2;
  EXPECT_EQ(good.train(none).best_epoch, 2);
}

}  // namespace
}  // namespace kvgauge::testing
