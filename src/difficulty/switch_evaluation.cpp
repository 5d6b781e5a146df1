#include "difficulty/switch_evaluation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "core/check.h"

namespace kvgauge {
namespace {

constexpr double kRounding = 1e-9;  // of sums of up to a million numbers of order 1

double mean(const std::vector<double>& values) {
  return values.empty() ? kUndefined
                        : std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

Interval ratio_interval(const std::vector<double>& a, const std::vector<double>& b, bool one_minus, double coverage) {
  std::vector<double> ratios;
  ratios.reserve(a.size());
  for (std::size_t i = 0; i < a.size(); ++i)
    ratios.push_back(b[i] > 0 ? (one_minus ? 1 - a[i] / b[i] : a[i] / b[i]) : kUndefined);
  return percentile_interval(std::move(ratios), coverage);
}

double ratio(double a, double b) { return b > 0 ? a / b : kUndefined; }

// Order of the values from the highest; undefined ones last.
std::vector<std::size_t> from_highest(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto key = [&](std::size_t i) {
    return std::isnan(values[i]) ? -std::numeric_limits<double>::infinity() : values[i];
  };
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return key(a) > key(b); });
  return order;
}

bool is_better(bool met, double accuracy, double processed, bool best_met, double best_accuracy,
               double best_processed) {
  if (met != best_met) return met;
  if (met) return processed < best_processed - kRounding;
  return accuracy > best_accuracy + kRounding ||
         (accuracy > best_accuracy - kRounding && processed < best_processed - kRounding);
}

}  // namespace

const char* name(TokenCounter counter) {
  switch (counter) {
    case TokenCounter::kSampled: return "sampled";
    case TokenCounter::kInjected: return "injected";
    case TokenCounter::kProcessed: return "processed";
    case TokenCounter::kPrompt: return "prompt";
    case TokenCounter::kPaper: return "paper";
    case TokenCounter::kPosthocTrue: return "posthoc_true";
  }
  return "?";
}

Strategy routed(std::string name, std::span<const SwitchQuestion> questions, std::span<const double> slow_share,
                double probes) {
  KVGAUGE_CHECK(questions.size() == slow_share.size(), questions.size(), " questions, ", slow_share.size(), " shares");
  Strategy out;
  out.name = std::move(name);
  for (std::size_t q = 0; q < questions.size(); ++q) {
    const RunOutcome &fast = questions[q].fast, &slow = questions[q].slow;
    const double share = slow_share[q];
    // At 0 and 1 exactly what was recorded.
    const auto mixed = [&](double of_fast, double of_slow) {
      return share == 0 ? of_fast : share == 1 ? of_slow : share * of_slow + (1 - share) * of_fast;
    };
    out.correct.push_back(mixed(fast.correct, slow.correct));
    out.slow.push_back(share);
    out.truncated.push_back(mixed(fast.truncated, slow.truncated));
    out.probes.push_back(probes);
    out.switches.push_back(0);
    out.wall_ms.push_back(mixed(fast.wall_ms, slow.wall_ms));
    for (std::size_t c = 0; c < kTokenCounters; ++c) out.tokens[c].push_back(mixed(fast.tokens[c], slow.tokens[c]));
  }
  return out;
}

Strategy as_run(std::string name, std::span<const RunOutcome> runs) {
  Strategy out;
  out.name = std::move(name);
  for (const RunOutcome& run : runs) {
    out.correct.push_back(run.correct);
    out.slow.push_back(run.slow);
    out.truncated.push_back(run.truncated);
    out.probes.push_back(run.probes);
    out.switches.push_back(run.switches);
    out.wall_ms.push_back(run.wall_ms);
    for (std::size_t c = 0; c < kTokenCounters; ++c) out.tokens[c].push_back(run.tokens[c]);
  }
  return out;
}

std::vector<double> constant_share(std::size_t questions, double share) {
  return std::vector<double>(questions, share);
}

std::vector<double> above(std::span<const double> values, double threshold) {
  std::vector<double> out;
  out.reserve(values.size());
  for (const double value : values) out.push_back(value > threshold ? 1 : 0);
  return out;
}

std::vector<double> oracle_share(std::span<const SwitchQuestion> questions) {
  std::vector<double> out;
  out.reserve(questions.size());
  for (const SwitchQuestion& q : questions) out.push_back(!q.fast.correct && q.slow.correct ? 1 : 0);
  return out;
}

