#include "metrics/bootstrap.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

#include "core/check.h"
#include "core/rng.h"
#include "metrics/sample_statistics.h"

namespace kvgauge {
namespace {

template <class Visit>
void each_draw(std::uint64_t seed, std::uint64_t resample, std::uint64_t rows, const Visit& visit) {
  for (std::uint64_t drawn = 0; drawn < rows; drawn += 4) {  // a call of philox gives four draws
    const auto words = philox(seed, drawn / 4, resample);
    const std::uint64_t take = std::min<std::uint64_t>(4, rows - drawn);
    for (std::uint64_t i = 0; i < take; ++i) visit((words[i] * rows) >> 32);  // off uniform by rows / 2^32 at most
  }
}

double weighted_mean(const std::vector<double>& values, const std::vector<std::uint32_t>& counts) {
  double sum = 0;
  for (std::size_t i = 0; i < values.size(); ++i) sum += values[i] * counts[i];
  return sum / static_cast<double>(values.size());
}

}  // namespace

void draw_resample(std::uint64_t seed, std::uint64_t resample, std::span<std::uint32_t> counts) {
  std::fill(counts.begin(), counts.end(), 0);
  each_draw(seed, resample, counts.size(), [&](std::uint64_t row) { ++counts[row]; });
}

void ResampleBlock::draw(std::uint64_t seed, std::uint64_t first_resample, std::size_t lanes, std::size_t rows) {
  counts.assign(rows * kLanes, 0);
  for (std::size_t lane = 0; lane < lanes; ++lane)
    each_draw(seed, first_resample + lane, rows, [&](std::uint64_t row) {
      std::uint16_t& count = counts[row * kLanes + lane];
      count = static_cast<std::uint16_t>(count + (count < UINT16_MAX));  // 65,536 draws of one row: never seen
    });
}

AurocSample::AurocSample(const RankedRows& rows) {
  std::vector<std::uint32_t> order(rows.scores.size());
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(),
            [&](std::uint32_t a, std::uint32_t b) { return rows.scores[a] < rows.scores[b]; });
  for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    const auto below = static_cast<std::uint32_t>(wrong_.size());
    const std::size_t first_right = right_.size();
    for (; end < order.size() && rows.scores[order[end]] == rows.scores[order[begin]]; ++end) {
      const std::uint32_t row = rows.row[order[end]];
      if (rows.correct[order[end]])
        right_.push_back({.row = row, .below = below, .level = 0});
      else
        wrong_.push_back(row);
    }
    for (std::size_t i = first_right; i < right_.size(); ++i)
      right_[i].level = static_cast<std::uint32_t>(wrong_.size());
  }
}

void AurocSample::aurocs(const ResampleBlock& block, std::span<double, ResampleBlock::kLanes> out) const {
  constexpr std::size_t kLanes = ResampleBlock::kLanes;
  using Counts = std::array<std::uint32_t, kLanes>;
  thread_local std::vector<Counts> drawn_below;  // [k]: draws of the k lowest wrong rows
  drawn_below.resize(wrong_.size() + 1);
  drawn_below[0] = {};
  const std::uint16_t* const counts = block.counts.data();
  for (std::size_t k = 0; k < wrong_.size(); ++k) {
    const std::uint16_t* const drawn = counts + std::size_t{wrong_[k]} * kLanes;
    for (std::size_t lane = 0; lane < kLanes; ++lane) drawn_below[k + 1][lane] = drawn_below[k][lane] + drawn[lane];
  }
  Counts right = {};
  std::array<std::uint64_t, kLanes> twice_pairs = {};  // Mann-Whitney: 2 for a wrong row below, 1 for a level one
  for (const Right& r : right_) {
    const std::uint16_t* const drawn = counts + std::size_t{r.row} * kLanes;
    const Counts &below = drawn_below[r.below], &level = drawn_below[r.level];
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      right[lane] += drawn[lane];
      twice_pairs[lane] += std::uint64_t{drawn[lane]} * (below[lane] + level[lane]);  // the sum is below 2^32
    }
  }
  for (std::size_t lane = 0; lane < kLanes; ++lane) {
    const double wrong = drawn_below.back()[lane];
    out[lane] = right[lane] > 0 && wrong > 0
                    ? static_cast<double>(twice_pairs[lane]) / (2 * wrong * static_cast<double>(right[lane]))
                    : kUndefined;
  }
}

