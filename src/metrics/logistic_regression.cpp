#include "metrics/logistic_regression.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>

#include "core/check.h"

namespace kvgauge {
namespace {

constexpr std::size_t kHistory = 20;  // pairs of steps and gradient changes
constexpr int kMostTrials = 60;       // of step lengths on one line
constexpr double kArmijo = 1e-4, kCurvature = 0.9;

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

double largest(const std::vector<double>& values) {
  double most = 0;
  for (const double x : values) most = std::max(most, std::abs(x));
  return most;
}

double score_of(const FeatureRows::Row& row, const double* weights, double intercept) {
  double sum = intercept;
  for (std::size_t i = 0; i < row.columns.size(); ++i)
    sum += weights[static_cast<std::size_t>(row.columns[i])] * row.values[i];
  return sum;
}

// Turns the scores of a row into the gradient of its cross entropy with respect to them; returns the cross entropy.
double cross_entropy(std::vector<double>& scores, std::int32_t label) {
  if (scores.size() == 1) {  // log(1 + exp(-y z)), y = +-1
    const double y = label == 1 ? 1 : -1, z = y * scores[0], e = std::exp(-std::abs(z));
    scores[0] = -y * (z >= 0 ? e : 1) / (1 + e);
    return std::log1p(e) + std::max(-z, 0.0);
  }
  const double most = *std::max_element(scores.begin(), scores.end());
  const double own = scores[static_cast<std::size_t>(label)];
  double sum = 0;
  for (double& z : scores) sum += z = std::exp(z - most);
  for (double& z : scores) z /= sum;
  scores[static_cast<std::size_t>(label)] -= 1;
  return std::log(sum) + most - own;
}

/// Value and gradient of what is minimised. The point: weights [outputs, features], then intercepts [outputs].
class Objective {
 public:
  Objective(const FeatureRows& rows, std::span<const std::int32_t> labels, std::size_t outputs, double c)
      : rows_(rows), labels_(labels), scores_(outputs), c_(c) {}

  double operator()(const std::vector<double>& point, std::vector<double>& gradient) {
    const auto features = static_cast<std::size_t>(rows_.columns());
    const std::size_t weights = scores_.size() * features;
    double penalty = 0, loss = 0;
    for (std::size_t i = 0; i < weights; ++i) penalty += point[i] * point[i];
    std::copy_n(point.begin(), weights, gradient.begin());
    std::fill(gradient.begin() + static_cast<std::ptrdiff_t>(weights), gradient.end(), 0.0);
    for (std::int64_t i = 0; i < rows_.rows(); ++i) {
      const FeatureRows::Row row = rows_.row(i);
      for (std::size_t o = 0; o < scores_.size(); ++o)
        scores_[o] = score_of(row, point.data() + o * features, point[weights + o]);
      loss += c_ * cross_entropy(scores_, labels_[static_cast<std::size_t>(i)]);
      for (std::size_t o = 0; o < scores_.size(); ++o) {
        const double slope = c_ * scores_[o];
        double* const to = gradient.data() + o * features;
        for (std::size_t k = 0; k < row.columns.size(); ++k)
          to[static_cast<std::size_t>(row.columns[k])] += slope * row.values[k];
        gradient[weights + o] += slope;
      }
    }
    return 0.5 * penalty + loss;
  }

 private:
  const FeatureRows& rows_;
  std::span<const std::int32_t> labels_;
  std::vector<double> scores_;
  double c_;
};

struct Pair {
  std::vector<double> step, change;  // of the point, of the gradient
  double curvature;                  // their product
};

// The two-loop recursion: direction = -(approximate inverse Hessian) gradient.
std::vector<double> direction_of(const std::deque<Pair>& history, const std::vector<double>& gradient) {
  std::vector<double> out = gradient, shares(history.size());
  for (std::size_t i = history.size(); i-- > 0;) {
    const Pair& pair = history[i];
    shares[i] = dot(pair.step, out) / pair.curvature;
    for (std::size_t k = 0; k < out.size(); ++k) out[k] -= shares[i] * pair.change[k];
  }
  if (!history.empty()) {
    const double scale = history.back().curvature / dot(history.back().change, history.back().change);
    for (double& x : out) x *= scale;
  }
  for (std::size_t i = 0; i < history.size(); ++i) {
    const Pair& pair = history[i];
    const double share = shares[i] - dot(pair.change, out) / pair.curvature;
    for (std::size_t k = 0; k < out.size(); ++k) out[k] += share * pair.step[k];
  }
  for (double& x : out) x = -x;
  return out;
}

/// A point on a line with the objective there.
struct Trial {
  double length = 0, value = 0, slope = 0;
};

// Bisects for a step that lowers the objective enough and flattens the slope enough (Wolfe). Near the optimum the
// objective changes by less than its rounding: there it may rise by that, and the slope alone decides.
class LineSearch {
 public:
  LineSearch(Objective& objective, const std::vector<double>& point, const std::vector<double>& direction, double value,
             double slope)
      : objective_(objective), point_(point), direction_(direction), start_{0, value, slope} {}

