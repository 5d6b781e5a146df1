#include "loader/stored_tensor.h"

#include <cstring>

#include "core/block_codes.h"
#include "core/check.h"
#include "core/dtype.h"
#include "core/load_bytes.h"

// Every value is one or two float operations on a group's scale and shift, in the order written here, so results are
// equal bit for bit on every machine.
namespace kvgauge {
namespace {

template <class Block>
void widen_each(Block value, StoredType type, const std::byte* source, std::int64_t elements, float* out) {
  const std::uint64_t bytes = stored_bytes(type, 1);
  for (std::int64_t i = 0; i < elements; ++i) out[i] = value(source + static_cast<std::uint64_t>(i) * bytes);
}

void widen_codes(StoredType type, const CodeFormat& format, const std::byte* source, std::int64_t elements,
                 float* out) {
  const std::int64_t block = block_elements(type);
  const std::uint64_t bytes = stored_bytes(type, static_cast<std::uint64_t>(block));
  BlockCodes codes;
  for (std::int64_t done = 0; done < elements; done += block, source += bytes) {
    read_block_codes(type, source, codes);
    for (std::int64_t i = 0; i < block; ++i) {
      const auto at = static_cast<std::size_t>(i), group = static_cast<std::size_t>(i / format.group);
      const float value = static_cast<float>(codes.codes[at] - format.offset) * codes.scale[group];
      out[done + i] = format.shifted ? value + codes.shift[group] : value;
    }
  }
}

}  // namespace

void widen(StoredType type, const std::byte* source, std::int64_t elements, float* out) {
  KVGAUGE_CHECK(elements >= 0 && elements % block_elements(type) == 0, elements, " elements of ", name(type));
  if (const auto format = code_format(type)) return widen_codes(type, *format, source, elements, out);
  if (type == StoredType::kF32) {
    std::memcpy(out, source, static_cast<std::size_t>(elements) * 4);
  } else if (type == StoredType::kF16) {
    widen_each([](const std::byte* p) { return to_float(half_t{load_bytes<std::uint16_t>(p)}); }, type, source, elements,
               out);
  } else {
    widen_each([](const std::byte* p) { return to_float(bf16_t{load_bytes<std::uint16_t>(p)}); }, type, source, elements,
               out);
  }
}

}  // namespace kvgauge
