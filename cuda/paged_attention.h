#pragma once
#include <cstddef>

#include "cuda/step_tables.h"
#include "cuda/stream_handle.h"
#include "ops/paged_attention.h"

namespace kvgauge::cuda {

/// Bytes of scratch for softmax states of splits that wait for their merge.
/// @param rows new tokens of a step, @param sequences of a step, @param context longest of a sequence
std::size_t paged_attention_scratch_bytes(std::int64_t rows, std::int64_t sequences, std::int64_t context, int heads,
                                          int head_dim);

/// @param args its `sequences` is not read; the base arrays of `pages` are in device memory
/// @param scratch device memory of at least paged_attention_scratch_bytes() of the table's bounds
/// @throws DeviceError "paged_attention: head_dim 72 has no kernel (32, 64, 96, 128, 256); run with --device cpu"
void launch_paged_attention(const PagedAttentionArgs& args, const SliceTable& table, std::byte* scratch,
                            StreamHandle stream);

}  // namespace kvgauge::cuda