  bool run(double length, std::vector<double>& point, std::vector<double>& gradient, double& value) {
    const double rounding = 16 * std::numeric_limits<double>::epsilon() * std::abs(start_.value);
    double low = 0, high = std::numeric_limits<double>::infinity();
    for (int trial = 0; trial < kMostTrials; ++trial) {
      for (std::size_t i = 0; i < point.size(); ++i) point[i] = point_[i] + length * direction_[i];
      value = objective_(point, gradient);
      const double slope = dot(gradient, direction_);
      if (!(value <= start_.value + kArmijo * length * start_.slope + rounding)) {
        high = length;
      } else if (slope < kCurvature * start_.slope) {
        low = length;
      } else {
        return true;
      }
      length = std::isinf(high) ? 2 * length : (low + high) / 2;
    }
    return false;
  }

 private:
  Objective& objective_;
  const std::vector<double>&point_, &direction_;
  Trial start_;
};

}  // namespace

std::int32_t LogisticRegression::predict(const FeatureRows::Row& row) const {
  if (classes == 2) return score_of(row, weights.data(), intercepts[0]) > 0 ? 1 : 0;
  std::int32_t best = 0;
  double most = 0;
  for (std::int64_t o = 0; o < classes; ++o) {
    const double score = score_of(row, weights.data() + o * features, intercepts[static_cast<std::size_t>(o)]);
    if (o > 0 && score <= most) continue;
    most = score;
    best = static_cast<std::int32_t>(o);
  }
  return best;
}

LogisticRegression fit_logistic(const FeatureRows& rows, std::span<const std::int32_t> labels, std::int64_t classes,
                                const LogisticOptions& options) {
  KVGAUGE_CHECK(classes >= 2 && std::ssize(labels) == rows.rows() && rows.rows() > 0, labels.size(), " labels of ",
                classes, " classes for ", rows.rows(), " rows");
  for (const std::int32_t label : labels)
    KVGAUGE_CHECK(label >= 0 && label < classes, "label ", label, " of ", classes);
  LogisticRegression model{.features = rows.columns(), .classes = classes};
  const auto outputs = static_cast<std::size_t>(model.outputs()), features = static_cast<std::size_t>(rows.columns());
  Objective objective(rows, labels, outputs, options.c);

  std::vector<double> point(outputs * (features + 1)), gradient(point.size());
  double value = objective(point, gradient);
  const double tolerance = options.tolerance * std::max(1.0, largest(gradient));
  std::deque<Pair> history;
  std::vector<double> next(point.size()), next_gradient(point.size());
  while (largest(gradient) > tolerance && model.iterations < options.max_iterations) {
    const std::vector<double> direction = direction_of(history, gradient);
    const double slope = dot(direction, gradient);
    const double first = history.empty() ? 1 / std::max(1.0, std::sqrt(dot(gradient, gradient))) : 1;
    double next_value = 0;
    const bool found =
        slope < 0 && LineSearch(objective, point, direction, value, slope).run(first, next, next_gradient, next_value);
    if (!found) {
      if (history.empty()) break;  // steepest descent finds no lower point either: the optimum, as far as doubles reach
      history.clear();
      continue;
    }
    ++model.iterations;
    Pair pair{std::vector<double>(point.size()), std::vector<double>(point.size()), 0};
    for (std::size_t i = 0; i < point.size(); ++i) {
      pair.step[i] = next[i] - point[i];
      pair.change[i] = next_gradient[i] - gradient[i];
    }
    pair.curvature = dot(pair.step, pair.change);
    std::swap(point, next);
    std::swap(gradient, next_gradient);
    value = next_value;
    if (pair.curvature <= 0) continue;
    history.push_back(std::move(pair));
    if (history.size() > kHistory) history.pop_front();
  }
  model.gradient = largest(gradient);
  model.converged = model.gradient <= tolerance;
  const auto weights = static_cast<std::ptrdiff_t>(outputs * features);
  model.weights.assign(point.begin(), point.begin() + weights);
  model.intercepts.assign(point.begin() + weights, point.end());
  return model;
}

}  // namespace kvgauge
