#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/check.h"
#include "kvgauge/error.h"
#include "loader/gguf.h"
#include "loader/opened_files.h"

// Any bytes as a GGUF file, read as far as its config and tokenizer: values that can be widened, or an error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  try {
    for (const auto& t : kvgauge::parse_gguf(file, "fuzz").tensors) {
      KVGAUGE_CHECK(t.data.data() >= file.data() && t.data.data() + t.data.size() <= file.data() + file.size());
      std::vector<float> values(static_cast<std::size_t>(t.columns));
      kvgauge::widen(t.type, t.data.data(), t.columns, values.data());
    }
    kvgauge::read_gguf_model(file, "fuzz");
  } catch (const kvgauge::Error&) {
  }
  return 0;
}
