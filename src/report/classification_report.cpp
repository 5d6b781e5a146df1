#include "report/classification_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "core/cat.h"
#include "core/printable.h"
#include "report/report_text.h"

namespace kvgauge {
namespace {

OrderedJson number(double value) { return std::isfinite(value) ? OrderedJson(value) : OrderedJson(); }

OrderedJson scores_object(const ClassificationScores& scores) {
  OrderedJson json = OrderedJson::object();
  json["accuracy"] = number(scores.accuracy);
  json["macro_f1"] = number(scores.macro_f1);
  json["weighted_f1"] = number(scores.weighted_f1);
  json["ap"] = number(scores.average_precision);
  return json;
}

std::string with_deviation(double mean, double deviation) {
  return std::isfinite(deviation) ? cat(percent(mean), " ± ", percent(deviation)) : percent(mean);
}

std::string cell(const std::string& text) {
  std::string out;
  for (const char c : printable(text)) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

OrderedJson classification_json(const ClassificationReport& report) {
  OrderedJson json = OrderedJson::object();
  json["train_rows"] = report.train_rows;
  json["test_rows"] = report.test_rows;
  json["labels"] = OrderedJson::array();
  for (std::size_t i = 0; i < report.labels.size(); ++i)
    json["labels"].push_back(
        {{"name", report.labels[i]}, {"train", report.train_counts[i]}, {"test", report.test_counts[i]}});
  json["settings"] = report.settings;
  json["results"] = OrderedJson::array();
  for (const ClassificationResult& result : report.results) {
    OrderedJson one = {{"name", result.name}};
    one["mean"] = scores_object(result.mean);
    one["sd"] = scores_object(result.deviation);
    one["experiments"] = OrderedJson::array();
    for (const auto& experiment : result.experiments) {
      OrderedJson scores = scores_object(experiment.scores);
      scores["train_rows"] = experiment.rows;
      scores["features"] = experiment.features;
      scores["iterations"] = experiment.iterations;
      scores["converged"] = experiment.converged;
      one["experiments"].push_back(std::move(scores));
    }
    json["results"].push_back(std::move(one));
  }
  return json;
}

std::string classification_markdown(const ClassificationReport& report) {
  std::string out = cat("# Classification\n\n", report.labels.size(), " labels, ", report.train_rows, " train rows, ",
                        report.test_rows, " test rows.\n");
  out += report.options.all
             ? "Fitted once, on all train rows"
             : cat(report.options.experiments, " experiments, each fitted on ", report.options.samples_per_label,
                   " train rows per label (seed ", report.options.seed, ")");
  out +=
      "; logistic regression (C = 1) judged on all test rows. Percent, mean ± standard deviation over experiments.\n\n";
  out += "| features | values | accuracy | macro F1 | weighted F1 | AP |\n|---|---:|---:|---:|---:|---:|\n";
  bool converged = true;
  for (const ClassificationResult& result : report.results) {
    std::int64_t values = 0;
    for (const auto& experiment : result.experiments) {
      values = std::max(values, experiment.features);
      converged = converged && experiment.converged;
    }
    const ClassificationScores &mean = result.mean, &sd = result.deviation;
    fmt::format_to(std::back_inserter(out), "| {} | {} | {} | {} | {} | {} |\n", cell(result.name),
                   values > 0 ? cat(values) : "-", with_deviation(mean.accuracy, sd.accuracy),
                   with_deviation(mean.macro_f1, sd.macro_f1), with_deviation(mean.weighted_f1, sd.weighted_f1),
                   with_deviation(mean.average_precision, sd.average_precision));
  }
  if (!converged) out += "\nSome fits ended before their gradient was flat: see `converged` in the JSON report.\n";
  out += "\n| label | train rows | test rows |\n|---|---:|---:|\n";
  for (std::size_t i = 0; i < report.labels.size(); ++i)
    out += cat("| ", cell(report.labels[i]), " | ", report.train_counts[i], " | ", report.test_counts[i], " |\n");
  if (report.options.all) return out;
  out += "\nAccuracy of each experiment:\n\n| features |";
  for (std::int64_t e = 1; e <= report.options.experiments; ++e) out += cat(" ", e, " |");
  out += "\n|---|";
  for (std::int64_t e = 1; e <= report.options.experiments; ++e) out += "---:|";
  out += '\n';
  for (const ClassificationResult& result : report.results) {
    if (std::ssize(result.experiments) != report.options.experiments) continue;
    out += cat("| ", cell(result.name), " |");
    for (const auto& experiment : result.experiments) out += cat(" ", percent(experiment.scores.accuracy), " |");
    out += '\n';
  }
  return out;
}

}  // namespace kvgauge
