#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "grade/grader.h"
#include "kvgauge/request.h"

namespace kvgauge {

/// How one of several answers becomes the row's own, and what is said of them together.
struct CandidateFormat {
  std::string select = {};            ///< empty: the first; "majority"; else a dotted path under `scores`
  Dataset dataset = Dataset::kExact;  ///< how an answer is read out of a text, for majority and semantic entropy
  bool semantic_entropy = false;      ///< needs ScoreSpec::prob
};

/// Every number that scores_json() can have for `spec`, by its dotted path, in the order of the row.
std::vector<std::string> score_paths(const ScoreSpec& spec);

/// The number at a dotted path; NaN where it is null or absent.
double score_at(const OrderedJson& scores, std::string_view path);

/// Answers that say the same, in the grader's judgement: equal texts, or texts whose stated answers are equivalent to
/// that of the cluster's first answer. A text that states none is alone unless its equal is there. Clusters are
/// numbered in the order of their first answers.
struct AnswerClusters {
  std::vector<std::int32_t> of;     ///< [answers]
  std::vector<bool> states_answer;  ///< [clusters]: a cluster without an answer casts no vote
};
AnswerClusters cluster_answers(std::span<const std::string> texts, Dataset dataset);

/// Those of a finished request, if `format` asks for majority or semantic entropy; else none.
AnswerClusters cluster_answers(const Finished& finished, const CandidateFormat& format);

/// The first answer of the largest cluster that states an answer, 0 if none does; of equal ones the cluster that comes
/// first.
std::int64_t majority_choice(const AnswerClusters& clusters);

/// The best value in the orientation of evaluate (higher_is_better of the path); the lowest index of equal ones. NaN is
/// chosen only where there is nothing else, and then the first.
std::int64_t best_choice(std::span<const double> values, std::string_view path);

/// What `format` selects. @param scores scores_json() of each answer, @param clusters cluster_answers() of them
std::int64_t selected_answer(const Finished& finished, std::span<const OrderedJson> scores,
                             const CandidateFormat& format, const AnswerClusters& clusters);

/// `group_scores` of a row: eigenscore, eigenscore_kv, semantic_entropy*, majority, as far as they were asked for.
/// Empty for a single answer. @param clusters cluster_answers() of the answers
OrderedJson group_scores_json(const Finished& finished, const CandidateFormat& format, const AnswerClusters& clusters);

}  // namespace kvgauge
