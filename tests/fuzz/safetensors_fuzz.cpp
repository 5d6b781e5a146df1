#include <cstddef>
#include <cstdint>
#include <span>

#include "core/check.h"
#include "kvgauge/error.h"
#include "loader/safetensors.h"

// Any bytes as a safetensors file: tensors inside the file, or an error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto file = std::as_bytes(std::span(data, size));
  try {
    for (const auto& t : kvgauge::parse_safetensors(file, "fuzz")) {
      KVGAUGE_CHECK(t.data.empty() ||
                    (t.data.data() >= file.data() && t.data.data() + t.data.size() <= file.data() + file.size()));
      KVGAUGE_CHECK(kvgauge::stored_bytes(t.type, static_cast<std::uint64_t>(t.rows * t.columns)) == t.data.size());
    }
  } catch (const kvgauge::Error&) {
  }
  return 0;
}
