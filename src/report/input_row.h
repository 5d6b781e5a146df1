#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "kvgauge/request.h"
#include "report/jsonl_reader.h"

namespace kvgauge {

/// Which form a row has; the first that fits wins.
enum class RowForm : std::uint8_t {
  kBatch,     ///< OpenAI batch: custom_id, method, url, body
  kMessages,  ///< messages
  kPrompt,    ///< prompt, or a dataset's question, problem or en: one user turn
  kTokens,    ///< prompt_ids: a row of `run --output-ids`, to be scored
};

/// Sampling settings of one row (the body of a batch row); they override the command line.
struct RowOverrides {
  std::optional<std::int64_t> max_tokens, top_k, samples;
  std::optional<double> temperature, top_p, min_p;
  std::optional<std::uint64_t> seed;
  std::optional<std::vector<std::string>> stop;
  std::optional<bool> ignore_eos;
};

/// What one input line asks for, before a model is known.
struct InputRow {
  std::int64_t index = 0, line = 0;
  std::string id;     ///< id, custom_id, unique_id or idx as text; else the line number
  std::string error;  ///< not empty: the line cannot be run, and why (names the line)
  RowForm form = RowForm::kPrompt;
  OrderedJson messages, tools;   ///< null unless given
  std::string prompt;            ///< kPrompt, or a batch row's prompt
  bool plain = false;            ///< the prompt goes to the model as it is (batch rows of /v1/completions)
  std::optional<bool> thinking;  ///< chat_template_kwargs.enable_thinking
  RowOverrides overrides;
  std::string model;  ///< body.model of a batch row, echoed in its answer

  // Only with RowFormat::want_response.
  std::string response;
  std::optional<std::vector<std::int32_t>> prompt_ids, output_ids;
  bool finished = true;                  ///< finish_reason is not "length"
  std::vector<InjectedTokens> injected;  ///< of output_ids: think tags that `run` put in
  std::vector<ForcedResponse> further;   ///< output_ids of the row's further candidates; output_ids has the first one's
  std::int64_t selected = -1;            ///< which of them the row shows; negative: not said

  std::int64_t text_tokens = 0;  ///< with RowFormat::want_text: of the whole text; the request may have fewer

  OrderedJson carried = OrderedJson::object();  ///< gold, answer, solution, answer_type as they are
};

struct RowFormat {
  std::string prompt_template = {};     ///< empty: the built-in one of each dataset
  bool bare_question = false;           ///< the built-in templates leave a dataset's question as it is
  bool want_response = false;           ///< rows of `score`
  bool want_text = false;               ///< rows of `embed`: a text as it is, also a bare JSON string
  std::string text_field = {};          ///< with want_text; empty: the first of text, prompt, question, problem, en
  std::vector<std::string> carry = {};  ///< further fields to carry through
  std::string file = {};                ///< for messages
};

/// Never throws for what stands in the line: a bad row is a row with `error`.
InputRow parse_input_row(const JsonlLine& line, const RowFormat& format);

/// The text of a row of `embed` or `classify`: its `field`, or if that is empty the first of text, prompt, question,
/// problem, en. @throws RequestError if there is none
std::string row_text(const OrderedJson& row, const std::string& field);

/// A line as a JSON object that is safe to walk. @throws FormatError, RequestError
OrderedJson parse_row(const JsonlLine& line, std::string_view where);

/// The first of id, custom_id, unique_id, idx as text; else the line's number. @throws RequestError if it is neither
/// text nor number
std::string row_id(const OrderedJson& row, std::int64_t line);

/// Replaces {name} by the row's field (strings as they are, other values as JSON). {{ and }} are braces; a brace that
/// does not enclose a name stays. @throws RequestError for a field the row lacks
std::string fill_template(std::string_view text, const OrderedJson& row);

}  // namespace kvgauge
