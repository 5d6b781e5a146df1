#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "metrics/bootstrap.h"
#include "metrics/interval.h"

namespace kvgauge {

/// One of the sampled answers to a question.
struct Candidate {
  bool correct = false;
  std::int64_t tokens = -1;     ///< sampled tokens, negative = unknown
  std::string predicted = {};   ///< what the grader read out of it; answers with the same text vote together
  bool has_prediction = false;  ///< else it casts no vote
  std::vector<double> scores =
      {};  ///< one for each of the table's scores, higher = better (fewer: the rest is undefined)
};

/// What one way to choose among the candidates brought.
struct SelectorResult {
  std::string name;  ///< "random", "first", "majority", "oracle", "as run", or the path of a score
  bool is_score = false;
  double accuracy = kUndefined;
  Interval ci95 = {};                   ///< bootstrap over questions
  double gain = kUndefined;             ///< accuracy - that of random
  Interval gain_ci95 = {};              ///< on the same resamples
  double mean_tokens = kUndefined;      ///< of the chosen answer, over questions whose lengths are known
  double mean_candidates = kUndefined;  ///< how many the choice was left with on average: 1 = no ties
};

struct SelectionResult {
  std::int64_t questions = 0;
  double mean_candidates = kUndefined;      ///< answers sampled for each
  double mean_tokens_sampled = kUndefined;  ///< of all candidates together
  std::vector<SelectorResult> selectors = {};
};

/// Accuracy of best-of-N by every selector, question by question; memory: a few numbers per question and selector.
/// A choice among equals is its exact expectation (each equally likely), so nothing depends on the candidates' order
/// but `first`:
///   random    mean of all                     oracle   1 if any is right
///   majority  the most frequent prediction; random where no candidate has one
///   a score   the best value; undefined values lose to all others, and a question without any is random
class SelectionTable {
 public:
  /// @param candidates at least one. @param chosen index of the one that the run kept, or negative
  void add(std::span<const Candidate> candidates, std::int64_t chosen);
  bool empty() const { return candidates_.empty(); }

  /// @param names of the scores, in the order of Candidate::scores
  SelectionResult result(const std::vector<std::string>& names, const BootstrapOptions& options) const;

 private:
  struct Outcomes {
    std::vector<double> correct, tokens, tied;  ///< of each question's choice: share right, mean length, how many
  };
  static void add_choice(Outcomes& to, std::span<const Candidate> candidates, const std::vector<std::size_t>& choice);

  Outcomes first_, random_, majority_, oracle_, as_run_;
  std::vector<Outcomes> by_score_;
  std::vector<double> candidates_, tokens_;  ///< sampled for each question
};

}  // namespace kvgauge