std::vector<double> highest_first(std::span<const double> values, std::span<const double> weights, double target) {
  KVGAUGE_CHECK(values.size() == weights.size(), values.size(), " values, ", weights.size(), " weights");
  std::vector<double> share(values.size(), 0);
  const std::vector<std::size_t> order = from_highest(values);
  double left = target;
  for (std::size_t begin = 0, end = 0; begin < order.size() && left > 0; begin = end) {
    const double here = values[order[begin]];
    const auto level = [&](double value) { return value == here || (std::isnan(value) && std::isnan(here)); };
    double weight = 0;
    for (; end < order.size() && level(values[order[end]]); ++end) weight += std::max(0.0, weights[order[end]]);
    const double part = weight > left ? left / weight : 1;
    for (std::size_t i = begin; i < end; ++i) share[order[i]] = part;
    left -= weight;
  }
  return share;
}

std::vector<double> difficulties(std::span<const SwitchQuestion> questions) {
  std::vector<double> out;
  for (const SwitchQuestion& q : questions) out.push_back(q.difficulty);
  return out;
}

std::vector<double> lengths(std::span<const SwitchQuestion> questions) {
  std::vector<double> out;
  for (const SwitchQuestion& q : questions) out.push_back(q.length());
  return out;
}

std::vector<double> extra_tokens(std::span<const SwitchQuestion> questions) {
  std::vector<double> out;
  for (const SwitchQuestion& q : questions)
    out.push_back(q.slow.tokens.of(TokenCounter::kProcessed) - q.fast.tokens.of(TokenCounter::kProcessed));
  return out;
}

ThresholdChoice choose_threshold(std::span<const SwitchQuestion> questions, std::span<const double> values,
                                 double keep) {
  KVGAUGE_CHECK(!questions.empty() && values.size() == questions.size(), questions.size(), " questions, ",
                values.size(), " values");
  const double n = static_cast<double>(questions.size());
  double right = 0, processed = 0, slow = 0, right_if_slow = 0;
  for (const SwitchQuestion& q : questions) {
    right += q.fast.correct;
    processed += q.fast.tokens.of(TokenCounter::kProcessed);
    right_if_slow += q.slow.correct;
  }
  ThresholdChoice best;
  const double needed = keep * right_if_slow / n;
  const auto consider = [&](double threshold) {
    const double accuracy = right / n, cost = processed / n;
    const bool met = accuracy >= needed - kRounding;
    if (!std::isnan(best.threshold) && !is_better(met, accuracy, cost, best.met, best.accuracy, best.processed)) return;
    best = {.threshold = threshold,
            .accuracy = accuracy,
            .processed = cost,
            .slow_share = slow / n,
            .needed = needed,
            .met = met};
  };
  const std::vector<std::size_t> order = from_highest(values);
  std::size_t defined = 0;
  while (defined < order.size() && !std::isnan(values[order[defined]])) ++defined;
  consider(defined > 0 ? values[order[0]] + 1 : 0);
  for (std::size_t i = 0; i < defined; ++i) {
    const SwitchQuestion& q = questions[order[i]];
    right += static_cast<int>(q.slow.correct) - static_cast<int>(q.fast.correct);
    processed += q.slow.tokens.of(TokenCounter::kProcessed) - q.fast.tokens.of(TokenCounter::kProcessed);
    slow += 1;
    const double here = values[order[i]];
    if (i + 1 == defined) {
      consider(std::min(here - 1, std::nextafter(here, -std::numeric_limits<double>::infinity())));
    } else if (const double next = values[order[i + 1]]; next != here) {
      const double middle = next + (here - next) / 2;
      consider(middle < here ? middle : next);  // neighbours in the number format: `next` itself separates them
    }
  }
  return best;
}

std::size_t choose_strategy(std::span<const Strategy> strategies, const Strategy& always_slow, double keep) {
  KVGAUGE_CHECK(!strategies.empty(), "no strategy to choose from");
  const double needed = keep * mean(always_slow.correct);
  std::size_t best = 0;
  const auto facts = [&](std::size_t i) {
    const double accuracy = mean(strategies[i].correct);
    return std::pair(accuracy, mean(strategies[i].tokens.of(TokenCounter::kProcessed)));
  };
  for (std::size_t i = 1; i < strategies.size(); ++i) {
    const auto here = facts(i), there = facts(best);
    if (is_better(here.first >= needed - kRounding, here.first, here.second, there.first >= needed - kRounding,
                  there.first, there.second))
      best = i;
  }
  return best;
}

