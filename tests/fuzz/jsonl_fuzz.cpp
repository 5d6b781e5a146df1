// Any bytes as JSONL input: every line becomes a row or a row with an error, which can be written and read back.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "kvgauge/error.h"
#include "report/input_row.h"
#include "report/output_row.h"

using namespace kvgauge;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  const bool pairs = !text.empty() && text.front() == '!';  // a first byte chooses the form of the rows
  const bool has_template = !text.empty() && text.front() == '?';
  if (pairs || has_template) text.remove_prefix(1);
  const RowFormat format{
      .prompt_template = has_template ? "{question} {{x}}" : "", .want_response = pairs, .file = "fuzz"};
  std::int64_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const JsonlLine line{.index = number, .number = number + 1, .text = std::string(text.substr(0, end))};
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    const InputRow row = parse_input_row(line, format);
    Finished finished;
    finished.answers.resize(1);
    finished.answers.front().text = row.prompt;
    const OrderedJson out =
        row.error.empty() ? output_row(row, finished, {1}, {.token_ids = true}) : error_row(row, row.error);
    const std::string written = to_line(out);
    if (written.find('\n') != std::string::npos) std::abort();
    const RowFacts facts = row_facts(parse_ordered_json(written, "written"), "written");
    if (facts.index != line.index || facts.failed != !row.error.empty()) std::abort();
    // An output row is an input row of `score`: must be readable as well.
    (void)parse_input_row({.index = 0, .number = 1, .text = written}, {.want_response = true});
  }
  return 0;
}
