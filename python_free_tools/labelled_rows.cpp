#include "labelled_rows.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cmath>
#include <optional>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "report/input_row.h"
#include "report/jsonl_reader.h"
#include "report/output_row.h"

namespace kvgauge::cli {
namespace {

constexpr std::uint32_t kMostSteps = 1'000'000;  // of a match: a pattern that backtracks for ever ends as an error

class LabelPattern {
 public:
  explicit LabelPattern(const std::string& pattern) {
    int error = 0;
    PCRE2_SIZE at = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                              PCRE2_UTF | PCRE2_NEVER_BACKSLASH_C, &error, &at, nullptr));
    if (!code_) {
      PCRE2_UCHAR message[256];
      pcre2_get_error_message(error, message, sizeof message);
      throw UsageError(cat("--label-pattern: found '", printable(pattern), "', a regular expression was needed; ",
                           reinterpret_cast<const char*>(message), " at byte ", at));
    }
    match_.reset(pcre2_match_data_create_from_pattern(code_.get(), nullptr));
    context_.reset(pcre2_match_context_create(nullptr));
    pcre2_set_match_limit(context_.get(), kMostSteps);
  }

  /// The first group that took part, or the whole match without groups. @throws RequestError if nothing matches
  std::string find(const std::string& text) const {
    const int groups = pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), 0, 0,
                                   match_.get(), context_.get());
    if (groups == PCRE2_ERROR_NOMATCH)
      throw RequestError(cat("--label-pattern finds nothing in '", printable(text, 80), "'"));
    if (groups < 0) throw RequestError(cat("--label-pattern cannot be matched (PCRE2 error ", groups, ")"));
    const PCRE2_SIZE* const bounds = pcre2_get_ovector_pointer(match_.get());
    for (int group = 1; group < groups; ++group)
      if (bounds[2 * group] != PCRE2_UNSET)
        return text.substr(bounds[2 * group], bounds[2 * group + 1] - bounds[2 * group]);
    return text.substr(bounds[0], bounds[1] - bounds[0]);
  }

 private:
  struct Free {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
    void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
    void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
  };
  std::unique_ptr<pcre2_code, Free> code_;
  std::unique_ptr<pcre2_match_data, Free> match_;
  std::unique_ptr<pcre2_match_context, Free> context_;
};

std::string label_of(const OrderedJson& row, const LabelledFormat& format, const std::optional<LabelPattern>& pattern) {
  const OrderedJson* const value = member(&row, format.label_field);
  if (!value || value->is_null())
    throw RequestError(
        cat("no '", printable(format.label_field), "' in it, a label was needed; --label-field names another field"));
  if (!value->is_string() && !value->is_boolean() && !value->is_number_integer())
    throw RequestError(cat("'", printable(format.label_field), "' is ",
                           value->is_number() ? "no whole number" : value->type_name(),
                           ", a string, a whole number or a truth value was needed"));
  const std::string text = value->is_string() ? value->get<std::string>() : value->dump();
  return pattern ? pattern->find(text) : text;
}

// Appends the row's embedding; false if it has none.
bool take_embedding(const OrderedJson& row, EmbeddingMatrix& to) {
  const OrderedJson* const values = member(&row, "embedding");
  if (!values || values->is_null()) return false;
  const bool fits = values->is_array() && !values->empty() && (to.values == 0 || std::ssize(*values) == to.values);
  if (!fits)
    throw RequestError(cat("'embedding' is no array of ", to.values == 0 ? "numbers" : cat(to.values, " numbers")));
  to.values = std::ssize(*values);
  for (const OrderedJson& value : *values) {
    const double x = value.is_number() ? value.get<double>() : std::nan("");
    if (!std::isfinite(static_cast<float>(x))) throw RequestError("'embedding' has a value that is no finite number");
    to.data.push_back(static_cast<float>(x));
  }
  return true;
}

}  // namespace

void check_label_pattern(const std::string& pattern) {
  if (!pattern.empty()) LabelPattern{pattern};
}

LabelledRows read_labelled_rows(const std::string& path, const LabelledFormat& format) {
  std::optional<LabelPattern> pattern;
  if (!format.label_pattern.empty()) pattern.emplace(format.label_pattern);
  JsonlReader input(path);
  LabelledRows rows;
  rows.file = input.name();
  while (const auto line = input.next()) {
    const std::string where = cat(rows.file, ":", line->number);
    try {
      const OrderedJson row = parse_row(*line, where);
      if (const OrderedJson* const error = member(&row, "error"); error && !error->is_null())
        throw RequestError("the row failed before, a row without 'error' was needed");
      rows.labels.push_back(label_of(row, format, pattern));
      rows.lines.push_back(line->number);
      const bool embedded = take_embedding(row, rows.embeddings);
      if (rows.embeddings.rows() != 0 && rows.embeddings.rows() != std::ssize(rows.labels))
        throw RequestError("some rows have an 'embedding' and some have none, all or none were needed");
      if (format.need_text || (!embedded && !format.embedded_elsewhere))
        rows.texts.push_back(row_text(row, format.text_field));
    } catch (const RequestError& error) {
      throw FormatError(cat(where, ": ", error.what()));
    }
  }
  if (rows.labels.empty()) throw InputError(cat(rows.file, ": found no row, at least one was needed"));
  return rows;
}

}  // namespace kvgauge::cli
