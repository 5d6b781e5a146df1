#include "report/evaluation_report.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

#include "core/printable.h"
#include "report/build_info.h"
#include "report/report_text.h"

namespace kvgauge {
namespace {

OrderedJson number(double value) { return std::isfinite(value) ? OrderedJson(value) : OrderedJson(nullptr); }
OrderedJson range(const Interval& interval) {
  return OrderedJson::array({number(interval.low), number(interval.high)});
}

double share(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : kUndefined;
}

void add_metrics(OrderedJson& object, const ScoreMetrics& m) {
  object["n"] = m.n;
  object["correct"] = m.correct;
  object["invalid"] = m.invalid;
  object["auroc"] = number(m.ranking.auroc);
  object["auroc_flipped"] = number(m.ranking.auroc_flipped);
  object["fpr95"] = number(m.ranking.fpr95);
  object["fpr95_min"] = number(m.ranking.fpr95_min);
  object["aupr"] = number(m.ranking.aupr);
  object["aupr_wrong"] = number(m.ranking.aupr_wrong);
  object["ap"] = number(m.ranking.average_precision);
  object["prr"] = number(m.ranking.prr);
  object["prr_0.5"] = number(m.ranking.prr_half);
  object["auroc_ci95"] = range(m.auroc_ci95);
  object["rcc_auc"] = number(m.ranking.rcc_auc);
  object["kendall"] = number(m.ranking.kendall);
  object["spearman"] = number(m.spearman);
  object["ece"] = number(m.ece);
  object["ece_isotonic"] = number(m.ece_isotonic);
  object["brier_isotonic"] = number(m.brier_isotonic);
  const LengthControl& length = m.length;
  object["length"] = {{"n", length.n},
                      {"spearman", number(length.spearman.xz)},
                      {"partial_spearman", number(length.spearman.partial)},
                      {"partial_spearman_ci95", range(length.spearman.ci95)},
                      {"matched_auroc", number(length.matched_auroc)},
                      {"matched_auroc_ci95", range(length.matched_ci95)},
                      {"strata", length.strata}};
}

OrderedJson score_json(const ScoreEvaluation& score) {
  OrderedJson object;
  object["name"] = score.name;
  object["higher_is_better"] = score.higher_is_better;
  object["verdict"] = key(score.judgement.verdict);
  object["reversed"] = score.judgement.reversed;
  object["verdict_text"] = words(score.judgement);
  add_metrics(object, score.all);
  add_metrics(object["complete_only"], score.complete_only);
  return object;
}

OrderedJson comparison_json(const Comparison& c) {
  return {{"a", c.a},
          {"b", c.b},
          {"n", c.n},
          {"auroc_a", number(c.delong.a.auroc)},
          {"auroc_b", number(c.delong.b.auroc)},
          {"difference", number(c.delong.difference)},
          {"delong",
           {{"standard_error", number(c.delong.standard_error)},
            {"z", number(c.delong.z)},
            {"p", number(c.delong.p)},
            {"ci95", range(c.delong.ci95)}}},
          {"bootstrap", {{"p", number(c.bootstrap_p)}, {"ci95", range(c.bootstrap_ci95)}}}};
}

OrderedJson selection_json(const EvaluationReport& report) {
  const SelectionResult& selection = report.selection;
  OrderedJson out = {{"questions", selection.questions},
                     {"candidates", number(selection.mean_candidates)},
                     {"tokens_sampled", number(selection.mean_tokens_sampled)},
                     {"ungraded_questions", report.ungraded_candidates}};
  out["selectors"] = OrderedJson::array();
  for (const SelectorResult& s : selection.selectors)
    out["selectors"].push_back({{"name", s.name},
                                {"kind", s.is_score ? "score" : "rule"},
                                {"accuracy", number(s.accuracy)},
                                {"accuracy_ci95", range(s.ci95)},
                                {"gain", number(s.gain)},
                                {"gain_ci95", range(s.gain_ci95)},
                                {"tokens", number(s.mean_tokens)},
                                {"tied", number(s.mean_candidates)}});
  return out;
}

std::string shown_name(const ScoreEvaluation& score, bool baseline) {
  return (baseline ? "baseline " : "") + std::string(score.higher_is_better ? "" : "-") + markdown_cell(score.name);
}

template <class AddRow>
void each_score(const Evaluation& evaluation, const AddRow& add_row) {
  for (const ScoreEvaluation& score : evaluation.scores) add_row(score, shown_name(score, false));
  for (const ScoreEvaluation& score : evaluation.baselines) add_row(score, shown_name(score, true));
}

void add_table(std::string& out, const Evaluation& evaluation, ScoreMetrics ScoreEvaluation::*subset) {
  out +=
      "| score | n | invalid | AUROC | 95 % interval | flipped | FPR95 | FPR95 min | AUPR | AP | PRR |\n"
      "|---|---:|---:|---:|:---:|---:|---:|---:|---:|---:|---:|\n";
  each_score(evaluation, [&](const ScoreEvaluation& score, const std::string& name) {
    const ScoreMetrics& m = score.*subset;
    fmt::format_to(std::back_inserter(out), "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", name, m.n,
                   m.invalid, percent(m.ranking.auroc), percent_range(m.auroc_ci95), percent(m.ranking.auroc_flipped),
                   percent(m.ranking.fpr95), percent(m.ranking.fpr95_min), percent(m.ranking.aupr),
                   percent(m.ranking.average_precision), percent(m.ranking.prr));
  });
}

void add_verdicts(std::string& out, const Evaluation& evaluation) {
  const bool truncated = evaluation.truncated > 0 && evaluation.truncated < evaluation.rows;
  out += fmt::format(
      "\n## What each score shows\n\nLength columns over {} rows: rank correlation of the score with length, partial "
      "rank correlation with correctness at fixed length, AUROC among answers of about equal length. The rules of the "
      "verdict are in docs/cli/evaluate.md.\n\n"
      "| score | verdict | AUROC | complete only | with length | partial | 95 % interval | length-matched AUROC | 95 % "
      "interval |\n|---|---|---:|---:|---:|---:|:---:|---:|:---:|\n",
      truncated ? "the complete" : "all");
  each_score(evaluation, [&](const ScoreEvaluation& score, const std::string& name) {
    const LengthControl& length = truncated ? score.complete_only.length : score.all.length;
    const Interval& partial = length.spearman.ci95;
    fmt::format_to(std::back_inserter(out), "| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", name,
                   words(score.judgement), percent(score.all.ranking.auroc), percent(score.complete_only.ranking.auroc),
                   decimal(length.spearman.xz, 3), decimal(length.spearman.partial, 3),
                   std::isfinite(partial.low) ? decimal(partial.low, 3) + " to " + decimal(partial.high, 3) : "-",
                   percent(length.matched_auroc), percent_range(length.matched_ci95));
  });
}

void add_comparisons(std::string& out, const Evaluation& evaluation) {
  if (evaluation.comparisons.empty()) return;
  out +=
      "\n## Paired comparisons of AUROC\n\n| a | b | n | a | b | a - b | DeLong p | DeLong 95 % interval | bootstrap "
      "p | bootstrap 95 % interval |\n|---|---|---:|---:|---:|---:|---:|:---:|---:|:---:|\n";
  for (const Comparison& c : evaluation.comparisons)
    fmt::format_to(std::back_inserter(out), "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", markdown_cell(c.a),
                   markdown_cell(c.b), c.n, percent(c.delong.a.auroc), percent(c.delong.b.auroc),
                   percent(c.delong.difference), p_value(c.delong.p), percent_range(c.delong.ci95),
                   p_value(c.bootstrap_p), percent_range(c.bootstrap_ci95));
}

void add_selection(std::string& out, const EvaluationReport& report) {
  const SelectionResult& selection = report.selection;
  if (selection.selectors.empty()) return;
  fmt::format_to(
      std::back_inserter(out),
      "\n## Selection among candidates\n\n{} questions, {} candidates each on average, {} tokens sampled a "
      "question{}. Accuracy in percent; a choice among equals is its expectation.\n\n"
      "| selector | accuracy | 95 % interval | gain over random | 95 % interval | tokens of the choice | "
      "tied |\n|---|---:|:---:|---:|:---:|---:|---:|\n",
      selection.questions, decimal(selection.mean_candidates, 2), decimal(selection.mean_tokens_sampled, 1),
      report.ungraded_candidates > 0
          ? fmt::format("; {} questions left out, a candidate of theirs is not graded", report.ungraded_candidates)
          : "");
  for (const SelectorResult& s : selection.selectors)
    fmt::format_to(std::back_inserter(out), "| {} | {} | {} | {} | {} | {} | {} |\n",
                   (s.is_score ? "score " : "") + markdown_cell(s.name), percent(s.accuracy), percent_range(s.ci95),
                   percent(s.gain), percent_range(s.gain_ci95), decimal(s.mean_tokens, 1),
                   decimal(s.mean_candidates, 2));
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"') out += '"';
    out += c;
  }
  return out + '"';
}

std::string csv_number(double value) { return std::isfinite(value) ? fmt::format("{}", value) : ""; }

void add_csv_line(std::string& out, const ScoreEvaluation& score, const ScoreMetrics& m, const char* subset) {
  out += csv_field(score.name);
  fmt::format_to(std::back_inserter(out), ",{},{},{},{},{}", subset, score.higher_is_better, m.n, m.correct, m.invalid);
  const LengthControl& length = m.length;
  for (const double value : {m.ranking.auroc,
                             m.ranking.auroc_flipped,
                             m.ranking.fpr95,
                             m.ranking.fpr95_min,
                             m.ranking.aupr,
                             m.ranking.aupr_wrong,
                             m.ranking.average_precision,
                             m.ranking.prr,
                             m.ranking.prr_half,
                             m.auroc_ci95.low,
                             m.auroc_ci95.high,
                             m.ranking.rcc_auc,
                             m.ranking.kendall,
                             m.spearman,
                             m.ece,
                             m.ece_isotonic,
                             m.brier_isotonic,
                             length.spearman.xz,
                             length.spearman.partial,
                             length.spearman.ci95.low,
                             length.spearman.ci95.high,
                             length.matched_auroc,
                             length.matched_ci95.low,
                             length.matched_ci95.high})
    out += ',' + csv_number(value);
  fmt::format_to(std::back_inserter(out), ",{},{}\n", key(score.judgement.verdict), score.judgement.reversed);
}

}  // namespace

