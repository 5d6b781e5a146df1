#include "difficulty/difficulty_metrics.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>
#include <vector>

#include "core/check.h"
#include "metrics/bootstrap.h"
#include "metrics/correlation.h"
#include "metrics/ranking.h"

namespace kvgauge {
namespace {

constexpr float kHardLabel = 75;

/// Rows by ascending value, cut into groups of equal ones: ranks of any resample in one pass.
class RankOrder {
 public:
  explicit RankOrder(std::span<const double> values) : order_(values.size()) {
    std::iota(order_.begin(), order_.end(), 0u);
    std::sort(order_.begin(), order_.end(), [&](std::uint32_t a, std::uint32_t b) { return values[a] < values[b]; });
    for (std::size_t i = 0; i < order_.size(); ++i)
      if (i + 1 == order_.size() || values[order_[i]] != values[order_[i + 1]]) ends_.push_back(i + 1);
  }
  /// Midranks when row i counts counts[i] times.
  void ranks(std::span<const std::uint32_t> counts, std::span<double> out) const {
    double below = 0;
    std::size_t begin = 0;
    for (const std::size_t end : ends_) {
      double level = 0;
      for (std::size_t i = begin; i < end; ++i) level += counts[order_[i]];
      for (std::size_t i = begin; i < end; ++i) out[order_[i]] = below + (level + 1) / 2;
      below += level;
      begin = end;
    }
  }

 private:
  std::vector<std::uint32_t> order_;
  std::vector<std::size_t> ends_;
};

double weighted_pearson(std::span<const double> x, std::span<const double> y, std::span<const std::uint32_t> counts) {
  double n = 0, sum_x = 0, sum_y = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    n += counts[i];
    sum_x += counts[i] * x[i];
    sum_y += counts[i] * y[i];
  }
  double xx = 0, yy = 0, xy = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double u = x[i] - sum_x / n, v = y[i] - sum_y / n;
    xx += counts[i] * u * u;
    yy += counts[i] * v * v;
    xy += counts[i] * u * v;
  }
  return xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : kUndefined;
}

}  // namespace

DifficultyMetrics difficulty_metrics(std::span<const float> d, std::span<const float> labels,
                                     std::span<const std::uint64_t> questions, double tau, int resamples,
                                     std::uint64_t seed) {
  KVGAUGE_CHECK(d.size() == labels.size() && d.size() == questions.size(), d.size(), " predictions, ", labels.size(),
                " labels, ", questions.size(), " questions");
  DifficultyMetrics metrics;
  metrics.rows = std::ssize(d);
  if (d.empty()) return metrics;
  const std::size_t rows = d.size();
  const std::vector<double> predicted(d.begin(), d.end()), wanted(labels.begin(), labels.end());
  RankedRows ranked;
  ranked.scores = predicted;
  std::unordered_map<std::uint64_t, std::uint32_t> number_of;
  std::vector<double> squares, slow;  // of each question, with its rows
  std::vector<double> sizes;
  for (std::size_t i = 0; i < rows; ++i) {
    const auto [entry, is_new] = number_of.try_emplace(questions[i], static_cast<std::uint32_t>(number_of.size()));
    if (is_new) {
      squares.push_back(0);
      slow.push_back(0);
      sizes.push_back(0);
    }
    const std::uint32_t question = entry->second;
    ranked.correct.push_back(labels[i] >= kHardLabel);
    ranked.row.push_back(question);  // so that questions are what is resampled
    squares[question] += (predicted[i] - wanted[i]) * (predicted[i] - wanted[i]);
    slow[question] += predicted[i] > tau;
    sizes[question] += 1;
  }
  metrics.questions = std::ssize(sizes);
  const auto total = [](const std::vector<double>& values) {
    return std::accumulate(values.begin(), values.end(), 0.0);
  };
  metrics.mse.value = total(squares) / static_cast<double>(rows);
  metrics.slow_share.value = total(slow) / static_cast<double>(rows);
  metrics.spearman.value = spearman(predicted, wanted);
  metrics.auroc.value = ranking_metrics(ranked.scores, ranked.correct).auroc;
  if (resamples == 0) return metrics;

  const RankOrder by_d(predicted), by_label(wanted);
  std::vector<double> x(rows), y(rows), mse, slow_share, rho;
  std::vector<std::uint32_t> counts(sizes.size()), of_row(rows);
  for (int resample = 0; resample < resamples; ++resample) {
    draw_resample(seed, static_cast<std::uint64_t>(resample), counts);
    double drawn = 0, error = 0, routed = 0;
    for (std::size_t q = 0; q < counts.size(); ++q) {
      drawn += counts[q] * sizes[q];
      error += counts[q] * squares[q];
      routed += counts[q] * slow[q];
    }
    mse.push_back(error / drawn);
    slow_share.push_back(routed / drawn);
    for (std::size_t i = 0; i < rows; ++i) of_row[i] = counts[ranked.row[i]];
    by_d.ranks(of_row, x);
    by_label.ranks(of_row, y);
    rho.push_back(weighted_pearson(x, y, of_row));
  }
  metrics.mse.ci95 = percentile_interval(std::move(mse));
  metrics.slow_share.ci95 = percentile_interval(std::move(slow_share));
  metrics.spearman.ci95 = percentile_interval(std::move(rho));
  const AurocSample sample(ranked);
  metrics.auroc.ci95 = percentile_interval(
      resampled_aurocs({&sample, 1}, metrics.questions, {.resamples = resamples, .seed = seed}).front());
  return metrics;
}

}  // namespace kvgauge
