#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "metrics/feature_rows.h"

namespace kvgauge {

/// scikit-learn's LogisticRegression with its defaults, fitted to its optimum (METHOD.md E): minimises
///   0.5 |W|^2 + C sum_i cross entropy(label_i, W x_i + b),   C = 1, b unpenalised
/// Two classes: one weight vector, whose positive side is class 1 (logistic loss). More: one per class (softmax); the
/// sum of the intercepts, which the loss does not see, stays 0.
struct LogisticRegression {
  std::int64_t features = 0, classes = 0;
  std::vector<double> weights = {};     ///< [outputs(), features] row-major
  std::vector<double> intercepts = {};  ///< [outputs()]
  std::int64_t iterations = 0;
  double gradient = 0;     ///< largest component of the objective's gradient at the end
  bool converged = false;  ///< it is at most the tolerance

  std::int64_t outputs() const { return classes == 2 ? 1 : classes; }
  /// The likeliest class; of equally likely ones the first.
  std::int32_t predict(const FeatureRows::Row& row) const;
};

struct LogisticOptions {
  double c = 1;
  double tolerance = 1e-10;  ///< of the largest component of the gradient, times the larger of 1 and that at zero
  std::int64_t max_iterations = 10000;
};

/// Limited-memory BFGS from zero. Deterministic.
/// @param labels 0..classes-1, one per row; classes at least 2. Values must be finite.
LogisticRegression fit_logistic(const FeatureRows& rows, std::span<const std::int32_t> labels, std::int64_t classes,
                                const LogisticOptions& options = {});

}  // namespace kvgauge
