#include <cstdio>
#include <map>
#include <memory>
#include <optional>

#include "cli.h"
#include "core/cat.h"
#include "gold_answer.h"
#include "grade/grader.h"
#include "kvgauge/error.h"
#include "option_values.h"
#include "report/input_row.h"
#include "report/jsonl_reader.h"
#include "report/output_row.h"
#include "result_file.h"

namespace kvgauge::cli {
namespace {

constexpr const char* kExamples = R"(
Examples:
  kvgauge grade --dataset gsm8k --input answers.jsonl --output graded.jsonl
  kvgauge grade --dataset math --input answers.jsonl --gold math500_test.jsonl --output graded.jsonl
  kvgauge grade --dataset theoremqa --strict --input answers.jsonl --output graded.jsonl
  kvgauge grade --dataset exact --input answers.jsonl --gold questions.jsonl | kvgauge evaluate --input -
)";

struct GradeOptions {
  std::string dataset, input, output = "-", gold;
  std::optional<double> tolerance;
  bool strict = false, quiet = false;
};

// TheoremQA's own evaluator takes 4 % of the gold answer; --strict is for models that compute to the last digit.
constexpr double kStrictTolerance = 1e-4;

struct Counts {
  std::int64_t rows = 0, correct = 0, paper_correct = 0, failed = 0;
};

std::optional<std::string> text_of(const OrderedJson& row) {
  if (const OrderedJson* const choices = member(member(given(row, "response"), "body"), "choices");
      choices && choices->is_array() && !choices->empty()) {
    const OrderedJson& choice = choices->front();
    const OrderedJson* const message = member(&choice, "message");
    const OrderedJson* const text = message ? member(message, "content") : member(&choice, "text");
    if (text && text->is_string()) return text->get<std::string>();
  }
  for (const char* const key : {"text", "response", "prediction"})
    if (const OrderedJson* const value = given(row, key); value && value->is_string()) return value->get<std::string>();
  return std::nullopt;
}

bool is_finished(const OrderedJson& answer) {
  const OrderedJson* const reason = member(&answer, "finish_reason");
  return !reason || *reason != "length";
}

void put_grade(OrderedJson& to, const Grade& grade) {
  to["predicted"] = grade.predicted ? OrderedJson(*grade.predicted) : OrderedJson();
  to["correct"] = grade.correct;
  to["paper_correct"] = grade.paper_correct;
  if (grade.coe_paper_correct) to["coe_paper_correct"] = *grade.coe_paper_correct;
}

class Grader {
 public:
  explicit Grader(const GradeOptions& options)
      : dataset_(parse_dataset(options.dataset)),
        tolerance_(options.strict ? kStrictTolerance : options.tolerance.value_or(kvgauge::GradeOptions{}.tolerance)) {
    if (!options.gold.empty()) read_gold(options.gold);
  }

  /// Adds the grade to the row. @throws RequestError if it cannot be graded
  void grade_row(OrderedJson& row, std::int64_t line, Counts& counts) const {
    const GoldAnswer gold = gold_for(row, line);
    const OrderedJson& ours = kvgauge_fields(row);
    if (const OrderedJson* const error = given(ours, "error"))
      throw RequestError(error->is_string() ? error->get<std::string>() : "the row failed");
    const auto text = text_of(row);
    if (!text) throw RequestError("no answer to grade, one of text, response or prediction was needed");
    const Grade grade = grade_of(*text, gold, is_finished(ours));
    for (const char* const key : {"candidates", "answers"})
      if (const auto candidates = row.find(key); candidates != row.end() && candidates->is_array())
        for (OrderedJson& candidate : *candidates)
          if (const auto answer = text_of(candidate))
            put_grade(candidate, grade_of(*answer, gold, is_finished(candidate)));
    row["gold"] = grade.gold;
    put_grade(row, grade);
    counts.correct += grade.correct;
    counts.paper_correct += grade.paper_correct;
  }

 private:
  Grade grade_of(const std::string& text, const GoldAnswer& gold, bool finished) const {
    return kvgauge::grade(dataset_, text, gold.text,
                          {.finished = finished, .answer_type = gold.answer_type, .tolerance = tolerance_});
  }

