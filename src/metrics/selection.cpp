#include "metrics/selection.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <map>
#include <numeric>

#include "core/check.h"

namespace kvgauge {
namespace {

using Choice = std::vector<std::size_t>;  // the candidates that a selector cannot tell apart

Choice everyone(std::span<const Candidate> candidates) {
  Choice all(candidates.size());
  std::iota(all.begin(), all.end(), std::size_t{0});
  return all;
}

Choice majority(std::span<const Candidate> candidates) {
  std::map<std::string_view, std::size_t> votes;
  for (const Candidate& c : candidates)
    if (c.has_prediction) ++votes[c.predicted];
  if (votes.empty()) return everyone(candidates);
  std::size_t most = 0;
  for (const auto& [answer, count] : votes) most = std::max(most, count);
  Choice choice;
  for (std::size_t i = 0; i < candidates.size(); ++i)
    if (candidates[i].has_prediction && votes[candidates[i].predicted] == most) choice.push_back(i);
  return choice;
}

Choice right_ones(std::span<const Candidate> candidates) {
  Choice choice;
  for (std::size_t i = 0; i < candidates.size(); ++i)
    if (candidates[i].correct) choice.push_back(i);
  return choice.empty() ? everyone(candidates) : choice;
}

Choice best_by(std::span<const Candidate> candidates, std::size_t score) {
  const auto value = [&](const Candidate& c) { return score < c.scores.size() ? c.scores[score] : kUndefined; };
  Choice choice;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const double here = value(candidates[i]);
    if (!std::isfinite(here)) continue;
    if (!choice.empty() && here > value(candidates[choice.front()])) choice.clear();
    if (choice.empty() || here == value(candidates[choice.front()])) choice.push_back(i);
  }
  return choice.empty() ? everyone(candidates) : choice;
}

double mean(const std::vector<double>& values) {  // of the defined ones
  double sum = 0, n = 0;
  for (const double v : values)
    if (!std::isnan(v)) sum += v, ++n;
  return n > 0 ? sum / n : kUndefined;
}

}  // namespace

void SelectionTable::add_choice(Outcomes& to, std::span<const Candidate> candidates, const Choice& choice) {
  double right = 0, tokens = 0;
  for (const std::size_t i : choice) {
    right += candidates[i].correct ? 1 : 0;
    tokens += candidates[i].tokens < 0 ? kUndefined : static_cast<double>(candidates[i].tokens);
  }
  const double n = static_cast<double>(choice.size());
  to.correct.push_back(right / n);
  to.tokens.push_back(tokens / n);
  to.tied.push_back(n);
}

void SelectionTable::add(std::span<const Candidate> candidates, std::int64_t chosen) {
  KVGAUGE_CHECK(!candidates.empty() && chosen < static_cast<std::int64_t>(candidates.size()), candidates.size(),
                " candidates, ", chosen, " chosen");
  const std::size_t scores =
      std::max_element(candidates.begin(), candidates.end(), [](const Candidate& a, const Candidate& b) {
        return a.scores.size() < b.scores.size();
      })->scores.size();
  if (scores > by_score_.size()) by_score_.resize(scores, random_);  // no question so far had it: all were random
  for (std::size_t s = 0; s < by_score_.size(); ++s) add_choice(by_score_[s], candidates, best_by(candidates, s));
  const Choice all = everyone(candidates);
  add_choice(first_, candidates, {0});
  add_choice(random_, candidates, all);
  add_choice(majority_, candidates, majority(candidates));
  add_choice(oracle_, candidates, right_ones(candidates));
  add_choice(as_run_, candidates, {static_cast<std::size_t>(std::max<std::int64_t>(chosen, 0))});
  if (chosen < 0) as_run_.tied.back() = kUndefined;
  candidates_.push_back(static_cast<double>(candidates.size()));
  tokens_.push_back(random_.tokens.back() * static_cast<double>(candidates.size()));
}

SelectionResult SelectionTable::result(const std::vector<std::string>& names, const BootstrapOptions& options) const {
  SelectionResult result{.questions = static_cast<std::int64_t>(candidates_.size()),
                         .mean_candidates = mean(candidates_),
                         .mean_tokens_sampled = mean(tokens_)};
  if (empty()) return result;
  std::vector<const Outcomes*> outcomes;
  const auto list = [&](std::string name, bool is_score, const Outcomes& of) {
    SelectorResult selector;
    selector.name = std::move(name);
    selector.is_score = is_score;
    result.selectors.push_back(std::move(selector));
    outcomes.push_back(&of);
  };
  list("random", false, random_);
  list("first", false, first_);
  list("majority", false, majority_);
  list("oracle", false, oracle_);
  const bool all_chosen =
      std::none_of(as_run_.tied.begin(), as_run_.tied.end(), [](double tied) { return std::isnan(tied); });
  if (all_chosen) list("as run", false, as_run_);
  for (std::size_t s = 0; s < by_score_.size() && s < names.size(); ++s) list(names[s], true, by_score_[s]);

  std::vector<std::vector<double>> columns;
  for (const Outcomes* const of : outcomes) columns.push_back(of->correct);
  const auto resampled = resampled_means(columns, options);
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    SelectorResult& selector = result.selectors[i];
    selector.accuracy = mean(outcomes[i]->correct);
    selector.gain = selector.accuracy - mean(random_.correct);
    selector.mean_tokens = mean(outcomes[i]->tokens);
    selector.mean_candidates = mean(outcomes[i]->tied);
    selector.ci95 = percentile_interval(resampled[i], options.coverage);
    std::vector<double> gains;
    for (std::size_t r = 0; r < resampled[i].size(); ++r) gains.push_back(resampled[i][r] - resampled.front()[r]);
    selector.gain_ci95 = percentile_interval(std::move(gains), options.coverage);
  }
  return result;
}

}  // namespace kvgauge