OrderedJson evaluation_json(const EvaluationReport& report) {
  const Evaluation& evaluation = report.evaluation;
  const std::int64_t complete = evaluation.rows - evaluation.truncated;
  OrderedJson out;
  out["rows"] = evaluation.rows;
  out["correct"] = evaluation.correct;
  out["accuracy"] = number(share(evaluation.correct, evaluation.rows));
  out["label"] = report.label;
  out["paper_accuracy"] = number(share(report.released_correct, report.released_graded));
  out["truncated"] = evaluation.truncated;
  out["errors"] = report.failed;
  out["mean_tokens"] = number(evaluation.mean_tokens);
  out["complete_only"] = {{"rows", complete},
                          {"correct", evaluation.complete_correct},
                          {"accuracy", number(share(evaluation.complete_correct, complete))}};
  out["nan_policy"] = name(evaluation.nan_policy);
  out["bootstrap"] = {{"resamples", evaluation.bootstrap.resamples}, {"seed", evaluation.bootstrap.seed}};
  out["scores"] = OrderedJson::array();
  for (const ScoreEvaluation& score : evaluation.scores) out["scores"].push_back(score_json(score));
  out["baselines"] = OrderedJson::array();
  for (const ScoreEvaluation& score : evaluation.baselines) out["baselines"].push_back(score_json(score));
  out["comparisons"] = OrderedJson::array();
  for (const Comparison& c : evaluation.comparisons) out["comparisons"].push_back(comparison_json(c));
  if (!report.selection.selectors.empty()) out["selection"] = selection_json(report);
  out["input"] = {{"path", report.input},
                  {"sha256", report.input_sha256.empty() ? OrderedJson() : OrderedJson(report.input_sha256)}};
  out["manifest"] = report.manifest ? OrderedJson(*report.manifest) : OrderedJson();
  out["kvgauge"] = {{"version", build_info().version}, {"commit", build_info().commit}};
  return out;
}

