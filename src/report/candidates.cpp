#include "report/candidates.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "metrics/evaluation.h"
#include "report/output_row.h"
#include "score/semantic_entropy.h"

namespace kvgauge {
namespace {

constexpr std::string_view kMajority = "majority";

void collect_paths(const OrderedJson& scores, const std::string& prefix, std::vector<std::string>& paths) {
  for (const auto& member : scores.items()) {
    const OrderedJson& value = member.value();
    if (value.is_object()) collect_paths(value, prefix + member.key() + ".", paths);
    if (value.is_null() || value.is_number_float()) paths.push_back(prefix + member.key());
  }
}

}  // namespace

std::vector<std::string> score_paths(const ScoreSpec& spec) {
  Answer nothing;  // its numbers are all undefined
  nothing.kv_coe.emplace();
  nothing.prob.emplace();
  nothing.coe.emplace();
  ScoreSpec scores = spec;
  scores.keep_trajectory = false;
  std::vector<std::string> paths;
  collect_paths(scores_json(nothing, scores), "", paths);
  return paths;
}

double score_at(const OrderedJson& scores, std::string_view path) {
  const OrderedJson* at = &scores;
  while (at) {
    const std::size_t dot = path.find('.');
    at = member(at, std::string(path.substr(0, dot)));
    if (dot == std::string_view::npos) break;
    path.remove_prefix(dot + 1);
  }
  return at && at->is_number() ? at->get<double>() : kUndefined;
}

AnswerClusters cluster_answers(std::span<const std::string> texts, Dataset dataset) {
  AnswerClusters clusters;
  std::map<std::string_view, std::int32_t> of_text;
  std::vector<std::optional<std::string>> stated;  // by each cluster's first answer
  for (const std::string& text : texts) {
    const auto [known, is_new] = of_text.emplace(text, static_cast<std::int32_t>(stated.size()));
    if (is_new) {
      const auto answer = extract_answer(dataset, text);
      const auto same = std::find_if(stated.begin(), stated.end(), [&](const std::optional<std::string>& other) {
        return answer && other && (*answer == *other || equivalent(dataset, *answer, *other));
      });
      known->second = static_cast<std::int32_t>(same - stated.begin());
      if (same == stated.end()) {
        stated.push_back(answer);
        clusters.states_answer.push_back(answer.has_value());
      }
    }
    clusters.of.push_back(known->second);
  }
  return clusters;
}

AnswerClusters cluster_answers(const Finished& finished, const CandidateFormat& format) {
  if (finished.answers.size() < 2 || (format.select != kMajority && !format.semantic_entropy)) return {};
  std::vector<std::string> texts;
  for (const Answer& answer : finished.answers) texts.push_back(answer.text);
  return cluster_answers(texts, format.dataset);
}

std::int64_t majority_choice(const AnswerClusters& clusters) {
  std::vector<std::int64_t> votes(clusters.states_answer.size());
  for (const std::int32_t cluster : clusters.of)
    if (clusters.states_answer[static_cast<std::size_t>(cluster)]) ++votes[static_cast<std::size_t>(cluster)];
  const auto largest = std::max_element(votes.begin(), votes.end());
  if (largest == votes.end() || *largest == 0) return 0;
  return std::find(clusters.of.begin(), clusters.of.end(), largest - votes.begin()) - clusters.of.begin();
}

std::int64_t best_choice(std::span<const double> values, std::string_view path) {
  const double sign = higher_is_better(path) ? 1 : -1;
  std::size_t best = 0;
  for (std::size_t i = 1; i < values.size(); ++i)
    if (!std::isnan(values[i]) && (std::isnan(values[best]) || sign * values[i] > sign * values[best])) best = i;
  return static_cast<std::int64_t>(best);
}

std::int64_t selected_answer(const Finished& finished, std::span<const OrderedJson> scores,
                             const CandidateFormat& format, const AnswerClusters& clusters) {
  if (format.select.empty() || finished.answers.size() < 2) return 0;
  if (format.select == kMajority) return majority_choice(clusters);
  std::vector<double> values;
  for (const OrderedJson& answer : scores) values.push_back(score_at(answer, format.select));
  return best_choice(values, format.select);
}

OrderedJson group_scores_json(const Finished& finished, const CandidateFormat& format, const AnswerClusters& clusters) {
  OrderedJson json = OrderedJson::object();
  if (finished.answers.size() < 2) return json;
  if (finished.eigenscore) {
    json["eigenscore"] = number_json(finished.eigenscore->hidden);
    json["eigenscore_kv"] = number_json(finished.eigenscore->kv);
  }
  if (!format.semantic_entropy) return json;
  std::vector<double> logprobs;
  for (const Answer& answer : finished.answers) logprobs.push_back(answer.prob ? answer.prob->seq_logprob : kUndefined);
  const SemanticEntropy entropy = semantic_entropy(clusters.of, logprobs);
  json["semantic_entropy"] = number_json(entropy.mean);
  json["semantic_entropy_normalized"] = number_json(entropy.normalized);
  json["semantic_entropy_counts"] = number_json(entropy.counts);
  json["semantic_entropy_clusters"] = entropy.clusters;
  json["majority"] = number_json(entropy.majority);
  return json;
}

}  // namespace kvgauge
