#pragma once
#include <cstdint>
#include <string>

#include "core/json.h"
#include "kvgauge/request.h"
#include "report/candidates.h"
#include "report/input_row.h"

namespace kvgauge {

/// Which fields a job's rows have.
struct OutputFormat {
  ScoreSpec scores = {};            ///< what was measured
  bool answer = true;               ///< false for `embed`: nothing was answered
  bool text = true;                 ///< false for `score`: no text was generated
  bool embedding = false;           ///< adds the embedding; null where it covers no position
  bool token_ids = false;           ///< adds prompt_ids and output_ids
  std::string head = {};            ///< id of the head that difficulties are of; empty: none were read
  CandidateFormat candidates = {};  ///< of rows with several answers
};

/// The output row of a finished request; with `finished.error`, or `row.error`, an error row. `finished.request` is not
/// looked at.
/// @param prompt the tokens that were submitted (for token_ids)
OrderedJson output_row(const InputRow& row, const Finished& finished, const std::vector<std::int32_t>& prompt,
                       const OutputFormat& format);

/// The error row of a line that never became a request.
OrderedJson error_row(const InputRow& row, const std::string& error);

/// One line, without line end: doubles in the shortest form that reads back the same, undefined numbers null,
/// what is not UTF-8 replaced.
std::string to_line(const OrderedJson& row);

/// The object that has our fields (scores, usage, ...): the row itself, or body.kvgauge of a batch row.
const OrderedJson& kvgauge_fields(const OrderedJson& row);

/// The member, or nullptr if it is absent or `json` is no object (or itself a nullptr, so that calls nest).
const OrderedJson* member(const OrderedJson* json, const std::string& key);

/// What `--resume` and the manifest's totals need of a row.
struct RowFacts {
  std::int64_t index = 0;
  bool failed = false;
  std::int64_t prompt_tokens = 0, cached_tokens = 0, completion_tokens = 0;
  bool truncated = false;
};
/// @throws FormatError if the row is none that output_row() makes
RowFacts row_facts(const OrderedJson& row, std::string_view where);

/// `scores` of a row: the groups of `spec` that the answer has.
OrderedJson scores_json(const Answer& answer, const ScoreSpec& spec);

/// A number, or null for what is not finite.
OrderedJson number_json(double value);

}  // namespace kvgauge
