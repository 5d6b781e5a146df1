#include "report/evaluation_html.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cat.h"
#include "report/build_info.h"
#include "report/evaluation_figures.h"
#include "report/evaluation_style.h"
#include "report/html_table.h"
#include "report/html_text.h"
#include "report/report_text.h"

namespace kvgauge {
namespace {

constexpr std::size_t kMostCards = 12, kMostCurves = 7;

double share(std::int64_t part, std::int64_t whole) {
  return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : kUndefined;
}

std::string verdict_cell(const Judgement& judgement) {
  const char* kind = "";
  if (judgement.verdict == Verdict::kBeyondLength && !judgement.reversed) kind = " good";
  if (judgement.verdict == Verdict::kLength || judgement.verdict == Verdict::kTruncation ||
      judgement.verdict == Verdict::kTruncationOpen || judgement.reversed)
    kind = " bad";
  return fmt::format("<span class=\"verdict{}\">{}</span>", kind, html_text(words(judgement)));
}

std::string score_cell(const ScoreEvaluation& score, bool baseline) {
  return html_text(cat(baseline ? "baseline " : "", score.higher_is_better ? "" : "-", score.name), 120);
}

template <class AddRow>
void each_score(const Evaluation& evaluation, const AddRow& add_row) {
  for (const ScoreEvaluation& score : evaluation.scores) add_row(score, false);
  for (const ScoreEvaluation& score : evaluation.baselines) add_row(score, true);
}

void put_fact(std::string& out, std::string_view name, std::string_view value) {
  if (!value.empty()) put(out, "<dt>{}</dt><dd>{}</dd>\n", html_text(name), html_text(value, 1500));
}

std::string json_text(const Json& json, const char* outer, const char* inner) {
  const auto object = json.find(outer);
  if (object == json.end()) return "";
  const Json* value = &*object;
  if (inner) {
    if (!value->is_object() || !value->contains(inner)) return "";
    value = &value->at(inner);
  }
  if (value->is_null()) return "";
  return value->is_string() ? value->get<std::string>() : value->dump(-1, ' ', false, Json::error_handler_t::replace);
}

// name = value, of the settings that a manifest records.
std::string settings_text(const Json& manifest) {
  const auto settings = manifest.find("settings");
  std::string out;
  if (settings == manifest.end() || !settings->is_object()) return out;
  for (const auto& entry : settings->items()) {
    const std::string value = json_text(*settings, entry.key().c_str(), nullptr);
    out += cat(out.empty() ? "" : ", ", entry.key(), " = ", value.empty() ? "none" : value);
  }
  return out;
}

std::string provenance(const EvaluationReport& report) {
  std::string out = "<dl>\n";
  put_fact(out, "Input", report.input);
  put_fact(out, "SHA-256 of the input", report.input_sha256);
  if (report.manifest && report.manifest->is_object()) {
    const Json& manifest = *report.manifest;
    const std::string hash = json_text(manifest, "model", "hash");
    put_fact(out, "Model", cat(json_text(manifest, "model", "path"), hash.empty() ? "" : cat(" (", hash, ")")));
    put_fact(out, "Answers by",
             cat("kvgauge ", json_text(manifest, "verb", nullptr), " ", json_text(manifest, "kvgauge", "version"),
                 " (commit ", json_text(manifest, "kvgauge", "commit"), "), ", json_text(manifest, "started", nullptr),
                 " to ", json_text(manifest, "finished", nullptr)));
    put_fact(out, "Questions",
             cat(json_text(manifest, "input", "path"), " (", json_text(manifest, "input", "sha256"), ")"));
    put_fact(out, "Settings", settings_text(manifest));
  } else {
    put_fact(out, "Model and settings", "unknown: no manifest beside the input (give one by --manifest)");
  }
  const Evaluation& evaluation = report.evaluation;
  const std::string released =
      report.released_graded > 0
          ? cat("; the released graders find ", report.released_correct, " of ", report.released_graded, " right (",
                percent(share(report.released_correct, report.released_graded)), " %)")
          : "";
  put_fact(out, "Labels", cat("field ", report.label, released));
  put_fact(
      out, "Evaluated by",
      cat("kvgauge ", build_info().version, " (commit ", build_info().commit, "), ", evaluation.bootstrap.resamples,
          " resamples, seed ", evaluation.bootstrap.seed, ", undefined scores: ", name(evaluation.nan_policy)));
  return out + "</dl>\n";
}

void put_tile(std::string& out, std::string_view value, std::string_view name) {
  put(out, "<div class=\"tile\"><b>{}</b><span>{}</span></div>", html_text(value), html_text(name));
}

// "2 of 23 scores carry signal beyond length: a, b." for each verdict that occurs.
std::string findings(const Evaluation& evaluation) {
  struct Finding {
    Judgement judgement;
    std::vector<std::string> names;
  };
  std::vector<Finding> found;
  for (const ScoreEvaluation& score : evaluation.scores) {
    const auto same = std::find_if(found.begin(), found.end(),
                                   [&](const Finding& f) { return words(f.judgement) == words(score.judgement); });
    if (same == found.end())
      found.push_back({.judgement = score.judgement, .names = {score.name}});
    else
      same->names.push_back(score.name);
  }
  std::stable_sort(found.begin(), found.end(), [](const Finding& a, const Finding& b) {
    return std::pair(a.judgement.reversed, -static_cast<int>(a.judgement.verdict)) <
           std::pair(b.judgement.reversed, -static_cast<int>(b.judgement.verdict));
  });
  std::string out = "<ul>\n";
  constexpr std::size_t kMostNames = 40;
  for (const Finding& f : found) {
    put(out, "<li>{} <span class=\"soft\">({} of {})</span>: ", verdict_cell(f.judgement), f.names.size(),
        evaluation.scores.size());
    for (std::size_t i = 0; i < f.names.size() && i < kMostNames; ++i)
      put(out, "{}<code>{}</code>", i > 0 ? ", " : "", html_text(f.names[i], 120));
    out += f.names.size() > kMostNames ? ", ...</li>\n" : "</li>\n";
  }
  return out + "</ul>\n";
}

std::string header(const EvaluationReport& report) {
  const Evaluation& e = report.evaluation;
  std::string out = "<header><h1>How well the scores tell right answers from wrong ones</h1>\n";
  out += provenance(report);
  out += "<div class=\"tiles\">";
  put_tile(out, cat(e.rows), report.failed > 0 ? cat("rows, and ", report.failed, " with an error") : "rows");
  put_tile(out, percent(share(e.correct, e.rows)) + " %", cat("right: ", e.correct));
  put_tile(out, percent(share(e.truncated, e.rows)) + " %", cat("truncated: ", e.truncated));
  put_tile(out, percent(share(e.complete_correct, e.rows - e.truncated)) + " %", "right among the complete");
  put_tile(out, decimal(e.mean_tokens, 1), "tokens an answer, mean");
  out += "</div>\n";
  if (report.failed > 0)
    put(out, "<p class=\"note\">First error: <code>{}</code></p>\n", html_text(report.first_error));
  return out + "</header>\n";
}

std::string metrics_table(const Evaluation& evaluation, ScoreMetrics ScoreEvaluation::*subset) {
  HtmlTable table({"score", "n", "invalid", "AUROC", "95 % interval", "flipped", "FPR95", "FPR95 min", "AUPR", "AP",
                   "AUPR wrong", "PRR", "PRR 0.5", "Kendall"});
  each_score(evaluation, [&](const ScoreEvaluation& score, bool baseline) {
    const ScoreMetrics& m = score.*subset;
    const RankingMetrics& r = m.ranking;
    table.row({score_cell(score, baseline), cat(m.n), cat(m.invalid), percent(r.auroc), percent_range(m.auroc_ci95),
               percent(r.auroc_flipped), percent(r.fpr95), percent(r.fpr95_min), percent(r.aupr),
               percent(r.average_precision), percent(r.aupr_wrong), percent(r.prr), percent(r.prr_half),
               decimal(r.kendall, 3)},
              baseline ? "base" : "");
  });
  return table.finish();
}

std::string verdict_table(const Evaluation& evaluation) {
  const bool truncated = evaluation.truncated > 0 && evaluation.truncated < evaluation.rows;
  HtmlTable table({"score", "verdict", "AUROC", "complete only", "correlation with length", "partial correlation",
                   "95 % interval", "length-matched AUROC", "95 % interval"},
                  2);
  each_score(evaluation, [&](const ScoreEvaluation& score, bool baseline) {
    const LengthControl& length = truncated ? score.complete_only.length : score.all.length;
    const Interval& partial = length.spearman.ci95;
    table.row({score_cell(score, baseline), verdict_cell(score.judgement), percent(score.all.ranking.auroc),
               percent(score.complete_only.ranking.auroc), decimal(length.spearman.xz, 3),
               decimal(length.spearman.partial, 3),
               std::isfinite(partial.low) ? cat(decimal(partial.low, 3), " to ", decimal(partial.high, 3)) : "-",
               percent(length.matched_auroc), percent_range(length.matched_ci95)},
              baseline ? "base" : "");
  });
  return table.finish() +
         fmt::format(
             "<p class=\"note\">Length columns over {} rows. Partial: rank correlation with correctness, length "
             "held fixed. Length-matched: over pairs of about equal length ({} quantiles at most).</p>\n",
             truncated ? "the complete" : "all", 10);
}

std::string card(EvaluationFigures& figures, const ScoreEvaluation& score) {
  const ScoreMetrics& m = score.all;
  std::string out = fmt::format("<section class=\"card\"><h3><span class=\"name\">{}</span></h3><div class=\"panels\">",
                                score_cell(score, false));
  put(out, "<div class=\"facts\"><p>{}</p><dl>", verdict_cell(score.judgement));
  put_fact(out, "AUROC", cat(percent(m.ranking.auroc), " (", percent_range(m.auroc_ci95), ")"));
  put_fact(out, "complete only", percent(score.complete_only.ranking.auroc));
  put_fact(out, "FPR95, min", cat(percent(m.ranking.fpr95), ", ", percent(m.ranking.fpr95_min)));
  put_fact(out, "AUPR, AP", cat(percent(m.ranking.aupr), ", ", percent(m.ranking.average_precision)));
  put_fact(out, "PRR", percent(m.ranking.prr));
  put_fact(out, "with length", decimal(m.length.spearman.xz, 3));
  put_fact(out, "Brier, isotonic", decimal(m.brier_isotonic, 4));
  put_fact(out, "invalid rows", cat(m.invalid));
  return out + "</dl></div>" + figures.score(score) + "</div></section>\n";
}

std::string cards(EvaluationFigures& figures, const Evaluation& evaluation) {
  const std::vector<std::string> names = figures.chosen(kMostCards);
  std::string out = "<h2>Score by score</h2>\n";
  if (names.size() < evaluation.scores.size())
    put(out,
        "<p class=\"note first\">{} of {} scores are drawn: the headline variants and of each group the two that rank "
        "best. "
        "<code>--score</code> draws others.</p>\n",
        names.size(), evaluation.scores.size());
  for (const ScoreEvaluation& score : evaluation.scores)
    if (std::find(names.begin(), names.end(), score.name) != names.end()) out += card(figures, score);
  return out;
}

std::string comparisons(const Evaluation& evaluation) {
  if (evaluation.comparisons.empty()) return "";
  HtmlTable table(
      {"a", "b", "n", "AUROC a", "AUROC b", "a - b", "DeLong p", "95 % interval", "bootstrap p", "95 % interval"}, 2);
  for (const Comparison& c : evaluation.comparisons)
    table.row({html_text(c.a, 120), cat("<span class=\"name\">", html_text(c.b, 120), "</span>"), cat(c.n),
               percent(c.delong.a.auroc), percent(c.delong.b.auroc), percent(c.delong.difference),
               html_text(p_value(c.delong.p)), percent_range(c.delong.ci95), html_text(p_value(c.bootstrap_p)),
               percent_range(c.bootstrap_ci95)});
  return "<h2>Paired comparisons of AUROC</h2>\n" + table.finish();
}

std::string selection(EvaluationFigures& figures, const EvaluationReport& report) {
  const SelectionResult& result = report.selection;
  if (result.selectors.empty()) return "";
  std::string out = "<h2>Selection among candidates</h2>\n";
  put(out,
      "<p>{} questions with {} answers each on average, {} tokens sampled a question. A choice among equals counts as "
      "its expectation.{}</p>\n",
      result.questions, decimal(result.mean_candidates, 2), decimal(result.mean_tokens_sampled, 1),
      report.ungraded_candidates > 0
          ? cat(" ", report.ungraded_candidates, " questions are left out: a candidate of theirs is not graded.")
          : "");
  out += figures.selection(result);
  HtmlTable table({"selector", "accuracy", "95 % interval", "gain over random", "95 % interval", "tokens of the choice",
                   "tied candidates"});
  for (const SelectorResult& s : result.selectors)
    table.row({html_text(s.name, 120), percent(s.accuracy), percent_range(s.ci95), percent(s.gain),
               percent_range(s.gain_ci95), decimal(s.mean_tokens, 1), decimal(s.mean_candidates, 2)},
              s.is_score ? "" : "base");
  return out + table.finish();
}

constexpr const char* kMethods = R"(<h2>How to read this</h2>
<ul>
<li>All metrics are percent; the positive class is "right"; a higher score means "more likely right". A score written <code>-name</code> is an
uncertainty and was negated; the orientation is fixed beforehand, never from the data. Flipped AUROC is 100 - AUROC.</li>
<li>Intervals: percentile bootstrap over the rows, the same resamples for every score. Each stands alone, with no correction for looking at many
scores: of thirty without signal, one or two will seem to have some.</li>
<li>FPR95 and AUPR follow the published evaluation (interpolated at a true positive rate of 95 %, the largest rate where it is met exactly;
trapezoid). FPR95 min and AP (average precision) are the usual definitions. PRR: prediction-rejection ratio, 100 = as good as an oracle, 0 = random.</li>
<li>Reliability: isotonic regression on four fifths of the rows predicts the fifth; shares with Wilson intervals. ECE: mean distance to the diagonal.</li>
<li>Verdicts, the first that fits: <em>too few of one class</em> (under 10); <em>no signal</em> (the interval of AUROC holds 50; <em>some
at equal length</em> if the controls of length show what length hides); <em>explained by
truncation</em> (nothing is left among the answers that ended by themselves; <em>cannot be told</em> if under 10 of a class are); <em>explained by
length</em> (at equal length nothing is left, by the partial rank correlation or by the length-matched AUROC); <em>carries signal beyond
length</em>. "Explained" means that what is left cannot be told from chance on these rows. "Wrong way round": the AUROC lies below 50.</li>
</ul>
)";

}  // namespace

