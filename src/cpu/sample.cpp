#include "ops/sample.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/check.h"
#include "core/rng.h"
#include "cpu/backend.h"

namespace kvgauge::cpu {
namespace {

constexpr std::size_t scratch_bytes(std::int64_t vocab) {
  return (static_cast<std::size_t>(vocab) * (sizeof(float) + sizeof(std::int32_t)) + 127) / 64 * 64;
}

/// Tokens in descending logit, ascending id on ties, ordered only as far as someone looks.
/// Candidates are gathered in rounds of falling weight: most draws end among a few tokens of a large vocabulary.
class Ranking {
 public:
  Ranking(const Kernels& kernels, const float* z, const float* weights, std::int64_t vocab, std::int32_t* ids)
      : kernels_(kernels), z_(z), weights_(weights), vocab_(vocab), ids_(ids) {}

  /// Token number `rank`; -1 behind the last token of nonzero weight.
  std::int32_t at(std::int64_t rank) {
    while (rank >= sorted_) {
      if (sorted_ < gathered_) {
        sort_more();
      } else if (!gather_more()) {
        return -1;
      }
    }
    return ids_[rank];
  }

 private:
  bool before(std::int32_t a, std::int32_t b) const { return z_[a] > z_[b] || (z_[a] == z_[b] && a < b); }

  void sort_more() {
    const std::int64_t end = std::min(gathered_, std::max<std::int64_t>(2 * sorted_, 256));
    const auto order = [this](std::int32_t a, std::int32_t b) { return before(a, b); };
    if (end < gathered_) std::nth_element(ids_ + sorted_, ids_ + end, ids_ + gathered_, order);
    std::sort(ids_ + sorted_, ids_ + end, order);
    sorted_ = end;
  }

  /// Adds the tokens with weight in [next threshold, last threshold): all of them rank behind those gathered before.
  bool gather_more() {
    while (round_ < kRounds) {
      const float above = round_ == 0 ? std::numeric_limits<float>::infinity() : kThresholds[round_ - 1];
      const float from = kThresholds[round_++];
      const std::int64_t found = kernels_.indices_between(weights_, vocab_, from, above, ids_ + gathered_);
      gathered_ += found;
      if (found > 0) return true;
    }
    return false;
  }

  static constexpr int kRounds = 4;
  static constexpr float kThresholds[kRounds] = {0.02f, 1e-4f, 1e-8f, std::numeric_limits<float>::min()};

  const Kernels& kernels_;
  const float* z_;
  const float* weights_;
  const std::int64_t vocab_;
  std::int32_t* ids_;
  std::int64_t gathered_ = 0, sorted_ = 0;
  int round_ = 0;
};

}  // namespace

void CpuBackend::reserve_sampling(std::int64_t vocab) {
  reserve(sample_scratch_, static_cast<std::size_t>(threads_) * scratch_bytes(vocab));
}

// Weights are w = exp((z - max z) / temperature), so the most likely token has w = 1. Every filter keeps a prefix of
// the ranking, hence the draw walks the ranking once to find the prefix and its weight, and once to find the token.
std::int32_t CpuBackend::sample_row(const float* z, std::int64_t vocab, const SampleRequest& request,
                                    std::byte* scratch) const {
  RowStats row;
  kernels_.row_extremes(z, vocab, row);
  if (!row.usable()) return -1;
  if (!(request.temperature > 0)) return static_cast<std::int32_t>(std::find(z, z + vocab, row.maximum) - z);

  auto* weights = reinterpret_cast<float*>(scratch);
  const double all_weight = kernels_.row_weights(z, vocab, 1.f / request.temperature, row.maximum, weights);
  Ranking ranking(kernels_, z, weights, vocab, reinterpret_cast<std::int32_t*>(weights + vocab));

  const std::int64_t k = request.top_k > 0 ? std::min<std::int64_t>(request.top_k, vocab) : vocab;
  double kept_weight = k == vocab ? all_weight : 0;  // of the k largest
  if (k < vocab) {
    for (std::int64_t rank = 0; rank < k && ranking.at(rank) >= 0; ++rank)
      kept_weight += static_cast<double>(weights[ranking.at(rank)]);
  }
  std::int64_t kept = k;
  if (request.top_p < 1 || request.min_p > 0) {
    const double enough =
        request.top_p < 1 ? static_cast<double>(request.top_p) * kept_weight : std::numeric_limits<double>::infinity();
    double cumulated = 0;
    std::int64_t rank = 0;
    for (; rank < k; ++rank) {
      const std::int32_t id = ranking.at(rank);
      if (id < 0 || (rank > 0 && (cumulated >= enough || weights[id] < request.min_p))) break;
      cumulated += static_cast<double>(weights[id]);
    }
    kept = rank;
    kept_weight = cumulated;
  }
  const double target = uniform(request.seed, request.stream, request.draw) * kept_weight;
  double cumulated = 0;
  std::int32_t chosen = ranking.at(0);
  for (std::int64_t rank = 0; rank < kept; ++rank) {
    const std::int32_t id = ranking.at(rank);
    if (id < 0) break;
    chosen = id;
    cumulated += static_cast<double>(weights[id]);
    if (cumulated > target) break;
  }
  return chosen;
}

void CpuBackend::sample(const SampleArgs& args) {
  const std::int64_t vocab = args.logits.columns;
  KVGAUGE_CHECK(args.logits.dtype == DType::kF32 && vocab > 0, "logits are ", name(args.logits.dtype), " of ", vocab,
                " columns");
  KVGAUGE_CHECK(args.requests.size() == args.out.size(), args.requests.size(), " requests, ", args.out.size(), " out");
  for (const SampleRequest& request : args.requests)
    KVGAUGE_CHECK(request.row >= 0 && request.row < args.logits.rows, "row ", request.row, " of ", args.logits.rows);
  reserve_sampling(vocab);
  parallel(static_cast<std::int64_t>(args.requests.size()), std::ssize(args.requests) * args.logits.columns < 16'384,
           [&](std::int64_t i, int thread) {
             const SampleRequest& request = args.requests[static_cast<std::size_t>(i)];
             const float* z = static_cast<const float*>(args.logits.data) + request.row * args.logits.stride;
             args.out[static_cast<std::size_t>(i)] = sample_row(
                 z, vocab, request, sample_scratch_.data() + static_cast<std::size_t>(thread) * scratch_bytes(vocab));
           });
  drawn_.assign(args.out.begin(), args.out.end());
}

}  // namespace kvgauge::cpu
