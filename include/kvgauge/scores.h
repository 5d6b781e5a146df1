#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

namespace kvgauge {

inline constexpr double kUndefined = std::numeric_limits<double>::quiet_NaN();  ///< written as null

enum class GaugePart : std::uint8_t { kV, kK, kKV };  ///< which cache entries e_t is made of (METHOD.md A.1)
enum class GaugeSpan : std::uint8_t { kResponse, kBoundary, kAll, kPrompt };  ///< which positions (METHOD.md A.2)
const char* name(GaugePart part);
const char* name(GaugeSpan span);

/// What the trajectory gauge leaves of a span e_1..e_T of tokens: a few numbers, all sums in ascending token order, in
/// double.
///   dr_t = |e_{t+1} - e_t|, dtheta_t = angle(e_{t+1}, e_t) in radians, t = 1..T-1
///   m_t = dr_t / end_dr, a_t = dtheta_t / end_dtheta
struct TrajectorySums {
  std::int64_t tokens = 0;  ///< T
  double sum_dr = 0, sum_dtheta = 0;
  double end_dr = 0, end_dtheta = 0;        ///< |e_T - e_1|, angle(e_T, e_1)
  double sum_m_cos_a = 0, sum_m_sin_a = 0;  ///< NaN where end_dr or end_dtheta is at most 1e-12
  double sum_dr_cos = 0, sum_dr_sin = 0;    ///< sums of dr cos(dtheta), dr sin(dtheta)
};

/// Every variant of METHOD.md A.3; higher = more likely correct. Undefined ones are NaN.
struct KvCoeScores {
  std::int64_t tokens = 0;
  bool valid = false;  ///< false for T <= 1: no differences
  double paper_r = kUndefined, paper_c = kUndefined;
  double normalized_r = kUndefined, normalized_c = kUndefined;
  double normalized_cart_c = kUndefined;
  double diff_r = kUndefined;
  double polar_raw_c = kUndefined;
  double mean_dr = kUndefined, mean_dtheta = kUndefined, end_dr = kUndefined, end_dtheta = kUndefined;
};

/// `normalized` R and C of METHOD.md A.3 over the states of the layers.
struct CoePair {
  double r = kUndefined, c = kUndefined;
};

/// Hidden-state CoE (METHOD.md B): states 0 .. L of the layers, each the mean over some positions; higher = more likely
/// correct. `official` and `fixed` have one position more than `response`, so only that is undefined for one sampled token.
struct CoeScores {
  CoePair official;  ///< first prompt token and the sampled tokens but the last: what the released code computes
  CoePair fixed;     ///< last prompt token and the sampled tokens but the last: what it means to compute
  CoePair response;  ///< the sampled tokens but the last
};

/// EigenScore over the answers of one prompt (METHOD.md I); higher = more uncertain.
struct EigenScores {
  double hidden = kUndefined;  ///< of the middle layer's state of the last token that was fed back
  double kv = kUndefined;      ///< of V averaged over layers and response positions; undefined if an answer has none
};

/// One generated (or teacher-forced) token's view of its distribution p = softmax(z) over the vocabulary of V entries.
struct TokenLogitStats {
  double max_prob = 0;        ///< max p
  double max_logprob = 0;     ///< ln max p
  double second_prob = 0;     ///< the runner-up's p (equal to max_prob on a tie)
  double entropy = 0;         ///< -sum p ln p, nats
  double chosen_logprob = 0;  ///< ln p[y]
  double mean_logprob = 0;    ///< mean of ln p over finite entries
};

/// All baselines of METHOD.md C over the tokens of a response (EOS included when it was sampled).
struct ProbScores {
  std::int64_t tokens = 0;
  double maxprob_official = kUndefined, ppl_official = kUndefined, entropy_official = kUndefined;  ///< entropy in bits
  double nll = kUndefined, perplexity = kUndefined, seq_logprob = kUndefined, entropy_nats = kUndefined;
  double min_prob = kUndefined, margin = kUndefined, self_certainty = kUndefined;
};

}  // namespace kvgauge
