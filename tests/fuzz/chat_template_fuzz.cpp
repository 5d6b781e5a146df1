// Any bytes are a template: it parses and renders, or it ends in one of our errors, within its limits.
#include <cstdint>
#include <string_view>

#include "core/json.h"
#include "kvgauge/error.h"
#include "text/jinja_interpreter.h"
#include "text/jinja_parser.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const kvgauge::OrderedJson variables = kvgauge::parse_ordered_json(
      R"({"messages": [{"role": "system", "content": " Be brief. "},
                       {"role": "user", "content": "2 + 3, Wörld 🙂?", "n": 1.5},
                       {"role": "assistant", "content": "<think>\nx\n</think>\n\n5", "tool_calls": [{"function": {"name": "f", "arguments": {"a": null}}}]}],
          "tools": [{"name": "f", "d": [1, 2.5, true]}], "add_generation_prompt": true, "bos_token": "<s>", "s": "a,b c", "n": 7, "list": [3, 1, 2]})",
      "variables");
  // Smaller than the product's, so that one input takes milliseconds.
  kvgauge::jinja::Limits limits;
  limits.source_bytes = 1 << 14;
  limits.output_bytes = 1 << 18;
  limits.heap_bytes = 1 << 22;
  limits.steps = 50'000;
  try {
    const std::string_view source(reinterpret_cast<const char*>(data), size);
    const kvgauge::jinja::Block block = kvgauge::jinja::parse_template(source, "fuzz", limits);
    kvgauge::jinja::render_template(block, variables, "fuzz", limits);
  } catch (const kvgauge::Error&) {
  }
  return 0;
}
