#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "kvgauge/scores.h"
#include "metrics/interval.h"
#include "metrics/ranking.h"

namespace kvgauge {

struct BootstrapOptions {
  int resamples = 1000;
  std::uint64_t seed = 0;
  double coverage = 0.95;
};

/// How often each row is drawn in resample number `resample`: counts.size() draws with replacement. The same seed draws
/// the same rows whatever is measured on them, so any two statistics of one table are compared on the same resamples.
void draw_resample(std::uint64_t seed, std::uint64_t resample, std::span<std::uint32_t> counts);

/// Several resamples side by side: how often each row is drawn in each, [row][lane]. A pass over rows in the order of a
/// score jumps through memory; each jump then serves all lanes.
struct ResampleBlock {
  static constexpr std::size_t kLanes = 8;
  std::vector<std::uint16_t> counts;
  void draw(std::uint64_t seed, std::uint64_t first_resample, std::size_t lanes, std::size_t rows);
};

/// The rows of one AUROC, laid out so that a resample costs one pass over them. They may be a part of the table's rows
/// (complete ones, valid ones): the table is resampled, and what a resample has of them is measured.
class AurocSample {
 public:
  /// @param rows `rows.row` are rows of the table
  explicit AurocSample(const RankedRows& rows);
  /// out[lane]: AUROC when row i counts as often as that lane drew it; NaN when one class is absent. Exact up to one
  /// rounding: pairs are counted in integers.
  void aurocs(const ResampleBlock& block, std::span<double, ResampleBlock::kLanes> out) const;

 private:
  struct Right {
    std::uint32_t row, below, level;  ///< wrong rows that score less; that score no more
  };
  std::vector<std::uint32_t> wrong_;  ///< rows, by ascending score
  std::vector<Right> right_;
};

/// [sample][resample]: AUROC of every sample in every resample of a table of `rows` rows. Deterministic for any number
/// of threads. Cost: resamples * (rows + the samples' sizes).
std::vector<std::vector<double>> resampled_aurocs(std::span<const AurocSample> samples, std::int64_t rows,
                                                  const BootstrapOptions& options);

/// [column][resample]: weighted means of columns of equal length.
std::vector<std::vector<double>> resampled_means(std::span<const std::vector<double>> columns,
                                                 const BootstrapOptions& options);

/// The central `coverage` of the values, linear between order statistics; NaN values (a resample of one class) are left
/// out.
Interval percentile_interval(std::vector<double> values, double coverage = 0.95);

/// Two-sided p of "no difference" from resampled differences: 2 (1 + min(#<=0, #>=0)) / (1 + #), at most 1.
double bootstrap_p(std::span<const double> differences);

/// Percentile bootstrap interval of AUROC; NaN where AUROC itself is undefined.
Interval auroc_interval(std::span<const double> scores, std::span<const std::uint8_t> correct,
                        const BootstrapOptions& options = {});

}  // namespace kvgauge
