#include "metrics/classification.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/cat.h"
#include "core/json.h"
#include "kvgauge/error.h"
#include "metrics/bag_of_words.h"
#include "reference/lcg.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

const Json& golden() {
  static const Json json = parse_json(
      testing::read_file(testing::repo_path("tests/golden/classification/classification.json")), "classification.json");
  return json;
}

void expect_scores(const ClassificationScores& found, const Json& want) {
  EXPECT_NEAR(found.accuracy, want["accuracy"].get<double>(), 1e-12);
  EXPECT_NEAR(found.macro_f1, want["macro_f1"].get<double>(), 1e-12);
  EXPECT_NEAR(found.weighted_f1, want["weighted_f1"].get<double>(), 1e-12);
  if (want["ap"].is_null())
    EXPECT_TRUE(std::isnan(found.average_precision));
  else
    EXPECT_NEAR(found.average_precision, want["ap"].get<double>(), 1e-12);
}

TEST(Classification, ScoresAreThoseOfScikitLearn) {
  ASSERT_GT(golden()["scores"].size(), 30u);
  for (const Json& one : golden()["scores"])
    expect_scores(classification_scores(one["truth"].get<std::vector<std::int32_t>>(),
                                        one["predicted"].get<std::vector<std::int32_t>>(), one["labels"]),
                  one);
}

TEST(Classification, TheProtocolIsThatOfMteb) {
  ASSERT_EQ(golden()["protocols"].size(), 3u);
  for (const Json& one : golden()["protocols"]) {
    const std::size_t classes = one["classes"], columns = one["columns"], rows = one["rows"],
                      all = rows + one["test_rows"].get<std::size_t>();
    testing::Lcg lcg(one["seed"]);
    const auto centres = lcg.values(classes * columns), noise = lcg.values(all * columns);
    EmbeddingMatrix train{static_cast<std::int64_t>(columns), {}}, test = train;
    std::vector<std::string> train_labels, test_labels;
    for (std::size_t i = 0; i < all; ++i) {
      EmbeddingMatrix& to = i < rows ? train : test;
      (i < rows ? train_labels : test_labels).push_back(cat(i % classes));
      for (std::size_t c = 0; c < columns; ++c)
        to.data.push_back(static_cast<float>(noise[i * columns + c] +
                                             one["separation"].get<double>() * centres[i % classes * columns + c] + 1));
    }
    const LabelSet labels = number_labels(train_labels, test_labels);
    const auto experiments =
        experiment_rows(labels.train, {.samples_per_label = one["samples_per_label"].get<std::int64_t>()});
    const auto result = classify("kv", labels, experiments, embedding_features(train, test, false, true));
    ASSERT_EQ(result.experiments.size(), 10u);
    for (std::size_t e = 0; e < 10; ++e) {
      EXPECT_EQ(experiments[e], one["experiments"][e]["rows"].get<std::vector<std::int32_t>>());
      EXPECT_TRUE(result.experiments[e].converged);
      expect_scores(result.experiments[e].scores, one["experiments"][e]);
    }
    EXPECT_NEAR(result.mean.accuracy, one["mean_accuracy"].get<double>(), 1e-12);
    EXPECT_NEAR(result.deviation.accuracy, one["sd_accuracy"].get<double>(), 1e-12);
  }
}

TEST(Classification, CentringSubtractsTheMeanOfTheTrainRowsBeforeNormalising) {
  const EmbeddingMatrix train{2, {1, 2, 3, 6, 100, 100}}, test{2, {2, 9, 2, 4}};
  const auto features = embedding_features(train, test, true, true)(std::vector<std::int32_t>{0, 1});  // mean (2, 4)
  const auto value = [](const FeatureRows& rows, std::int64_t row, std::int32_t column) {
    const FeatureRows::Row one = rows.row(row);
    for (std::size_t i = 0; i < one.columns.size(); ++i)
      if (one.columns[i] == column) return one.values[i];
    return 0.0;
  };
  EXPECT_EQ(features.train.rows(), 2);
  EXPECT_NEAR(value(features.train, 0, 0), -1 / std::sqrt(5), 1e-15);
  EXPECT_NEAR(value(features.train, 0, 1), -2 / std::sqrt(5), 1e-15);
  EXPECT_EQ(value(features.test, 0, 0), 0);
  EXPECT_EQ(value(features.test, 0, 1), 1);
  EXPECT_EQ(value(features.test, 1, 1), 0) << "the mean itself has no direction";
}

