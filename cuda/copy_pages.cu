// Copies whole blocks of the KV cache, all layers, K and V: target[i] = source[i].
// One thread block per (pair, layer, K or V head): it copies one tile [page_tokens, head_dim], 16 bytes a thread and
// step where addresses and strides allow. Bytes between the rows of a foreign cache are left alone. Moved: 2 * pairs *
// block bytes (each read once, written once).
#include "cuda/copy_pages.h"

#include "core/check.h"
#include "cuda/device.cuh"

namespace kvgauge::cuda {

struct CopyPagesKernelArgs {
  PagedKvView pages;
  const std::int32_t* source;
  const std::int32_t* target;
};

inline constexpr int kCopyPagesThreads = 256;

/// Rows of `row_units` units each, `stride_units` apart, by the whole block.
template <class Unit>
__device__ __forceinline__ void copy_rows(const std::byte* from, std::byte* to, int rows, int row_units,
                                          std::int64_t stride_units) {
  for (int i = static_cast<int>(threadIdx.x); i < rows * row_units; i += static_cast<int>(blockDim.x)) {
    const std::int64_t at = i / row_units * stride_units + i % row_units;
    reinterpret_cast<Unit*>(to)[at] = reinterpret_cast<const Unit*>(from)[at];
  }
}

__global__ void __launch_bounds__(kCopyPagesThreads) copy_pages_kernel(CopyPagesKernelArgs a) {
  const PagedKvView& pages = a.pages;
  const int layer = static_cast<int>(blockIdx.y), head = static_cast<int>(blockIdx.z) % pages.kv_heads;
  const bool is_v = static_cast<int>(blockIdx.z) >= pages.kv_heads;
  const std::int64_t source = a.source[blockIdx.x], target = a.target[blockIdx.x];
  const std::byte* from = is_v ? pages.v(layer, source, head, 0) : pages.k(layer, source, head, 0);
  std::byte* to = is_v ? pages.v(layer, target, head, 0) : pages.k(layer, target, head, 0);
  const auto element = static_cast<int>(size_of(pages.dtype));
  const bool dense = pages.token_stride == pages.head_dim;  // then the tile is one row
  const int rows = dense ? 1 : pages.page_tokens;
  const int row_bytes = pages.head_dim * element * (dense ? pages.page_tokens : 1);
  const std::int64_t stride_bytes = pages.token_stride * element;
  const auto alignment = reinterpret_cast<std::uintptr_t>(from) | reinterpret_cast<std::uintptr_t>(to) |
                         static_cast<std::uintptr_t>(row_bytes) | static_cast<std::uintptr_t>(dense ? 0 : stride_bytes);
  if (alignment % 16 == 0) {
    copy_rows<Pack<std::uint32_t, 4>>(from, to, rows, row_bytes / 16, stride_bytes / 16);
  } else {
    copy_rows<std::uint16_t>(from, to, rows, row_bytes / 2, stride_bytes / 2);
  }
}

void launch_copy_pages(const CopyPagesArgs& args, const std::int32_t* source, const std::int32_t* target,
                       StreamHandle stream) {
  const PagedKvView& pages = args.pages;
  KVGAUGE_CHECK(args.source.size() == args.target.size(), args.source.size(), " sources, ", args.target.size(),
                " targets");
  if (args.source.empty() || pages.layers == 0) return;
  const LaunchShape shape{dim3(static_cast<unsigned>(args.source.size()), static_cast<unsigned>(pages.layers),
                               static_cast<unsigned>(2 * pages.kv_heads)),
                          dim3(kCopyPagesThreads), 0};
  launch(stream, shape, copy_pages_kernel, CopyPagesKernelArgs{pages, source, target});
}

}  // namespace kvgauge::cuda