std::string evaluation_html(const EvaluationReport& report, const GradedRows& rows) {
  const Evaluation& evaluation = report.evaluation;
  EvaluationFigures figures(evaluation, rows.columns());
  std::vector<std::string> curves = figures.chosen(kMostCurves);
  curves.push_back("neg_length");
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n";
  put(out, "<title>kvgauge evaluation of {}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n",
      html_text(report.input, 120), kReportStyle);
  out += header(report);
  out += "<h2>Findings</h2>\n" + findings(evaluation) + figures.aurocs();
  out += "<h2>What each score shows</h2>\n" + verdict_table(evaluation);
  out += "<h2>All rows</h2>\n" + metrics_table(evaluation, &ScoreEvaluation::all);
  if (evaluation.truncated > 0)
    out += "<h2>Complete rows only</h2>\n" + metrics_table(evaluation, &ScoreEvaluation::complete_only);
  out += "<h2>Curves</h2>\n" + figures.roc(curves);
  out += comparisons(evaluation);
  out += selection(figures, report);
  if (const std::string trajectories = figures.trajectories(rows); !trajectories.empty())
    out +=
        "<h2>Two trajectories</h2>\n<p>The first right and the first wrong answer whose steps are in the file.</p>\n" +
        trajectories;
  out += cards(figures, evaluation);
  out += kMethods;
  put(out, "<footer>kvgauge {} (commit {}). This page stands alone: no script, nothing fetched.</footer>\n",
      html_text(build_info().version), html_text(build_info().commit));
  return out + "</main>\n</body>\n</html>\n";
}

}  // namespace kvgauge
