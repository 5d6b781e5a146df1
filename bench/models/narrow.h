#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/stored_type.h"

namespace kvgauge::bench {

/// The types that narrow() writes: those that models are compared in, and Q5_0, which stands in for Q4_K where rows are
/// no multiple of 256.
std::vector<StoredType> written_types();

/// Narrows `elements` values (a multiple of the block size) to a stored type: the other direction of widen()
/// (loader/stored_tensor.h). Values are finite and at most 65504 in size, so that every scale fits a half.
///   Q8_0, Q4_0, Q4_1, Q5_0   ggml's reference formulas, bit for bit: one scale a block, from its largest value
///   Q4_K, Q6_K               the scale of each group is rounded up, so that no value is clipped: every value comes
///   back
///                            within half a step of its group (llama.cpp searches for scales with a smaller mean error)
/// @param type one of written_types()
void narrow(StoredType type, const float* source, std::int64_t elements, std::byte* out);

}  // namespace kvgauge::bench
