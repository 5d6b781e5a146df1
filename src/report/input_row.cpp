#include "report/input_row.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <limits>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "report/batch_body.h"

namespace kvgauge {
namespace {

constexpr std::size_t kMostMembers = 4096;  // OrderedJson looks members up one by one: keep rows linear

constexpr std::array kIdFields = {"id", "custom_id", "unique_id", "idx"};
constexpr std::array kCarriedFields = {"gold", "answer", "solution", "answer_type"};
constexpr std::array kTextFields = {"text", "prompt", "question", "problem", "en"};
constexpr std::array kGradeFields = {"predicted", "correct", "paper_correct"};

// The built-in templates. What the datasets' graders look for stands at the end.
constexpr std::string_view kProblemEnd = "\nPut your final answer within \\boxed{}.";
constexpr std::string_view kTheoremEnd = "\nEnd with \"The answer is\" followed by the answer.";
constexpr std::string_view kChoicesEnd = "\nEnd with \"Answer:\" followed by the letter of your choice.";

void check_members(const Json& value) {
  if (value.is_object() && value.size() > kMostMembers)
    throw RequestError(cat("an object of ", value.size(), " members, at most ", kMostMembers, " can be read"));
  if (!value.is_structured()) return;
  for (const Json& inner : value) check_members(inner);
}

const OrderedJson* find(const OrderedJson& row, const char* key) {
  const auto it = row.find(key);
  return it == row.end() || it->is_null() ? nullptr : &*it;
}

const std::string& text_of(const OrderedJson& value, const char* key) {
  if (!value.is_string()) throw RequestError(cat("'", key, "' is ", value.type_name(), ", a string was needed"));
  return value.get_ref<const std::string&>();
}

std::string dataset_prompt(const OrderedJson& row, bool bare) {
  const auto end = [bare](std::string_view text) { return bare ? std::string() : std::string(text); };
  if (const OrderedJson* const question = find(row, "question")) return text_of(*question, "question");
  if (const OrderedJson* const problem = find(row, "problem")) return text_of(*problem, "problem") + end(kProblemEnd);
  if (const OrderedJson* const english = find(row, "en"))
    return text_of(*english, "en") + end(find(row, "answer_type") ? kTheoremEnd : kChoicesEnd);
  throw RequestError("no question in it: one of body, messages, prompt, question, problem or en was needed");
}

std::vector<std::int32_t> token_ids(const OrderedJson& value, const char* key) {
  const auto is_id = [](const OrderedJson& id) { return id.is_number_integer() && id >= 0 && id <= INT32_MAX; };
  if (!value.is_array() || value.empty() || !std::all_of(value.begin(), value.end(), is_id))
    throw RequestError(cat("'", key, "' is no array of token ids, at least one whole number was needed"));
  return value.get<std::vector<std::int32_t>>();
}

void read_question(InputRow& row, const OrderedJson& fields, const RowFormat& format) {
  const OrderedJson* const ids = format.want_response ? find(fields, "prompt_ids") : nullptr;
  const bool has_template = !format.prompt_template.empty();
  if (const OrderedJson* const body = find(fields, "body")) {
    row.form = RowForm::kBatch;
    read_batch_body(row, fields, *body);
  } else if (ids && find(fields, "output_ids")) {
    row.form = RowForm::kTokens;
    row.prompt_ids = token_ids(*ids, "prompt_ids");
  } else if (const OrderedJson* const messages = find(fields, "messages"); messages && !has_template) {
    row.form = RowForm::kMessages;
    row.messages = *messages;
    if (const OrderedJson* const tools = find(fields, "tools")) row.tools = *tools;
    read_template_arguments(row, fields);
  } else {
    row.form = RowForm::kPrompt;
    const OrderedJson* const prompt = find(fields, "prompt");
    row.prompt = has_template ? fill_template(format.prompt_template, fields)
                 : prompt     ? text_of(*prompt, "prompt")
                              : dataset_prompt(fields, format.bare_question);
    read_template_arguments(row, fields);
  }
  if (has_template && row.form == RowForm::kBatch)
    throw RequestError("a batch row has its prompt in 'body', --prompt-template does not apply to it");
}

bool was_finished(const OrderedJson& answer) {
  const OrderedJson* const reason = find(answer, "finish_reason");
  return !reason || text_of(*reason, "finish_reason") != "length";
}

// Where `run` injected think tags into an answer: `thinking.switches`, whose `at` counts sampled tokens.
std::vector<InjectedTokens> injected_tokens(const OrderedJson& answer) {
  const OrderedJson* const thinking = find(answer, "thinking");
  const OrderedJson* const switches = thinking && thinking->is_object() ? find(*thinking, "switches") : nullptr;
  std::vector<InjectedTokens> ranges;
  if (!switches || !switches->is_array()) return ranges;
  std::int64_t before = 0;
  for (const OrderedJson& one : *switches) {
    const auto count = [&](const char* key) {
      const OrderedJson* const value = one.is_object() ? find(one, key) : nullptr;
      if (!value || !value->is_number_integer() || *value < 0 || *value > std::numeric_limits<std::int32_t>::max())
        throw RequestError(cat("thinking.switches: '", key, "' is no count of tokens, as `kvgauge run` writes it"));
      return value->get<std::int64_t>();
    };
    const std::int64_t tokens = count("injected");
    if (tokens > 0) ranges.push_back({.at = count("at") + before, .count = tokens});
    before += tokens;
  }
  return ranges;
}

void read_response(InputRow& row, const OrderedJson& fields) {
  if (row.form == RowForm::kBatch)
    throw RequestError("a batch row has no response to score, a 'response' beside 'prompt' or 'messages' was needed");
  row.finished = was_finished(fields);
  const OrderedJson* const ids = find(fields, "output_ids");
  const OrderedJson* const response = find(fields, "response");
  const OrderedJson* const text = find(fields, "text");
  if (ids) {
    row.output_ids = token_ids(*ids, "output_ids");
    row.injected = injected_tokens(fields);
  } else if (response) {
    row.response = text_of(*response, "response");
  } else if (text) {
    row.response = text_of(*text, "text");
  } else {
    throw RequestError("no response in it: one of output_ids, response or text was needed");
  }
}

void read_text(InputRow& row, const OrderedJson& fields, const RowFormat& format) {
  row.form = RowForm::kPrompt;
  row.plain = true;
  row.prompt = row_text(fields, format.text_field);
}

// A row of `run --n N --output-ids`: every candidate is scored.
void read_candidates(InputRow& row, const OrderedJson& fields) {
  const OrderedJson* const candidates = find(fields, "candidates");
  if (!candidates) return;
  if (!candidates->is_array() || candidates->empty() || candidates->size() > kMostMembers)
    throw RequestError(cat("'candidates' is no array of 1 to ", kMostMembers, " answers"));
  for (std::size_t i = 0; i < candidates->size(); ++i) {
    const OrderedJson& one = (*candidates)[i];
    const OrderedJson* const ids = one.is_object() ? find(one, "output_ids") : nullptr;
    if (!ids)
      throw RequestError(cat("candidate ", i, " has no 'output_ids', so the row's ", candidates->size(),
                             " answers cannot be scored; run with --output-ids"));
    if (i == 0) {
      row.output_ids = token_ids(*ids, "output_ids");
      row.finished = was_finished(one);
      row.injected = injected_tokens(one);
    } else {
      row.further.push_back(
          {.tokens = token_ids(*ids, "output_ids"), .finished = was_finished(one), .injected = injected_tokens(one)});
    }
  }
  const OrderedJson* const selected = find(fields, "selected");
  if (selected && selected->is_number_unsigned() && *selected < candidates->size())
    row.selected = selected->get<std::int64_t>();
}

// The fields of a batch row that kvgauge has answered; nullptr for any other row.
const OrderedJson* answered_batch_row(const OrderedJson& row) {
  const OrderedJson* const response = find(row, "response");
  if (!response || !response->is_object()) return nullptr;
  const OrderedJson* const body = find(*response, "body");
  const OrderedJson* const ours = body && body->is_object() ? find(*body, "kvgauge") : nullptr;
  if (!ours || !ours->is_object())
    throw RequestError(
        "'response' is an object without body.kvgauge: a text was needed, or a batch row that kvgauge has answered");
  return ours;
}

void read_fields(InputRow& row, const OrderedJson& line, const RowFormat& format) {
  const OrderedJson* const answered = format.want_response ? answered_batch_row(line) : nullptr;
  const OrderedJson& fields = answered ? *answered : line;
  for (const char* const key : kCarriedFields)
    if (const auto it = fields.find(key); it != fields.end()) row.carried[key] = *it;
  for (const std::string& key : format.carry)
    if (const auto it = fields.find(key); it != fields.end()) row.carried[key] = *it;
  if (format.want_response)
    for (const char* const key : kGradeFields)
      if (const auto it = fields.find(key); it != fields.end()) row.carried[key] = *it;
  row.id = row_id(fields, row.line);
  if (format.want_response)
    if (const OrderedJson* const error = find(fields, "error"); error && error->is_string())
      throw RequestError(cat("the row failed before: ", printable(error->get_ref<const std::string&>(), 400)));
  if (format.want_text) {
    read_text(row, fields, format);
    return;
  }
  if (answered && !(find(fields, "prompt_ids") && find(fields, "output_ids")))
    throw RequestError("an answered batch row without prompt_ids and output_ids; run with --output-ids");
  read_question(row, fields, format);
  if (!format.want_response) return;
  read_response(row, fields);
  read_candidates(row, fields);
}

bool is_string(const JsonlLine& line) {
  const std::size_t first = line.text.find_first_not_of(" \t");
  return !line.too_long && first != std::string::npos && line.text[first] == '"';
}

}  // namespace

InputRow parse_input_row(const JsonlLine& line, const RowFormat& format) {
  InputRow row;
  row.index = line.index;
  row.line = line.number;
  row.id = cat(line.number);
  const std::string where = cat(format.file, ":", line.number);
  // The one place where a bad row turns from an exception into a value: the job goes on.
  try {
    if (format.want_text && format.text_field.empty() && is_string(line)) {
      row.plain = true;
      row.prompt = parse_json(line.text, where).get<std::string>();
    } else {
      read_fields(row, parse_row(line, where), format);
    }
  } catch (const RequestError& error) {
    row.error = cat(where, ": ", error.what());
  } catch (const Error& error) {
    row.error = error.what();
  }
  return row;
}

std::string row_text(const OrderedJson& row, const std::string& field) {
  if (!field.empty()) {
    if (const OrderedJson* const text = find(row, field.c_str())) return text_of(*text, field.c_str());
    throw RequestError(cat("no '", printable(field), "' in it, the field that --text-field names was needed"));
  }
  for (const char* const key : kTextFields)
    if (const OrderedJson* const text = find(row, key)) return text_of(*text, key);
  throw RequestError("no text in it: one of text, prompt, question, problem or en was needed");
}

OrderedJson parse_row(const JsonlLine& line, std::string_view where) {
  if (line.too_long) throw RequestError(cat("the line is longer than ", JsonlReader::kLongestLine >> 20, " MiB"));
  const Json checked = parse_json(line.text, where);
  if (!checked.is_object()) throw RequestError(cat("found ", checked.type_name(), ", a JSON object was needed"));
  check_members(checked);
  return parse_ordered_json(line.text, where);
}

std::string row_id(const OrderedJson& row, std::int64_t line) {
  for (const char* const key : kIdFields)
    if (const OrderedJson* const id = find(row, key)) {
      if (id->is_string()) return id->get<std::string>();
      if (id->is_number()) return id->dump();
      throw RequestError(cat("'", key, "' is ", id->type_name(), ", a string or a number was needed"));
    }
  return cat(line);
}

std::string fill_template(std::string_view text, const OrderedJson& row) {
  const auto is_name = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    if (text.substr(i, 2) == "{{" || text.substr(i, 2) == "}}") {
      out += text[i];
      i += 2;
      continue;
    }
    std::size_t end = i + 1;
    while (text[i] == '{' && end < text.size() && is_name(text[end])) ++end;
    if (text[i] != '{' || end == i + 1 || end == text.size() || text[end] != '}') {
      out += text[i++];
      continue;
    }
    const std::string name(text.substr(i + 1, end - i - 1));
    const OrderedJson* const value = find(row, name.c_str());
    if (!value)
      throw RequestError(cat("the row has no '", name, "', which --prompt-template asks for; write {{", name,
                             "}} for the braces themselves"));
    out += value->is_string() ? value->get_ref<const std::string&>() : value->dump();
    i = end + 1;
  }
  return out;
}

}  // namespace kvgauge
