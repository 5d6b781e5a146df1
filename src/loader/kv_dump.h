#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/buffer.h"
#include "core/dtype.h"

namespace kvgauge {

/// One sequence's KV cache as another stack exported it to a safetensors file:
///   layers.N.k, layers.N.v     [kv heads, positions, head dim] (or with a leading 1), F32, F16 or BF16, N = 0, 1, ...
///   inverse_frequencies        [head dim / 2] F32, optional: those of the model's RoPE
///   metadata, optional         prompt_tokens: "32"; span: "response", "boundary", "all", "prompt" or "begin:end"
struct KvDump {
  DType dtype = DType::kF32;
  int layers = 0, kv_heads = 0, head_dim = 0;
  std::int64_t positions = 0;
  std::vector<const std::byte*> k, v;  ///< [layers] contiguous; in the file's bytes, or in `copy`
  std::vector<double> inverse_frequencies;
  std::optional<std::int64_t> prompt_tokens;                   ///< 1 to positions
  std::string span;                                            ///< a name; "" if not given
  std::optional<std::pair<std::int64_t, std::int64_t>> range;  ///< of "begin:end", 0 <= begin < end <= positions
  Buffer copy;  ///< where the file's numbers lie at addresses that they cannot be read from
};

/// @param file must outlive the dump
/// @throws FormatError, ConfigError: "where: tensor 'layers.3.k': [2, 43] was found, [kv heads, positions, head dim]
/// was needed"
KvDump read_kv_dump(std::span<const std::byte> file, std::string_view where);

}  // namespace kvgauge
