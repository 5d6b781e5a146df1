#pragma once
#include <optional>
#include <string>

#include "core/json.h"

namespace kvgauge::cli {

/// What a row says of the right answer.
struct GoldAnswer {
  std::string text, answer_type;
};

/// The row's gold, answer or solution, the first that is given; numbers, truth values and lists count as their text.
/// @throws RequestError if it is something else
std::optional<GoldAnswer> gold_of(const OrderedJson& row);

/// The member, or nullptr if it is absent or null.
const OrderedJson* given(const OrderedJson& row, const char* key);

}  // namespace kvgauge::cli
