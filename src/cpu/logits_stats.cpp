#include "ops/logits_stats.h"

#include <algorithm>
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

// Takes in what another part of the row has. exp(z - new) = exp(z - old) f with f = exp(old - new), z - new = (z - old)
// + (old - new).
void absorb(RowStats& row, RowStats part) {
  const float maximum = std::max(row.maximum, part.maximum);
  for (RowStats* const one : {&row, &part}) {
    if (one->finite == 0) continue;
    const double shift = static_cast<double>(one->maximum) - static_cast<double>(maximum), factor = std::exp(shift);
    one->sum_exp_z = factor * (one->sum_exp_z + shift * one->sum_exp);
    one->sum_exp *= factor;
  }
  row.second = std::max(std::min(row.maximum, part.maximum), std::max(row.second, part.second));
  row.maximum = maximum;
  row.sum_exp += part.sum_exp;
  row.sum_exp_z += part.sum_exp_z;
  row.sum_finite += part.sum_finite;
  row.finite += part.finite;
  row.broken = row.broken || part.broken;
}

}  // namespace

void CpuBackend::logits_stats(const LogitsStatsArgs& args) {
  check_logits_stats(args);
  const std::int64_t vocab = args.all_tokens();
  const auto token = [&](std::size_t i) {
    const std::int32_t draw = args.draws.empty() ? -1 : args.draws[i];
    return draw < 0 ? args.chosen[i] : drawn_[static_cast<std::size_t>(draw)];
  };
  for (std::size_t i = 0; i < args.draws.size(); ++i) {
    KVGAUGE_CHECK(args.draws[i] < std::ssize(drawn_), "draw ", args.draws[i], " of ", drawn_.size());
    KVGAUGE_CHECK(args.draws[i] < 0 || token(i) < vocab, "token ", token(i), " of ", vocab);
  }
  if (args.first_token == 0) judged_.assign(args.rows.size(), {});
  KVGAUGE_CHECK(judged_.size() == args.rows.size(), args.rows.size(), " rows of a tile, ", judged_.size(),
                " of the first");
  parallel(static_cast<std::int64_t>(args.rows.size()), std::ssize(args.rows) * args.logits.columns < 8'192,
           [&](std::int64_t i, int) {
             const auto at = static_cast<std::size_t>(i);
             const float* const z = static_cast<const float*>(args.logits.data) + args.rows[at] * args.logits.stride;
             JudgedRow& row = judged_[at];
             for (std::int64_t first = 0; first < args.logits.columns; first += kVocabTile) {
               RowStats part;
               kernels_.row_stats(z + first, std::min(kVocabTile, args.logits.columns - first), part);
               if (args.first_token + first == 0)
                 row.stats = part;
               else
                 absorb(row.stats, part);
             }
             const std::int64_t place = token(at) - args.first_token;
             if (place >= 0 && place < args.logits.columns) row.chosen = z[place];
             if (args.is_last_tile())
               args.out[at] =
                   row.stats.usable() && token(at) >= 0 ? statistics(row.stats, row.chosen) : undefined_stats();
           });
}

}  // namespace kvgauge::cpu