  void read_gold(const std::string& path) {
    JsonlReader reader(path);
    while (const auto line = reader.next()) {
      const std::string where = cat(path, ":", line->number);
      const OrderedJson row = parse_row(*line, where);
      const auto gold = gold_of(row);
      if (!gold) throw FormatError(cat(where, ": no gold answer, one of gold, answer or solution was needed"));
      if (!gold_.emplace(row_id(row, line->number), *gold).second)
        throw FormatError(cat(where, ": the id '", row_id(row, line->number), "' is there twice, once was needed"));
    }
  }

  GoldAnswer gold_for(const OrderedJson& row, std::int64_t line) const {
    if (gold_.empty()) {
      if (auto gold = gold_of(kvgauge_fields(row))) return *gold;
      throw RequestError("no gold answer, one of gold, answer or solution was needed; or give --gold");
    }
    const std::string id = row_id(row, line);
    const auto gold = gold_.find(id);
    if (gold == gold_.end()) throw RequestError(cat("no gold answer for id '", id, "' in --gold"));
    return gold->second;
  }

  Dataset dataset_;
  double tolerance_;
  std::map<std::string, GoldAnswer> gold_;
};

OrderedJson graded_row(const Grader& grader, const JsonlLine& line, const std::string& file, Counts& counts) {
  OrderedJson row = {{"id", cat(line.number)}};
  // A row that cannot be graded is a row with an error, not the end of the job.
  try {
    row = parse_row(line, cat(file, ":", line.number));
    grader.grade_row(row, line.number, counts);
    ++counts.rows;
  } catch (const Error& error) {
    ++counts.failed;
    if (!row.contains("error") || !row["error"].is_string())
      row["error"] = cat(file, ":", line.number, ": ", error.what());
  }
  return row;
}

int grade(const GradeOptions& o) {
  if (o.input.empty()) throw UsageError("--input: not given, a JSONL file of answers or - for stdin was needed");
  if (o.dataset.empty())
    throw UsageError("--dataset: not given, one of gsm8k, math, theoremqa, csqa, exact was needed");
  if (parse_dataset(o.dataset) != Dataset::kTheoremqa && (o.strict || o.tolerance))
    throw UsageError(cat(o.strict ? "--strict" : "--tolerance", ": --dataset ", o.dataset,
                         " compares exactly, theoremqa was needed"));
  if (o.strict && o.tolerance) throw UsageError("--strict: --tolerance is given too, one of them was needed");
  const Grader grader(o);
  JsonlReader input(o.input);
  ResultFile output(o.output);
  Counts counts;
  while (const auto line = input.next()) output.write(to_line(graded_row(grader, *line, input.name(), counts)) + "\n");
  output.finish();
  const double rows = static_cast<double>(std::max<std::int64_t>(counts.rows, 1));
  if (!o.quiet)
    std::fputs(fmt::format("kvgauge: {} rows graded, accuracy {:.2f} % ({} right), by the released grader {:.2f} %; {} "
                           "rows not graded\n",
                           counts.rows, 100.0 * static_cast<double>(counts.correct) / rows, counts.correct,
                           100.0 * static_cast<double>(counts.paper_correct) / rows, counts.failed)
                   .c_str(),
               stderr);
  return counts.failed > 0 ? kRowsFailed : kDone;
}

}  // namespace

Command add_grade(CLI::App& root) {
  CLI::App* const app =
      root.add_subcommand("grade", "Compare answers with gold answers: adds predicted, gold, correct, paper_correct");
  const auto o = std::make_shared<GradeOptions>();
  add_text(*app, "--dataset", o->dataset, "gsm8k|math|theoremqa|csqa|exact", "how answers are read and compared");
  add_text(*app, "--input", o->input, "FILE", "JSONL of answers (rows of `kvgauge run`), or - for stdin");
  add_text(*app, "--output", o->output, "FILE", "JSONL, or - for stdout (the default)");
  add_text(*app, "--gold", o->gold, "FILE", "JSONL with gold answers, joined by id; left out: the rows carry them");
  app->add_option("--tolerance", o->tolerance,
                  "theoremqa: how far a number may be off, relative to the gold answer (0.04)")
      ->check(CLI::Range(0.0, 1.0));
  app->add_flag("--strict", o->strict, "theoremqa: --tolerance 0.0001");
  app->add_flag("--quiet", o->quiet, "no summary");
  app->footer(kExamples);
  return {app, [o] { return grade(*o); }};
}

}  // namespace kvgauge::cli
