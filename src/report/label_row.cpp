#include "report/label_row.h"

#include <algorithm>
#include <cmath>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "kvgauge/request.h"
#include "report/output_row.h"

namespace kvgauge {
namespace {

OrderedJson generation_json(const LabelledGeneration& generation, bool with_ids) {
  OrderedJson json = OrderedJson::object();
  json["correct"] = generation.outcome.correct;
  json["tokens"] = generation.outcome.tokens;
  json["finish_reason"] = name(generation.outcome.finished ? FinishReason::kStop : FinishReason::kLength);
  json["predicted"] = generation.predicted ? OrderedJson(*generation.predicted) : OrderedJson();
  json["text"] = generation.text;
  if (with_ids) json["output_ids"] = generation.output_ids;
  return json;
}

/// Below 2^31, as token ids are too. JSON that was read and JSON that was made hold counts in different types.
bool is_count(const OrderedJson& value) {
  if (value.is_number_unsigned()) return value.get<std::uint64_t>() <= INT32_MAX;
  return value.is_number_integer() && value.get<std::int64_t>() >= 0 && value.get<std::int64_t>() <= INT32_MAX;
}

/// Members of one object of the row, by name for messages.
class Fields {
 public:
  Fields(const OrderedJson& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) refuse("", "an object");
  }

  const OrderedJson& get(const char* key) const {
    const OrderedJson* const value = member(&object_, key);
    if (!value) refuse(key, "a row of kvgauge label");
    return *value;
  }
  std::string text(const char* key) const {
    const OrderedJson& value = get(key);
    if (!value.is_string()) refuse(key, "a string");
    return value.get<std::string>();
  }
  std::optional<std::string> text_or_null(const char* key) const {
    const OrderedJson* const value = member(&object_, key);
    if (!value || value->is_null()) return std::nullopt;
    return text(key);
  }
  bool flag(const char* key) const {
    const OrderedJson& value = get(key);
    if (!value.is_boolean()) refuse(key, "true or false");
    return value.get<bool>();
  }
  std::int64_t count(const char* key) const {
    const OrderedJson& value = get(key);
    if (!is_count(value)) refuse(key, "a count");
    return value.get<std::int64_t>();
  }
  double label(const char* key) const {
    const OrderedJson& value = get(key);
    const double number = value.is_number() ? value.get<double>() : NAN;
    if (!(number >= 0 && number <= 100)) refuse(key, "a number from 0 to 100");
    return number;
  }
  std::vector<std::int32_t> ids(const char* key) const {
    const OrderedJson& value = get(key);
    if (!value.is_array() || !std::all_of(value.begin(), value.end(), is_count)) refuse(key, "an array of token ids");
    return value.get<std::vector<std::int32_t>>();
  }
  std::vector<Fields> list(const char* key) const {
    const OrderedJson& value = get(key);
    if (!value.is_array()) refuse(key, "an array");
    std::vector<Fields> items;
    for (const OrderedJson& item : value) items.emplace_back(item, cat(where_, key, "[", items.size(), "]."));
    return items;
  }
  [[noreturn]] void refuse(const char* key, const char* needed) const {
    const OrderedJson* const value = *key != '\0' ? member(&object_, key) : &object_;
    const std::string what = cat("'", where_, key, "'");
    if (!value) throw RequestError(cat("no ", what, " in it, ", needed, " was needed"));
    throw RequestError(cat(what, " is ", printable(to_line(*value), 60), ", ", needed, " was needed"));
  }

 private:
  const OrderedJson& object_;
  std::string where_;
};

LabelledGeneration read_generation(const Fields& fields, bool with_ids) {
  LabelledGeneration generation;
  generation.text = fields.text("text");
  generation.predicted = fields.text_or_null("predicted");
  generation.outcome = {.correct = fields.flag("correct"),
                        .tokens = fields.count("tokens"),
                        .finished = fields.text("finish_reason") != name(FinishReason::kLength)};
  if (with_ids) generation.output_ids = fields.ids("output_ids");
  return generation;
}

}  // namespace

double label_of(const LabelRow& row, const LabelRule& rule) {
  std::vector<Outcome> fast, slow;
  for (const LabelledGeneration& generation : row.fast) fast.push_back(generation.outcome);
  for (const LabelledGeneration& generation : row.slow) slow.push_back(generation.outcome);
  return difficulty_label(fast, slow, rule);
}

OrderedJson label_row_json(const LabelRow& row, const OrderedJson& carried) {
  OrderedJson json = OrderedJson::object();
  json["id"] = row.id;
  json["index"] = row.index;
  json["label"] = row.label;
  std::int64_t cut = 0;
  for (const auto* const list : {&row.fast, &row.slow})
    for (const LabelledGeneration& generation : *list) cut += generation.outcome.finished ? 0 : 1;
  json["cut_generations"] = cut;
  json["fast"] = OrderedJson::array();
  for (const LabelledGeneration& generation : row.fast) json["fast"].push_back(generation_json(generation, true));
  json["slow"] = OrderedJson::array();
  for (const LabelledGeneration& generation : row.slow) json["slow"].push_back(generation_json(generation, true));
  if (!row.checkpoints.empty()) json["checkpoints"] = OrderedJson::array();
  for (const LabelledCheckpoint& checkpoint : row.checkpoints) {
    OrderedJson one = {{"at", checkpoint.at}};
    one.update(generation_json(checkpoint.closing, false));
    json["checkpoints"].push_back(std::move(one));
  }
  json["model"] = row.model;
  json["template_set"] = row.template_set;
  json["question"] = row.question ? OrderedJson(*row.question) : OrderedJson();
  json["prompt_ids"] = row.prompt_ids;
  json["open_ids"] = row.open_ids;
  for (const auto& field : carried.items())
    if (!json.contains(field.key())) json[field.key()] = field.value();
  return json;
}

LabelRow read_label_row(const OrderedJson& json) {
  const Fields fields(json, "");
  LabelRow row;
  row.id = fields.text("id");
  row.index = fields.count("index");
  row.label = fields.label("label");
  row.model = fields.text("model");
  row.template_set = fields.text("template_set");
  row.question = fields.text_or_null("question");
  row.prompt_ids = fields.ids("prompt_ids");
  row.open_ids = fields.ids("open_ids");
  if (row.prompt_ids.empty()) fields.refuse("prompt_ids", "at least one token id");
  for (const Fields& one : fields.list("fast")) row.fast.push_back(read_generation(one, true));
  for (const Fields& one : fields.list("slow")) row.slow.push_back(read_generation(one, true));
  if (row.slow.empty() || row.slow.size() != row.fast.size()) fields.refuse("slow", "as many generations as in 'fast'");
  if (!json.contains("checkpoints")) return row;
  for (const Fields& one : fields.list("checkpoints")) {
    const std::int64_t before = row.checkpoints.empty() ? -1 : row.checkpoints.back().at;
    row.checkpoints.push_back({.at = one.count("at"), .closing = read_generation(one, false)});
    if (row.checkpoints.back().at <= before) one.refuse("at", "a place behind the one before");
    if (row.checkpoints.back().at >= std::ssize(row.slow.front().output_ids))
      one.refuse("at", "a place in the first slow generation");
  }
  return row;
}

}  // namespace kvgauge
