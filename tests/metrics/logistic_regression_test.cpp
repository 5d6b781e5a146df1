#include "metrics/logistic_regression.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "core/json.h"
#include "reference/lcg.h"
#include "support/paths.h"

namespace kvgauge {
namespace {

struct Data {
  FeatureRows rows{0};
  std::vector<std::int32_t> labels;
};

Json golden_of(const char* name) { return parse_json(testing::read_file(testing::repo_path(name)), name); }

void expect_coefficients(const LogisticRegression& model, const Json& coef, const Json& intercept, double tolerance) {
  ASSERT_EQ(coef.size(), static_cast<std::size_t>(model.outputs()));
  for (std::size_t o = 0; o < coef.size(); ++o) {
    EXPECT_NEAR(model.intercepts[o], intercept[o].get<double>(), tolerance) << "intercept " << o;
    for (std::size_t c = 0; c < coef[o].size(); ++c)
      EXPECT_NEAR(model.weights[o * coef[o].size() + c], coef[o][c].get<double>(), tolerance) << o << ", " << c;
  }
}

// centres[C][D]; noise * 0.5 + sep * centre of label k % C, each row divided by its length.
TEST(LogisticRegression, MatchesTheMethodsGoldens) {
  const Json golden = golden_of("tests/golden/logreg.json");
  ASSERT_EQ(golden["cases"].size(), 4u);
  for (const Json& one : golden["cases"]) {
    const std::size_t classes = one["classes"], columns = one["D"];
    testing::Lcg lcg(one["seed"]);
    const auto centres = lcg.values(classes * columns);
    const auto draw = [&](std::size_t count) {
      Data data{FeatureRows(static_cast<std::int64_t>(columns)), {}};
      for (std::size_t i = 0; i < count; ++i) {
        std::vector<double> row = lcg.values(columns, &testing::Lcg::f24, 0.5);
        double squares = 0;
        for (std::size_t c = 0; c < columns; ++c) {
          row[c] += one["sep"].get<double>() * centres[i % classes * columns + c];
          squares += row[c] * row[c];
        }
        for (double& x : row) x /= std::sqrt(squares);
        data.rows.add_dense(row);
        data.labels.push_back(static_cast<std::int32_t>(i % classes));
      }
      return data;
    };
    const Data train = draw(classes * one["per_label"].get<std::size_t>());
    const Data test = draw(one["n_test"].get<std::size_t>());
    const auto model = fit_logistic(train.rows, train.labels, static_cast<std::int64_t>(classes));
    EXPECT_TRUE(model.converged) << model.gradient;
    expect_coefficients(model, one["coef"], one["intercept"], 1e-8);
    std::vector<std::int32_t> predicted;
    for (std::int64_t i = 0; i < test.rows.rows(); ++i) predicted.push_back(model.predict(test.rows.row(i)));
    EXPECT_EQ(predicted, one["pred"].get<std::vector<std::int32_t>>());
  }
}

// Unscaled, badly conditioned, nearly and entirely separable data, many columns.
TEST(LogisticRegression, MatchesScikitLearn) {
  const Json golden = golden_of("tests/golden/classification/classification.json");
  ASSERT_EQ(golden["regressions"].size(), 5u);
  for (const Json& one : golden["regressions"]) {
    const std::size_t classes = one["classes"], columns = one["columns"], rows = one["rows"];
    testing::Lcg lcg(one["seed"]);
    const auto centres = lcg.values(classes * columns);
    Data data{FeatureRows(static_cast<std::int64_t>(columns)), {}};
    for (std::size_t i = 0; i < rows; ++i) {
      std::vector<double> row = lcg.values(columns, &testing::Lcg::f24, one["scale"].get<double>());
      for (std::size_t c = 0; c < columns; ++c)
        row[c] += one["separation"].get<double>() * centres[i % classes * columns + c] + 1;
      data.rows.add_dense(row);
      data.labels.push_back(static_cast<std::int32_t>(i % classes));
    }
    const auto model = fit_logistic(data.rows, data.labels, static_cast<std::int64_t>(classes));
    EXPECT_TRUE(model.converged) << "seed " << one["seed"] << ": " << model.gradient << " after " << model.iterations;
    // scikit-learn's own gradient ends below 1e-7; the penalty's curvature is 1.
    expect_coefficients(model, one["coef"], one["intercept"], 1e-6);
  }
}

TEST(LogisticRegression, SparseRowsAreTheSameAsDenseOnes) {
  std::mt19937_64 random(testing::test_seed(421));
  std::normal_distribution<double> normal;
  Data dense{FeatureRows(30), {}}, sparse{FeatureRows(30), {}};
  for (int i = 0; i < 50; ++i) {
    std::vector<double> row(30), values;
    std::vector<std::int32_t> columns;
    for (int c = 0; c < 30; ++c)
      if (random() % 5 == 0) {
        row[static_cast<std::size_t>(c)] = normal(random);
        columns.push_back(c);
        values.push_back(row[static_cast<std::size_t>(c)]);
      }
    dense.rows.add_dense(row);
    sparse.rows.add_sparse(columns, values);
    dense.labels.push_back(i % 4);
  }
  const auto a = fit_logistic(dense.rows, dense.labels, 4), b = fit_logistic(sparse.rows, dense.labels, 4);
  EXPECT_EQ(a.weights, b.weights);
  EXPECT_EQ(a.intercepts, b.intercepts);
}

// An intercept that is not penalised takes up a shift of all rows: centring alone cannot change a prediction.
TEST(LogisticRegression, AShiftOfAllRowsChangesTheInterceptsOnly) {
  std::mt19937_64 random(testing::test_seed(422));
  std::normal_distribution<double> normal;
  for (const std::int64_t classes : {2, 5}) {
    Data at_zero{FeatureRows(6), {}}, shifted{FeatureRows(6), {}};
    for (int i = 0; i < 60; ++i) {
      std::vector<double> row(6);
      for (double& x : row) x = normal(random);
      at_zero.rows.add_dense(row);
      for (double& x : row) x += 3;
      shifted.rows.add_dense(row);
      at_zero.labels.push_back(static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(classes)));
    }
    const auto a = fit_logistic(at_zero.rows, at_zero.labels, classes),
               b = fit_logistic(shifted.rows, at_zero.labels, classes);
    EXPECT_TRUE(a.converged && b.converged);
    for (std::size_t i = 0; i < a.weights.size(); ++i) EXPECT_NEAR(a.weights[i], b.weights[i], 1e-7);
  }
}

TEST(LogisticRegression, RowsThatDoNotDifferLeaveTheClassShares) {
  Data data{FeatureRows(2), {0, 0, 0, 1}};
  for (int i = 0; i < 4; ++i) data.rows.add_dense(std::vector<double>{0, 0});
  const auto model = fit_logistic(data.rows, data.labels, 2);
  EXPECT_TRUE(model.converged);
  EXPECT_NEAR(model.intercepts[0], std::log(1.0 / 3), 1e-8);
  EXPECT_EQ(model.predict(data.rows.row(0)), 0);
}

}  // namespace
}  // namespace kvgauge
