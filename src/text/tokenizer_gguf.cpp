#include <algorithm>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "text/tokenizer.h"
#include "text/tokenizer_patterns.h"

namespace kvgauge {
namespace {

struct Preset {
  std::string_view names;  // separated by spaces, the first is the usual one
  std::string_view first, second;
  bool nfc, ignore_merges;
};

// The names are llama.cpp's; the splits are those of the Hugging Face files that these GGUF files were converted from,
// whose NFC a GGUF does not record.
constexpr Preset kPresets[] = {
    {"gpt-2 gpt2", patterns::kGpt2, {}, false, false},
    {"smollm smollm2", patterns::kDigit, patterns::kGpt2, false, false},
    {"llama-bpe llama3 llama-v3", patterns::kLlama3, {}, false, true},
    {"qwen2 qwen3", patterns::kQwen2, {}, true, false},
    {"deepseek-r1-qwen", patterns::kQwen2, {}, true, false},
};

bool lists(std::string_view names, std::string_view name) {
  for (std::size_t at = 0; at <= names.size();) {
    const std::size_t end = std::min(names.find(' ', at), names.size());
    if (names.substr(at, end - at) == name) return true;
    at = end + 1;
  }
  return false;
}

}  // namespace

void apply_gguf_pretokenizer(TokenizerSpec& spec, std::string_view pre, std::string_view where) {
  for (const Preset& preset : kPresets) {
    if (pre.empty() || !lists(preset.names, pre)) continue;
    spec.splits.clear();
    for (const std::string_view pattern : {preset.first, preset.second})
      if (!pattern.empty()) spec.splits.push_back({std::string(pattern)});
    spec.nfc = preset.nfc;
    spec.ignore_merges = preset.ignore_merges;
    return;
  }
  std::string known;
  for (const Preset& preset : kPresets) known += cat(known.empty() ? "" : " ", preset.names);
  throw ConfigError(cat(where, ": tokenizer.ggml.pre '", printable(pre), "' is not supported (known: ", known, ")"));
}

}  // namespace kvgauge