std::vector<std::vector<double>> resampled_aurocs(std::span<const AurocSample> samples, std::int64_t rows,
                                                  const BootstrapOptions& options) {
  KVGAUGE_CHECK(options.resamples >= 0, options.resamples, " resamples");
  constexpr std::size_t kLanes = ResampleBlock::kLanes;
  const auto resamples = static_cast<std::size_t>(options.resamples);
  const std::size_t blocks = (resamples + kLanes - 1) / kLanes;
  std::vector<std::vector<double>> values(samples.size(), std::vector<double>(blocks * kLanes));
#pragma omp parallel
  {
    ResampleBlock block;
#pragma omp for schedule(static)
    for (std::size_t b = 0; b < blocks; ++b) {
      block.draw(options.seed, b * kLanes, std::min(kLanes, resamples - b * kLanes), static_cast<std::size_t>(rows));
      for (std::size_t s = 0; s < samples.size(); ++s)
        samples[s].aurocs(block, std::span<double, kLanes>(values[s].data() + b * kLanes, kLanes));
    }
  }
  for (std::vector<double>& of_sample : values) of_sample.resize(resamples);
  return values;
}

std::vector<std::vector<double>> resampled_means(std::span<const std::vector<double>> columns,
                                                 const BootstrapOptions& options) {
  std::vector<std::vector<double>> means(columns.size());
  if (columns.empty()) return means;
  std::vector<std::uint32_t> counts(columns.front().size());
  for (int resample = 0; resample < options.resamples; ++resample) {
    draw_resample(options.seed, static_cast<std::uint64_t>(resample), counts);
    for (std::size_t c = 0; c < columns.size(); ++c) {
      KVGAUGE_CHECK(columns[c].size() == counts.size(), columns[c].size(), " values, ", counts.size(), " rows");
      means[c].push_back(weighted_mean(columns[c], counts));
    }
  }
  return means;
}

Interval percentile_interval(std::vector<double> values, double coverage) {
  values.erase(std::remove_if(values.begin(), values.end(), [](double v) { return std::isnan(v); }), values.end());
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const double tail = (1 - coverage) / 2;
  return {.low = quantile_of_sorted(values, tail), .high = quantile_of_sorted(values, 1 - tail)};
}

double bootstrap_p(std::span<const double> differences) {
  std::int64_t no_more = 0, no_less = 0, defined = 0;
  for (const double d : differences) {
    if (std::isnan(d)) continue;
    ++defined;
    no_more += d <= 0;
    no_less += d >= 0;
  }
  if (defined == 0) return kUndefined;
  return std::min(1.0, 2 * static_cast<double>(1 + std::min(no_more, no_less)) / static_cast<double>(1 + defined));
}

Interval auroc_interval(std::span<const double> scores, std::span<const std::uint8_t> correct,
                        const BootstrapOptions& options) {
  RankedRows rows = apply_nan_policy(scores, correct, NanPolicy::kWorst);
  const AurocSample sample(rows);
  const auto right = std::count_if(correct.begin(), correct.end(), [](std::uint8_t label) { return label != 0; });
  if (right == 0 || right == static_cast<std::ptrdiff_t>(correct.size())) return {};
  return percentile_interval(resampled_aurocs({&sample, 1}, static_cast<std::int64_t>(scores.size()), options).front(),
                             options.coverage);
}

}  // namespace kvgauge
