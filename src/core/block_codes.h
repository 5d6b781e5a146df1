#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "core/stored_type.h"

namespace kvgauge {

/// How a block type of GGUF codes its values: in groups of `group` neighbours,
///   value = (code - offset) * scale + shift
/// with a scale and a shift (0 unless `shifted`) for each group.
struct CodeFormat {
  int bits = 8;    ///< of a code, which is not negative
  int group = 32;  ///< values that share scale and shift
  int offset = 0;
  bool shifted = false;
};
/// nullopt: the type holds plain numbers.
std::optional<CodeFormat> code_format(StoredType type);

/// The codes of one block. Scales and shifts are products of at most two numbers of the block, rounded once.
struct BlockCodes {
  static constexpr int kMostValues = 256;
  std::array<std::uint8_t, kMostValues> codes;
  std::array<float, kMostValues / 16> scale, shift;  ///< of each group; shift is left alone unless `shifted`
};
/// @param block stored_bytes(type, block_elements(type)) bytes of a type that has a code format
void read_block_codes(StoredType type, const std::byte* block, BlockCodes& out);

}  // namespace kvgauge
