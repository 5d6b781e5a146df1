#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/check.h"
#include "kvgauge/error.h"
#include "loader/config_json.h"

namespace {

template <class Parse>
void attempt(Parse parse) {
  try {
    parse();
  } catch (const kvgauge::Error&) {
  }
}

}  // namespace

// Any bytes as config.json, generation_config.json and tokenizer_config.json: a consistent config, or an error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  attempt([&] {
    const auto config = kvgauge::parse_config_json(text, "fuzz");
    KVGAUGE_CHECK(config.heads % config.kv_heads == 0 && config.head_dim % 2 == 0 && config.layers > 0);
    KVGAUGE_CHECK(static_cast<std::int64_t>(kvgauge::rope_inverse_frequencies(config).size()) == config.head_dim / 2);
  });
  attempt([&] { kvgauge::parse_generation_json(text, "fuzz"); });
  attempt([&] { kvgauge::parse_tokenizer_config_json(text, "fuzz"); });
  return 0;
}
