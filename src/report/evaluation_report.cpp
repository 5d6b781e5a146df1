#include "report/evaluation_report.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

namespace kvgauge {
namespace {

OrderedJson number(double value) { return std::isfinite(value) ? OrderedJson(value) : OrderedJson(nullptr); }

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
  object["prr"] = number(m.prr);
  object["prr_0.5"] = number(m.prr_half);
  object["auroc_ci95"] = OrderedJson::array({number(m.auroc_ci95.low), number(m.auroc_ci95.high)});
}

OrderedJson score_json(const ScoreEvaluation& score) {
  OrderedJson object;
  object["name"] = score.name;
  object["higher_is_better"] = score.higher_is_better;
  add_metrics(object, score.all);
  add_metrics(object["complete_only"], score.complete_only);
  return object;
}

std::string percent(double fraction) { return std::isfinite(fraction) ? fmt::format("{:.2f}", 100 * fraction) : "-"; }

std::string markdown_cell(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' || c == '\r' ? ' ' : c;
  }
  return out;
}

void add_table(std::string& out, const Evaluation& evaluation, ScoreMetrics ScoreEvaluation::*subset) {
  out +=
      "| score | n | invalid | AUROC | 95 % interval | flipped | FPR95 | FPR95 min | AUPR | AP | PRR |\n"
      "|---|---:|---:|---:|:---:|---:|---:|---:|---:|---:|---:|\n";
  const auto add_rows = [&](const std::vector<ScoreEvaluation>& scores, const char* mark) {
    for (const ScoreEvaluation& score : scores) {
      const ScoreMetrics& m = score.*subset;
      const std::string interval =
          std::isfinite(m.auroc_ci95.low) ? percent(m.auroc_ci95.low) + " to " + percent(m.auroc_ci95.high) : "-";
      fmt::format_to(std::back_inserter(out), "| {}{}{} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", mark,
                     score.higher_is_better ? "" : "-", markdown_cell(score.name), m.n, m.invalid,
                     percent(m.ranking.auroc), interval, percent(m.ranking.auroc_flipped), percent(m.ranking.fpr95),
                     percent(m.ranking.fpr95_min), percent(m.ranking.aupr), percent(m.ranking.average_precision),
                     percent(m.prr));
    }
  };
  add_rows(evaluation.scores, "");
  add_rows(evaluation.baselines, "baseline ");
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
  for (const double value :
       {m.ranking.auroc, m.ranking.auroc_flipped, m.ranking.fpr95, m.ranking.fpr95_min, m.ranking.aupr,
        m.ranking.aupr_wrong, m.ranking.average_precision, m.prr, m.prr_half, m.auroc_ci95.low, m.auroc_ci95.high})
    out += ',' + csv_number(value);
  out += '\n';
}

}  // namespace

OrderedJson evaluation_json(const Evaluation& evaluation) {
  const std::int64_t complete = evaluation.rows - evaluation.truncated;
  OrderedJson out;
  out["rows"] = evaluation.rows;
  out["correct"] = evaluation.correct;
  out["accuracy"] = number(share(evaluation.correct, evaluation.rows));
  out["truncated"] = evaluation.truncated;
  out["mean_tokens"] = number(evaluation.mean_tokens);
  out["complete_only"] = {{"rows", complete},
                          {"correct", evaluation.complete_correct},
                          {"accuracy", number(share(evaluation.complete_correct, complete))}};
  out["nan_policy"] = name(evaluation.nan_policy);
  out["scores"] = OrderedJson::array();
  for (const ScoreEvaluation& score : evaluation.scores) out["scores"].push_back(score_json(score));
  out["baselines"] = OrderedJson::array();
  for (const ScoreEvaluation& score : evaluation.baselines) out["baselines"].push_back(score_json(score));
  return out;
}

std::string evaluation_markdown(const Evaluation& evaluation) {
  const std::int64_t complete = evaluation.rows - evaluation.truncated;
  std::string out = fmt::format(
      "{} rows, {} correct ({} %), {} truncated; of the {} complete rows {} correct ({} %).\n", evaluation.rows,
      evaluation.correct, percent(share(evaluation.correct, evaluation.rows)), evaluation.truncated, complete,
      evaluation.complete_correct, percent(share(evaluation.complete_correct, complete)));
  if (std::isfinite(evaluation.mean_tokens)) out += fmt::format("Mean length {:.1f} tokens.\n", evaluation.mean_tokens);
  out += fmt::format(
      "Metrics in percent, positive class = correct. A score written -name was negated, as lower means more confident. "
      "Rows without a "
      "score: {}.\n\n## All rows\n\n",
      name(evaluation.nan_policy));
  add_table(out, evaluation, &ScoreEvaluation::all);
  out += "\n## Complete rows only\n\n";
  add_table(out, evaluation, &ScoreEvaluation::complete_only);
  return out;
}

std::string evaluation_csv(const Evaluation& evaluation) {
  std::string out =
      "name,subset,higher_is_better,n,correct,invalid,auroc,auroc_flipped,fpr95,fpr95_min,aupr,aupr_wrong,ap,prr,prr_0."
      "5,"
      "auroc_ci95_low,auroc_ci95_high\n";
  for (const auto* const scores : {&evaluation.scores, &evaluation.baselines})
    for (const ScoreEvaluation& score : *scores) {
      add_csv_line(out, score, score.all, "all");
      add_csv_line(out, score, score.complete_only, "complete_only");
    }
  return out;
}

}  // namespace kvgauge