std::string evaluation_markdown(const EvaluationReport& report) {
  const Evaluation& evaluation = report.evaluation;
  const std::int64_t complete = evaluation.rows - evaluation.truncated;
  std::string out = fmt::format(
      "{} rows, {} correct ({} %), {} truncated; of the {} complete rows {} correct ({} %).\n", evaluation.rows,
      evaluation.correct, percent(share(evaluation.correct, evaluation.rows)), evaluation.truncated, complete,
      evaluation.complete_correct, percent(share(evaluation.complete_correct, complete)));
  if (std::isfinite(evaluation.mean_tokens)) out += fmt::format("Mean length {:.1f} tokens.\n", evaluation.mean_tokens);
  if (report.label != "correct") out += fmt::format("Labels are those of '{}'.\n", markdown_cell(report.label));
  if (report.released_graded > 0)
    out += fmt::format("By the released graders {} of {} are correct ({} %).\n", report.released_correct,
                       report.released_graded, percent(share(report.released_correct, report.released_graded)));
  if (report.failed > 0)
    out += fmt::format("{} rows with an error are left out; the first: {}\n", report.failed, report.first_error);
  out += fmt::format(
      "Metrics in percent, positive class = correct. A score written -name was negated, as lower means more confident. "
      "Rows without a score: {}. Intervals: {} bootstrap resamples of the rows, seed {}; each stands alone, with no "
      "correction for looking at many scores.\n\n## All rows\n\n",
      name(evaluation.nan_policy), evaluation.bootstrap.resamples, evaluation.bootstrap.seed);
  add_table(out, evaluation, &ScoreEvaluation::all);
  out += "\n## Complete rows only\n\n";
  add_table(out, evaluation, &ScoreEvaluation::complete_only);
  add_verdicts(out, evaluation);
  add_comparisons(out, evaluation);
  add_selection(out, report);
  return out;
}

std::string evaluation_csv(const EvaluationReport& report) {
  std::string out =
      "name,subset,higher_is_better,n,correct,invalid,auroc,auroc_flipped,fpr95,fpr95_min,aupr,aupr_wrong,ap,prr,"
      "prr_0.5,auroc_ci95_low,auroc_ci95_high,rcc_auc,kendall,spearman,ece,ece_isotonic,brier_isotonic,"
      "length_spearman,partial_spearman,partial_spearman_ci95_low,partial_spearman_ci95_high,matched_auroc,"
      "matched_auroc_ci95_low,matched_auroc_ci95_high,verdict,reversed\n";
  for (const auto* const scores : {&report.evaluation.scores, &report.evaluation.baselines})
    for (const ScoreEvaluation& score : *scores) {
      add_csv_line(out, score, score.all, "all");
      add_csv_line(out, score, score.complete_only, "complete_only");
    }
  return out;
}

}  // namespace kvgauge
