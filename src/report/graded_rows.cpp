#include "report/graded_rows.h"

#include <algorithm>
#include <cmath>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "report/output_row.h"

namespace kvgauge {
namespace {

constexpr const char* kGroups = "group_scores";
constexpr int kDeepest = 8;  // objects under `scores`
constexpr std::size_t kMostScores = 4096;
constexpr std::size_t kFewestSteps = 4, kMostSteps = 4096;  // of a trajectory worth drawing

const OrderedJson* given(const OrderedJson& row, const char* key) {
  const OrderedJson* const value = member(&row, key);
  return value && !value->is_null() ? value : nullptr;
}

std::int64_t tokens_of(const OrderedJson& answer) {
  const OrderedJson* tokens = member(member(&answer, "usage"), "completion_tokens");
  if (!tokens) tokens = member(&answer, "completion_tokens");
  if (!tokens || !tokens->is_number_integer()) return -1;
  if (tokens->is_number_unsigned() && tokens->get<std::uint64_t>() > (std::uint64_t{1} << 53)) return -1;
  return std::max<std::int64_t>(tokens->get<std::int64_t>(), -1);
}

// The candidate that the row's own fields are of. With several answers `usage` counts all of them.
std::int64_t chosen_of(const OrderedJson& fields, std::size_t candidates) {
  const OrderedJson* const selected = given(fields, "selected");
  if (!selected || !selected->is_number_unsigned()) return -1;
  const auto at = selected->get<std::uint64_t>();
  return at < candidates ? static_cast<std::int64_t>(at) : -1;
}

std::optional<std::vector<double>> numbers(const OrderedJson* json) {
  if (!json || !json->is_array() || json->size() < kFewestSteps || json->size() > kMostSteps) return std::nullopt;
  std::vector<double> out;
  for (const OrderedJson& value : *json) {
    if (!value.is_number() || !std::isfinite(value.get<double>())) return std::nullopt;
    out.push_back(value.get<double>());
  }
  return out;
}

const OrderedJson* find_bool(const OrderedJson& answer, const char* key) {
  const OrderedJson* const value = given(answer, key);
  return value && value->is_boolean() ? value : nullptr;
}

std::string shown_id(const OrderedJson& row, const OrderedJson& fields) {
  for (const OrderedJson* const from : {&row, &fields})
    for (const char* const key : {"custom_id", "id"})
      if (const OrderedJson* const id = given(*from, key))
        return printable(id->is_string() ? id->get<std::string>() : to_line(*id), 60);
  return "?";
}

}  // namespace

GradedRows::GradedRows(GradedRowsOptions options) : options_(std::move(options)) {
  for (const std::string& path : options_.wanted) column(path);
}

const OrderedJson* GradedRows::label_of(const OrderedJson& answer) const {
  return find_bool(answer, options_.label.c_str());
}

// Later predictions take the text of the first that the grader finds equal.
void GradedRows::merge_votes(std::vector<Candidate>& answers) const {
  for (std::size_t i = 0; i < answers.size(); ++i)
    for (std::size_t j = 0; j < i && answers[i].has_prediction; ++j) {
      if (!answers[j].has_prediction || answers[j].predicted == answers[i].predicted) continue;
      if (!equivalent(*options_.dataset, answers[i].predicted, answers[j].predicted)) continue;
      answers[i].predicted = answers[j].predicted;
      break;
    }
}

std::size_t GradedRows::column(const std::string& path) {
  const auto [at, is_new] = column_of_.try_emplace(path, columns_.scores.size());
  if (is_new) {
    columns_.scores.emplace_back(path, std::vector<double>());
    higher_.push_back(higher_is_better(path));
    seen_.push_back(false);
  }
  return at->second;
}

bool GradedRows::is_wanted(const std::string& path) const {
  return options_.wanted.empty() ||
         std::find(options_.wanted.begin(), options_.wanted.end(), path) != options_.wanted.end();
}

template <class Put>
void GradedRows::walk(const OrderedJson& scores, const std::string& prefix, int depth, const Put& put) {
  if (!scores.is_object() || depth > kDeepest) return;
  for (const auto& entry : scores.items()) {
    const OrderedJson& value = entry.value();
    const std::string path = prefix + entry.key();
    if (value.is_object()) walk(value, path + ".", depth + 1, put);
    if ((!value.is_number() && !value.is_null()) || !is_wanted(path)) continue;
    if (columns_.scores.size() >= kMostScores && !column_of_.contains(path))
      throw FormatError(cat("'scores': more than ", kMostScores, " different scores in the file"));
    const std::size_t at = column(path);
    seen_[at] = true;
    put(at, value.is_number() ? value.get<double>() : kUndefined);
  }
}

void GradedRows::add_candidates(const OrderedJson& candidates, std::int64_t chosen) {
  std::vector<Candidate> answers;
  for (const OrderedJson& json : candidates) {
    const OrderedJson* const label = label_of(json);
    if (!label) {
      ++ungraded_candidates_;
      return;
    }
    Candidate answer{.correct = label->get<bool>(), .tokens = tokens_of(json)};
    if (const OrderedJson* const predicted = given(json, "predicted")) {
      answer.has_prediction = true;
      answer.predicted = predicted->is_string() ? predicted->get<std::string>() : to_line(*predicted);
    }
    if (const OrderedJson* const scores = given(json, "scores"))
      walk(*scores, "", 0, [&](std::size_t at, double value) {
        if (answer.scores.size() <= at) answer.scores.resize(at + 1, kUndefined);
        answer.scores[at] = higher_[at] ? value : -value;
      });
    answers.push_back(std::move(answer));
  }
  if (options_.dataset) merge_votes(answers);
  selection_.add(answers, chosen);
}

void GradedRows::keep_example(const OrderedJson& row, const OrderedJson& fields, bool correct) {
  std::optional<ExampleTrajectory>& example = examples_[correct ? 1 : 0];
  if (example) return;
  const OrderedJson* const gauge = member(member(&fields, "scores"), "kv_coe");
  auto dr = numbers(member(gauge, "dr")), dtheta = numbers(member(gauge, "dtheta"));
  if (!dr || !dtheta || dr->size() != dtheta->size()) return;
  example = {.id = shown_id(row, fields), .correct = correct, .dr = *std::move(dr), .dtheta = *std::move(dtheta)};
}

void GradedRows::add(const OrderedJson& row, std::string_view where) {
  const OrderedJson& fields = kvgauge_fields(row);
  for (const OrderedJson* const from : {&row, &fields})
    if (const OrderedJson* const error = given(*from, "error")) {
      if (++failed_ == 1)
        first_error_ = printable(error->is_string() ? error->get<std::string>() : to_line(*error), 200);
      return;
    }
  const OrderedJson* const label = label_of(row);
  if (!label)
    throw FormatError(cat(where, ": no true or false in '", options_.label, "', a row of `kvgauge grade` was needed"));
  if (const OrderedJson* const released = find_bool(row, "paper_correct")) {
    ++released_graded_;
    released_correct_ += released->get<bool>();
  }
  // `grade` writes its fields beside the candidates that it graded.
  const OrderedJson* candidates = given(row, "candidates");
  if (!candidates) candidates = given(fields, "candidates");
  const bool sampled = candidates && candidates->is_array() && !candidates->empty();
  const std::int64_t chosen = sampled ? chosen_of(fields, candidates->size()) : -1;
  const OrderedJson* const reason = given(fields, "finish_reason");
  columns_.correct.push_back(label->get<bool>());
  columns_.complete.push_back(!reason || *reason == "stop");
  columns_.tokens.push_back(
      tokens_of(sampled ? (*candidates)[static_cast<std::size_t>(std::max<std::int64_t>(chosen, 0))] : fields));
  const auto put = [&](std::size_t at, double value) {
    std::vector<double>& values = columns_.scores[at].second;
    values.resize(columns_.correct.size(), kUndefined);
    values.back() = value;
  };
  try {
    if (const OrderedJson* const scores = given(fields, "scores")) walk(*scores, "", 0, put);
    if (const OrderedJson* const groups = given(fields, kGroups)) walk(*groups, cat(kGroups, "."), 0, put);
    if (sampled) add_candidates(*candidates, chosen);
  } catch (const FormatError& error) {
    throw FormatError(cat(where, ": ", error.what()));
  }
  keep_example(row, fields, label->get<bool>());
}

void GradedRows::finish(std::string_view file) {
  if (columns_.correct.empty())
    throw InputError(cat(file, ": found no graded row", failed_ > 0 ? cat(" (", failed_, " with an error)") : "",
                         ", at least one was needed"));
  for (const std::string& path : options_.wanted)
    if (!seen_[column_of_.at(path)])
      throw UsageError(cat("--score: no row has '", printable(path), "' under 'scores'"));
  for (auto& score : columns_.scores) score.second.resize(columns_.correct.size(), kUndefined);
}

std::vector<std::string> GradedRows::score_names() const {
  std::vector<std::string> names;
  for (const auto& score : columns_.scores) names.push_back(score.first);
  return names;
}

}  // namespace kvgauge
