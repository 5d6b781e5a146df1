#include "ops/logits_stats.h"

#include <cmath>
#include <limits>

#include "core/check.h"
#include "cpu/backend.h"

namespace kvgauge::cpu {
namespace {

TokenLogitStats undefined_stats() {
  return {.max_prob = kUndefined,
          .max_logprob = kUndefined,
          .second_prob = kUndefined,
          .entropy = kUndefined,
          .chosen_logprob = kUndefined,
          .mean_logprob = kUndefined};
}

// With m = max z, S = sum exp(z - m), ln p = z - m - ln S:
//   entropy = ln S - (1/S) sum exp(z - m) (z - m),   mean ln p = (1/n) sum z - m - ln S over the n finite z
TokenLogitStats statistics(const RowStats& row, float chosen) {
  const double log_sum = std::log(row.sum_exp), maximum = static_cast<double>(row.maximum);
  TokenLogitStats stats;
  stats.max_prob = 1 / row.sum_exp;
  stats.max_logprob = -log_sum;
  stats.second_prob = std::exp(static_cast<double>(row.second) - maximum) / row.sum_exp;
  stats.entropy = log_sum - row.sum_exp_z / row.sum_exp;
  stats.chosen_logprob = static_cast<double>(chosen) - maximum - log_sum;
  stats.mean_logprob = row.sum_finite / static_cast<double>(row.finite) - maximum - log_sum;
  return stats;
}

}  // namespace

void CpuBackend::logits_stats(const LogitsStatsArgs& args) {
  const std::int64_t vocab = args.logits.columns;
  KVGAUGE_CHECK(args.logits.dtype == DType::kF32 && vocab > 0, "logits are ", name(args.logits.dtype), " of ", vocab,
                " columns");
  KVGAUGE_CHECK(args.rows.size() == args.chosen.size() && args.rows.size() == args.out.size(), args.rows.size(),
                " rows, ", args.chosen.size(), " chosen, ", args.out.size(), " out");
  KVGAUGE_CHECK(args.draws.empty() || args.draws.size() == args.rows.size(), args.draws.size(), " draws");
  const auto token = [&](std::size_t i) {
    const std::int32_t draw = args.draws.empty() ? -1 : args.draws[i];
    return draw < 0 ? args.chosen[i] : drawn_[static_cast<std::size_t>(draw)];
  };
  for (std::size_t i = 0; i < args.rows.size(); ++i) {
    KVGAUGE_CHECK(args.rows[i] >= 0 && args.rows[i] < args.logits.rows, "row ", args.rows[i], " of ", args.logits.rows);
    KVGAUGE_CHECK(args.draws.empty() || args.draws[i] < std::ssize(drawn_), "draw ", args.draws[i], " of ",
                  drawn_.size());
    const bool failed = !args.draws.empty() && args.draws[i] >= 0 && token(i) < 0;
    KVGAUGE_CHECK(failed || (token(i) >= 0 && token(i) < vocab), "token ", token(i), " of ", vocab);
  }
  parallel(static_cast<std::int64_t>(args.rows.size()), std::ssize(args.rows) * args.logits.columns < 8'192,
           [&](std::int64_t i, int) {
             const auto at = static_cast<std::size_t>(i);
             const float* z = static_cast<const float*>(args.logits.data) + args.rows[at] * args.logits.stride;
             RowStats row;
             kernels_.row_stats(z, vocab, row);
             args.out[at] = row.usable && token(at) >= 0 ? statistics(row, z[token(at)]) : undefined_stats();
           });
}

}  // namespace kvgauge::cpu