TEST(Classification, LengthIsStandardisedByTheTrainRows) {
  const std::vector<std::string> train = {"one", "one two three", "not, in, the, fit!"}, test = {"a b c d", "a b"};
  const auto features = length_features(train, test)(std::vector<std::int32_t>{0, 1});  // 1 and 3 words: mean 2, sd 1
  EXPECT_EQ(features.train.row(0).values[0], -1);
  EXPECT_EQ(features.train.row(1).values[1], 1);
  EXPECT_EQ(features.test.row(0).values[0], 2);
  EXPECT_EQ(features.test.row(0).values[1], 4);
  EXPECT_TRUE(features.test.row(1).values.empty()) << "the mean";
  const auto alike = length_features(train, test)(std::vector<std::int32_t>{1});
  EXPECT_TRUE(alike.train.row(0).values.empty()) << "no deviation to divide by";
}

TEST(Classification, LayerMeansTakeVectorsOfAllLayersApart) {
  // Three layers, K and V of two values: value = 10 * layer + index, and a second row of its negative.
  EmbeddingMatrix flat{12, {}};
  for (const float sign : {1.f, -1.f})
    for (int layer = 0; layer < 3; ++layer)
      for (int i = 0; i < 4; ++i) flat.data.push_back(sign * static_cast<float>(10 * layer + i));
  EXPECT_EQ(layer_means(flat, 3, 2, GaugePart::kK).data, (std::vector<float>{15, 16, -15, -16}));
  EXPECT_EQ(layer_means(flat, 3, 3, GaugePart::kV).data, (std::vector<float>{12, 13, -12, -13}));
  EXPECT_EQ(layer_means(flat, 3, 1, GaugePart::kKV).data, (std::vector<float>{20, 21, 22, 23, -20, -21, -22, -23}));
}

TEST(Classification, LabelsAreOrderedAsNumbersIfTheyAreNumbers) {
  const std::vector<std::string> numbers = {"10", "9", "-1"}, words = {"b", "10", "9"}, none = {"x", "x"};
  EXPECT_EQ(number_labels(numbers, numbers).names, (std::vector<std::string>{"-1", "9", "10"}));
  EXPECT_EQ(number_labels(words, words).names, (std::vector<std::string>{"10", "9", "b"}));
  EXPECT_THROW(number_labels(none, words), UsageError);
}

// A label that no train row has is a row that is always wrong, not a failure.
TEST(Classification, LabelsOfTheTestRowsAloneAreNeverPredicted) {
  const std::vector<std::string> train = {"a", "c", "a", "c"}, test = {"a", "b", "c"};
  const LabelSet labels = number_labels(train, test);
  const EmbeddingMatrix x{1, {-1, 1, -1, 1}}, y{1, {-1, 0, 1}};
  const auto result =
      classify("kv", labels, experiment_rows(labels.train, {.experiments = 1}), embedding_features(x, y, false, false));
  EXPECT_NEAR(result.mean.accuracy, 2.0 / 3, 1e-12);
  EXPECT_TRUE(std::isnan(result.deviation.accuracy));
  EXPECT_TRUE(std::isnan(result.mean.average_precision));
}

TEST(Classification, AllAndMajority) {
  const std::vector<std::string> train = {"a", "b", "b", "a", "b"}, test = {"b", "a", "b", "b"};
  const LabelSet labels = number_labels(train, test);
  const auto rows = experiment_rows(labels.train, {.all = true});
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0], (std::vector<std::int32_t>{0, 1, 2, 3, 4}));
  EXPECT_NEAR(classify_by_majority(labels).mean.accuracy, 0.75, 1e-12);
}

TEST(BagOfWords, IsTheTfIdfOfScikitLearn) {
  const Json& want = golden()["words"];
  const auto texts = want["texts"].get<std::vector<std::string>>(), test = want["test"].get<std::vector<std::string>>();
  const BagOfWords bag(std::vector<std::string_view>(texts.begin(), texts.end()));
  ASSERT_EQ(bag.columns(), std::ssize(want["names"]));
  FeatureRows rows(bag.columns());
  for (const auto* const list : {&texts, &test})
    for (const std::string& text : *list) bag.append(text, rows);
  for (std::int64_t i = 0; i < rows.rows(); ++i) {
    const auto at = static_cast<std::size_t>(i);
    const Json& row = at < texts.size() ? want["train"][at] : want["of_test"][at - texts.size()];
    std::vector<double> found(row.size());
    const FeatureRows::Row sparse = rows.row(i);
    for (std::size_t k = 0; k < sparse.columns.size(); ++k)
      found[static_cast<std::size_t>(sparse.columns[k])] = sparse.values[k];
    for (std::size_t c = 0; c < row.size(); ++c) EXPECT_NEAR(found[c], row[c].get<double>(), 1e-12) << i << ", " << c;
  }
}

TEST(BagOfWords, BytesThatAreNoTextSeparateWords) {
  EXPECT_EQ(words_of("A\xff\x62\xe2\x82 C_1\xf0"), (std::vector<std::string>{"a", "b", "c_1"}));
  EXPECT_TRUE(words_of("").empty());
}

}  // namespace
}  // namespace kvgauge
