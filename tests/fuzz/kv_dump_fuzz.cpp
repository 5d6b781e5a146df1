#include <cstddef>
#include <cstdint>
#include <span>

#include "core/check.h"
#include "kvgauge/error.h"
#include "loader/kv_dump.h"

// Any bytes as a dump of a KV cache: tensors of equal shapes that can be read from end to end, or an error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const kvgauge::KvDump dump = kvgauge::read_kv_dump(std::as_bytes(std::span(data, size)), "fuzz");
    const auto bytes = static_cast<std::size_t>(dump.positions) * static_cast<std::size_t>(dump.kv_heads) *
                       static_cast<std::size_t>(dump.head_dim) * kvgauge::size_of(dump.dtype);
    KVGAUGE_CHECK(dump.layers > 0 && dump.k.size() == static_cast<std::size_t>(dump.layers) &&
                  dump.v.size() == dump.k.size());
    unsigned sum = 0;
    for (const auto* const list : {&dump.k, &dump.v})
      for (const std::byte* const tensor : *list) {
        KVGAUGE_CHECK(reinterpret_cast<std::uintptr_t>(tensor) % kvgauge::size_of(dump.dtype) == 0);
        for (std::size_t i = 0; i < bytes; ++i) sum += static_cast<unsigned>(tensor[i]);
      }
    volatile unsigned seen = sum;  // the reads stay
    static_cast<void>(seen);
    KVGAUGE_CHECK(!dump.prompt_tokens || (*dump.prompt_tokens >= 1 && *dump.prompt_tokens <= dump.positions));
    KVGAUGE_CHECK(!dump.range || (dump.range->first < dump.range->second && dump.range->second <= dump.positions));
    KVGAUGE_CHECK(dump.inverse_frequencies.empty() ||
                  2 * dump.inverse_frequencies.size() == static_cast<std::size_t>(dump.head_dim));
  } catch (const kvgauge::Error&) {
  }
  return 0;
}
