#pragma once
#include <cstddef>

#include "cuda/step_tables.h"
#include "cuda/stream_handle.h"
#include "ops/paged_attention.h"

namespace kvgauge::cuda {

/// Bytes of scratch for softmax states of splits that wait for their merge; at most 64 MiB.
/// @param rows new tokens of a step, @param sequences of a step, @param context longest of a sequence
std::size_t paged_attention_scratch_bytes(std::int64_t rows, std::int64_t sequences, std::int64_t context, int heads,
                                          int head_dim);

/// bf16 pages of whole tiles (page_tokens a multiple of 32, head_dim 32, 64, 96, 128 or 256, strides multiples of 16
/// bytes) are multiplied by tensor cores: q * scale / ln 2 and the weights are rounded to bf16, sums are f32.
/// Everything else is f32 throughout.
/// @param args its `sequences` is not read; the base arrays of `pages` are in device memory. Where all strides of the
/// pages are multiples of 16 bytes, so must their bases be.
/// @param scratch device memory of at least paged_attention_scratch_bytes() of the table's bounds, 16-byte aligned
/// @throws DeviceError "paged_attention: head_dim 512 has no kernel (1 to 256); run with --device cpu"
void launch_paged_attention(const PagedAttentionArgs& args, const SliceTable& table, std::byte* scratch,
                            StreamHandle stream);

}  // namespace kvgauge::cuda
