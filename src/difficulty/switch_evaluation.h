#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/json.h"
#include "kvgauge/scores.h"
#include "metrics/bootstrap.h"
#include "metrics/interval.h"

namespace kvgauge {

/// What is counted of a response (METHOD.md G.4).
enum class TokenCounter : std::uint8_t {
  kSampled,      ///< all sampled tokens, end-of-text included, over all segments
  kInjected,     ///< put in by the controller, those behind the prompt included
  kProcessed,    ///< sampled + injected: what decoding costs
  kPrompt,       ///< of the prompt, think tags not included
  kPaper,        ///< sampled in the last segment only: what the paper counts
  kPosthocTrue,  ///< whole first response + what follows its first switch: what a search after the fact spends
};
inline constexpr std::size_t kTokenCounters = 6;
const char* name(TokenCounter counter);  ///< sampled, injected, processed, prompt, paper, posthoc_true

/// Numbers by counter.
template <class T>
struct PerCounter : std::array<T, kTokenCounters> {
  T& of(TokenCounter counter) { return (*this)[static_cast<std::size_t>(counter)]; }
  const T& of(TokenCounter counter) const { return (*this)[static_cast<std::size_t>(counter)]; }
};

/// What one response cost and brought.
struct RunOutcome {
  bool correct = false;
  bool truncated = false;  ///< a budget or the context ended it
  bool slow = false;       ///< it began with a think block
  PerCounter<double> tokens = {};
  double probes = 0;    ///< evaluations of the signal
  double switches = 0;  ///< tags injected behind the first token
  double wall_ms = 0;   ///< from its first step to its end, in the batch it ran in
};

/// One question answered both ways.
struct SwitchQuestion {
  double difficulty = kUndefined;  ///< d of the prompt; undefined: never above a threshold, as in the controller
  RunOutcome fast, slow;
  double length() const { return fast.tokens.of(TokenCounter::kPrompt); }
};

/// What a way to spend thinking gives on every question: expectations where it is random. All lists: [question].
struct Strategy {
  std::string name;
  OrderedJson settings = OrderedJson::object();
  std::vector<double> correct, slow, truncated, probes, switches, wall_ms;
  PerCounter<std::vector<double>> tokens;
};

/// Answers slowly with probability slow_share[q]: the expectation over both recorded responses of each question.
/// @param probes evaluations of the signal that the choice itself costs
Strategy routed(std::string name, std::span<const SwitchQuestion> questions, std::span<const double> slow_share,
                double probes);
/// Responses as they ran.
Strategy as_run(std::string name, std::span<const RunOutcome> runs);

// Slow shares for routed().
std::vector<double> constant_share(std::size_t questions, double share);
/// 1 where value > threshold. Strict; never for an undefined value.
std::vector<double> above(std::span<const double> values, double threshold);
/// Fast where fast is right, else slow where slow is right, else fast: no choice between the two recorded responses is
/// right more often, and none as often with fewer slow ones.
std::vector<double> oracle_share(std::span<const SwitchQuestion> questions);
/// The highest values first until the slow ones' weights sum up to `target`; the values at the boundary share what is
/// left. With weights of 1: a given number of slow answers; with extra_tokens(): a given cost. Weights below 0 count 0.
std::vector<double> highest_first(std::span<const double> values, std::span<const double> weights, double target);

std::vector<double> difficulties(std::span<const SwitchQuestion> questions);
std::vector<double> lengths(std::span<const SwitchQuestion> questions);
/// processed(slow) - processed(fast)
std::vector<double> extra_tokens(std::span<const SwitchQuestion> questions);

/// A threshold for above(), chosen on validation questions.
struct ThresholdChoice {
  double threshold = kUndefined;
  double accuracy = kUndefined, processed = kUndefined, slow_share = kUndefined;  ///< there
  double needed = kUndefined;                                                     ///< the accuracy that was asked for
  bool met = false;  ///< else the most accurate one was taken
};
/// The threshold with the fewest processed tokens of those with accuracy >= keep * that of always-slow; if none has,
/// the most accurate one. Candidates: halfway between neighbouring values, below all, above all. Ties: the higher one.
/// @param questions at least one
ThresholdChoice choose_threshold(std::span<const SwitchQuestion> questions, std::span<const double> values,
                                 double keep);
/// Index of the strategy that the same rule takes. @param always_slow on the same questions
std::size_t choose_strategy(std::span<const Strategy> strategies, const Strategy& always_slow, double keep);

/// Means over the questions.
struct StrategyResult {
  std::string name;
  OrderedJson settings;
  std::int64_t n = 0;
  Estimate accuracy;
  Estimate kept;  ///< accuracy / that of the reference
  double slow_share = kUndefined, truncated = kUndefined, probes = kUndefined, switches = kUndefined,
         wall_ms = kUndefined;
  PerCounter<Estimate> tokens, reduction;  ///< reduction: 1 - x / that of the reference, on the same counter
};
/// Measures strategies of the same questions; intervals by bootstrap over questions, all on the same resamples.
/// @param reference always-slow
std::vector<StrategyResult> measure(std::span<const Strategy> strategies, const Strategy& reference,
                                    const BootstrapOptions& options);

/// a - b, question by question.
struct PairedDifference {
  std::string a, b, matched;  ///< matched: what b was made equal in, for people; empty: nothing
  Estimate accuracy, processed;
  double accuracy_p = kUndefined, processed_p = kUndefined;  ///< two-sided, of no difference in the mean
  std::string accuracy_test = "bootstrap";                   ///< or "permutation"
};
PairedDifference compare(const Strategy& a, const Strategy& b, std::string matched, const BootstrapOptions& options);

/// Exact two-sided permutation test of a router against random routing with the same number of slow answers:
///   T = sum over the slow ones of (slow right - fast right); under the null every choice of as many questions is
///   equally likely, so T is the difference of two cells of a multivariate hypergeometric draw. p = P(|T' - E T'| >=
///   |T - E T'|).
/// @param slow 0 or 1 for each question. Cost: (questions that only slow gets right) * (only fast)
double routing_permutation_p(std::span<const SwitchQuestion> questions, std::span<const double> slow);

}  // namespace kvgauge