std::vector<StrategyResult> measure(std::span<const Strategy> strategies, const Strategy& reference,
                                    const BootstrapOptions& options) {
  std::vector<std::vector<double>> columns;  // of each strategy: correct, then the counters
  const auto add_columns = [&](const Strategy& strategy) {
    columns.push_back(strategy.correct);
    columns.insert(columns.end(), strategy.tokens.begin(), strategy.tokens.end());
  };
  add_columns(reference);
  for (const Strategy& strategy : strategies) add_columns(strategy);
  const auto resampled = resampled_means(columns, options);
  constexpr std::size_t kColumns = 1 + kTokenCounters;
  std::vector<StrategyResult> results;
  for (std::size_t s = 0; s < strategies.size(); ++s) {
    const Strategy& strategy = strategies[s];
    const std::size_t first = (s + 1) * kColumns;
    StrategyResult result;
    result.name = strategy.name;
    result.settings = strategy.settings;
    result.n = static_cast<std::int64_t>(strategy.correct.size());
    result.accuracy = {.value = mean(strategy.correct),
                       .ci95 = percentile_interval(resampled[first], options.coverage)};
    result.kept = {.value = ratio(result.accuracy.value, mean(reference.correct)),
                   .ci95 = ratio_interval(resampled[first], resampled[0], false, options.coverage)};
    result.slow_share = mean(strategy.slow);
    result.truncated = mean(strategy.truncated);
    result.probes = mean(strategy.probes);
    result.switches = mean(strategy.switches);
    result.wall_ms = mean(strategy.wall_ms);
    for (std::size_t c = 0; c < kTokenCounters; ++c) {
      const std::vector<double>&here = resampled[first + 1 + c], &there = resampled[1 + c];
      result.tokens[c] = {.value = mean(strategy.tokens[c]), .ci95 = percentile_interval(here, options.coverage)};
      result.reduction[c] = {.value = 1 - ratio(result.tokens[c].value, mean(reference.tokens[c])),
                             .ci95 = ratio_interval(here, there, true, options.coverage)};
    }
    results.push_back(std::move(result));
  }
  return results;
}

PairedDifference compare(const Strategy& a, const Strategy& b, std::string matched, const BootstrapOptions& options) {
  const auto difference = [](const std::vector<double>& x, const std::vector<double>& y) {
    std::vector<double> out;
    for (std::size_t i = 0; i < x.size(); ++i) out.push_back(x[i] - y[i]);
    return out;
  };
  const std::vector<std::vector<double>> columns = {
      difference(a.correct, b.correct),
      difference(a.tokens.of(TokenCounter::kProcessed), b.tokens.of(TokenCounter::kProcessed))};
  const auto resampled = resampled_means(columns, options);
  PairedDifference out;
  out.a = a.name;
  out.b = b.name;
  out.matched = std::move(matched);
  out.accuracy = {.value = mean(columns[0]), .ci95 = percentile_interval(resampled[0], options.coverage)};
  out.processed = {.value = mean(columns[1]), .ci95 = percentile_interval(resampled[1], options.coverage)};
  out.accuracy_p = bootstrap_p(resampled[0]);
  out.processed_p = bootstrap_p(resampled[1]);
  return out;
}

double routing_permutation_p(std::span<const SwitchQuestion> questions, std::span<const double> slow) {
  KVGAUGE_CHECK(questions.size() == slow.size(), questions.size(), " questions, ", slow.size(), " choices");
  std::int64_t up = 0, down = 0, drawn = 0, observed = 0;
  for (std::size_t q = 0; q < questions.size(); ++q) {
    const int gain = static_cast<int>(questions[q].slow.correct) - static_cast<int>(questions[q].fast.correct);
    up += gain > 0;
    down += gain < 0;
    if (slow[q] != 1) continue;
    ++drawn;
    observed += gain;
  }
  const auto n = static_cast<std::int64_t>(questions.size());
  if (n == 0) return kUndefined;
  const std::int64_t level = n - up - down;
  std::vector<double> log_factorial(static_cast<std::size_t>(n) + 1, 0);
  for (std::size_t i = 1; i < log_factorial.size(); ++i)
    log_factorial[i] = log_factorial[i - 1] + std::log(static_cast<double>(i));
  const auto log_choose = [&](std::int64_t of, std::int64_t k) {
    return log_factorial[static_cast<std::size_t>(of)] - log_factorial[static_cast<std::size_t>(k)] -
           log_factorial[static_cast<std::size_t>(of - k)];
  };
  const double expected = static_cast<double>(drawn * (up - down)) / static_cast<double>(n);
  const double extreme = std::abs(static_cast<double>(observed) - expected) - kRounding;
  const double all = log_choose(n, drawn);
  double p = 0;
  for (std::int64_t a = 0; a <= std::min(up, drawn); ++a)
    for (std::int64_t b = std::max<std::int64_t>(0, drawn - a - level); b <= std::min(down, drawn - a); ++b)
      if (std::abs(static_cast<double>(a - b) - expected) >= extreme)
        p += std::exp(log_choose(up, a) + log_choose(down, b) + log_choose(level, drawn - a - b) - all);
  return std::min(1.0, p);
}

}  // namespace kvgauge
