#include "gold_answer.h"

#include "core/cat.h"
#include "kvgauge/error.h"
#include "report/output_row.h"

namespace kvgauge::cli {

const OrderedJson* given(const OrderedJson& row, const char* key) {
  const OrderedJson* const value = member(&row, key);
  return value && !value->is_null() ? value : nullptr;
}

std::optional<GoldAnswer> gold_of(const OrderedJson& row) {
  const OrderedJson* const type = given(row, "answer_type");
  const std::string answer_type = type && type->is_string() ? type->get<std::string>() : "";
  for (const char* const key : {"gold", "answer", "solution"})
    if (const OrderedJson* const value = given(row, key)) {
      if (value->is_string()) return GoldAnswer{value->get<std::string>(), answer_type};
      if (value->is_boolean()) return GoldAnswer{value->get<bool>() ? "True" : "False", answer_type};
      if (value->is_number() || value->is_array()) return GoldAnswer{value->dump(), answer_type};
      throw RequestError(cat("'", key, "' is ", value->type_name(), ", a string, a number or a list was needed"));
    }
  return std::nullopt;
}

}  // namespace kvgauge::cli
