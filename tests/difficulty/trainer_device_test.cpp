#include <gtest/gtest.h>

#include <cmath>

#include "core/cat.h"
#include "difficulty/trainer.h"
#include "reference/lcg.h"
#include "support/executors.h"

namespace kvgauge::testing {
namespace {

class TrainerOnDevice : public ::testing::TestWithParam<Executor> {};

// Steps of Adam have the size of the learning rate whatever the gradient: where one is nearly 0, rounding decides their
// sign. So weights wander apart, and losses agree to what 12 steps of 1e-2 can move where 1 % of the signs differ.
TEST_P(TrainerOnDevice, TrainsAsTheCpuDoes) {
  if (const std::string reason = reason_to_skip(GetParam()); !reason.empty()) GTEST_SKIP() << reason;
  Lcg lcg(21);
  constexpr std::int64_t kRows = 90, kColumns = 19;
  std::vector<float> values, labels, weights;
  std::vector<std::uint64_t> questions;
  for (std::int64_t i = 0; i < kRows; ++i) {
    for (std::int64_t c = 0; c < kColumns; ++c) values.push_back(static_cast<float>(50 + 20 * lcg.f24()));
    labels.push_back(values[values.size() - 1] > 50 ? 100 : 25);
    weights.push_back(static_cast<float>(0.5 + lcg.u53()));
    questions.push_back(question_key(cat(i / 2)));
  }
  const TrainerSettings settings{.hidden = 21,
                                 .loss = usual_mlp_loss(MlpLossKind::kOrdinal),
                                 .optimizer = Optimizer::kAdamW,
                                 .learning_rate = 1e-2,
                                 .weight_decay = 1e-3,
                                 .batch = 32,
                                 .epochs = 4,
                                 .patience = 0,
                                 .validation_share = 0.3,
                                 .resamples = 20};
  const auto train = [&](Backend& backend) {
    const DeviceFeatures features(backend, kRows, kColumns, values);
    return train_head(
        backend, {.features = features.view(), .labels = labels, .questions = questions, .weights = weights}, settings);
  };
  const auto host = backend_for(supported_isas().back()), device = backend_for(GetParam());
  const TrainingResult want = train(*host), got = train(*device);
  ASSERT_EQ(got.history.size(), want.history.size());
  for (std::size_t i = 0; i < want.history.size(); ++i) {
    EXPECT_NEAR(got.history[i].train_loss, want.history[i].train_loss, 1e-3 * want.history[i].train_loss);
    EXPECT_NEAR(got.history[i].validation_mse, want.history[i].validation_mse, 1e-3 * want.history[i].validation_mse);
  }
  EXPECT_LT(got.history.back().train_loss, got.history.front().train_loss);
  EXPECT_EQ(got.head.mean, want.head.mean);  // sums in double, rounded once
  EXPECT_EQ(got.validation.rows, want.validation.rows);
  EXPECT_NEAR(got.validation.mse.value, got.history[static_cast<std::size_t>(got.best_epoch - 1)].validation_mse,
              1e-4 * got.validation.mse.value);
}

GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(TrainerOnDevice);
INSTANTIATE_TEST_SUITE_P(Executor, TrainerOnDevice, ::testing::ValuesIn(device_executors()),
                         [](const auto& instance) { return name(instance.param); });

}  // namespace
}  // namespace kvgauge::testing
