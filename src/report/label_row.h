#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "difficulty/label_rule.h"

namespace kvgauge {

/// A generation of `kvgauge label`, with its grade.
struct LabelledGeneration {
  std::string text;
  std::vector<std::int32_t> output_ids;  ///< sampled ones, end-of-text included; not kept of closings
  std::optional<std::string> predicted;  ///< normalised; nullopt: it states no answer
  Outcome outcome;
};

/// What closing the think block of the first slow generation gives.
struct LabelledCheckpoint {
  std::int64_t at = 0;  ///< sampled tokens before it
  LabelledGeneration closing;
};

/// A row of a labels file: a question's difficulty, and all that it was made of.
struct LabelRow {
  std::string id;
  std::int64_t index = 0;
  double label = 0;                            ///< 0 to 100
  std::string model;                           ///< the first digits of the hash of the model that answered
  std::string template_set;                    ///< how the question became a prompt
  std::optional<std::string> question;         ///< the user's turn, where it is one
  std::vector<std::int32_t> prompt_ids;        ///< up to where think tags go; of the slow prompt where the two differ
  std::vector<std::int32_t> open_ids;          ///< what begins a think block behind it
  std::vector<LabelledGeneration> fast, slow;  ///< equally many
  std::vector<LabelledCheckpoint> checkpoints;
};

/// The question's label by its outcomes.
double label_of(const LabelRow& row, const LabelRule& rule);

/// The row as it is written; `carried` goes behind the labels, `usage` is filled in by the caller.
OrderedJson label_row_json(const LabelRow& row, const OrderedJson& carried);

/// Reads a row that label_row_json() made, or one made alike. @throws RequestError naming the field
LabelRow read_label_row(const OrderedJson& row);

}  // namespace kvgauge
