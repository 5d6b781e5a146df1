#include <array>
#include <functional>
#include <limits>

#include "capi/handles.h"
#include "gauge/trajectory_gauge.h"

using namespace kvgauge;
using namespace kvgauge::capi;

namespace {

constexpr std::int64_t kMostLayers = 4096;

DType dtype_of(kvgauge_dtype dtype) {
  switch (dtype) {
    case KVGAUGE_F32: return DType::kF32;
    case KVGAUGE_F16: return DType::kF16;
    case KVGAUGE_BF16: return DType::kBF16;
  }
  throw ArgumentError(
      cat("dtype is ", static_cast<int>(dtype), ", one of KVGAUGE_F32, KVGAUGE_F16, KVGAUGE_BF16 was needed"));
}

/// a * b, or an error naming what it counts.
std::int64_t product(std::int64_t a, std::int64_t b, const char* what) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max() / 16;
  require(a == 0 || b <= kMost / a, what, ": ", a, " times ", b, " elements cannot be addressed");
  return a * b;
}

void check_layout(const kvgauge_cache_layout& layout) {
  require(layout.k != nullptr && layout.v != nullptr, "k and v are arrays of pointers, found NULL");
  require(layout.layers > 0 && layout.layers <= kMostLayers, "layers is ", layout.layers, ", 1 to ", kMostLayers,
          " was needed");
  check_shape(layout.kv_heads, layout.head_dim);
  require(layout.block_tokens > 0, "block_tokens is ", layout.block_tokens, ", at least 1 was needed");
  require(layout.blocks > 0 && layout.blocks <= std::numeric_limits<std::int32_t>::max(), "blocks is ", layout.blocks,
          ", 1 to 2^31 - 1 was needed");
  struct Stride {
    const char* name;
    std::int64_t value, count;
  };
  std::int64_t extent = layout.head_dim;
  for (const Stride& stride : {Stride{"block_stride", layout.block_stride, layout.blocks},
                               Stride{"head_stride", layout.head_stride, layout.kv_heads},
                               Stride{"token_stride", layout.token_stride, layout.block_tokens}}) {
    require(stride.count == 1 || stride.value >= layout.head_dim, stride.name, " is ", stride.value,
            ", at least head_dim (", layout.head_dim, ") was needed");
    if (stride.count > 1) extent += product(stride.value, stride.count - 1, stride.name);
    require(extent <= std::numeric_limits<std::int64_t>::max() / 16, "the strides reach too far");
  }
  const std::size_t element = size_of(dtype_of(layout.dtype));
  for (std::int32_t layer = 0; layer < layout.layers; ++layer)
    for (const bool value : {false, true}) {
      const void* const base = (value ? layout.v : layout.k)[layer];
      require(base != nullptr, value ? "v[" : "k[", layer, "] is NULL");
      require(reinterpret_cast<std::uintptr_t>(base) % element == 0, value ? "v[" : "k[", layer, "] is not aligned to ",
              element, " bytes");
    }
}

std::unique_ptr<kvgauge_cache> made(const kvgauge_cache_layout& layout) {
  check_layout(layout);
  auto cache = std::make_unique<kvgauge_cache>();
  for (std::int32_t layer = 0; layer < layout.layers; ++layer) {
    // Views carry pointers through which the engine writes as well; gauges only read.
    cache->k.push_back(static_cast<std::byte*>(const_cast<void*>(layout.k[layer])));
    cache->v.push_back(static_cast<std::byte*>(const_cast<void*>(layout.v[layer])));
  }
  cache->view = {.k_base = cache->k.data(),
                 .v_base = cache->v.data(),
                 .dtype = dtype_of(layout.dtype),
                 .layers = layout.layers,
                 .kv_heads = layout.kv_heads,
                 .head_dim = layout.head_dim,
                 .page_tokens = layout.block_tokens,
                 // A stride that nothing is multiplied by must not be left to chance.
                 .block_stride = layout.blocks > 1 ? layout.block_stride : 0,
                 .head_stride = layout.kv_heads > 1 ? layout.head_stride : 0,
                 .token_stride = layout.block_tokens > 1 ? layout.token_stride : 0};
  cache->blocks = layout.blocks;
  return cache;
}

/// Elements of one block's K (or V) of one layer.
std::int64_t tile_elements(const kvgauge_cache_shape& shape) {
  check_shape(shape.kv_heads, shape.head_dim);
  require(shape.block_tokens > 0, "block_tokens is ", shape.block_tokens, ", at least 1 was needed");
  require(shape.blocks > 0, "blocks is ", shape.blocks, ", at least 1 was needed");
  const std::int64_t tile = product(std::int64_t{shape.kv_heads} * shape.head_dim, shape.block_tokens, "a block");
  product(2 * tile, shape.blocks, "a layer");
  return tile;
}

kvgauge_cache_layout layout_of(const kvgauge_cache_shape& shape, bool heads_before_tokens, std::int64_t block_stride) {
  return {.k = nullptr,
          .v = nullptr,
          .dtype = shape.dtype,
          .layers = shape.layers,
          .kv_heads = shape.kv_heads,
          .head_dim = shape.head_dim,
          .block_tokens = shape.block_tokens,
          .blocks = shape.blocks,
          .block_stride = block_stride,
          .head_stride = heads_before_tokens ? std::int64_t{shape.block_tokens} * shape.head_dim : shape.head_dim,
          .token_stride = heads_before_tokens ? shape.head_dim : std::int64_t{shape.kv_heads} * shape.head_dim};
}

/// K and V in one tensor a layer, V `v_offset` elements behind K.
std::unique_ptr<kvgauge_cache> made_of_tensors(const kvgauge_cache_shape& shape, kvgauge_cache_layout layout,
                                               const void* const* tensors, std::int64_t v_offset) {
  require(shape.layers > 0 && shape.layers <= kMostLayers, "layers is ", shape.layers, ", 1 to ", kMostLayers,
          " was needed");
  std::vector<const void*> v;
  for (std::int32_t layer = 0; layer < shape.layers; ++layer) {
    require(tensors[layer] != nullptr, "tensors[", layer, "] is NULL");
    v.push_back(static_cast<const std::byte*>(tensors[layer]) +
                static_cast<std::size_t>(v_offset) * size_of(dtype_of(shape.dtype)));
  }
  layout.k = tensors;
  layout.v = v.data();
  return made(layout);
}

/// Checks what every constructor is given, and hands out what `make` makes.
kvgauge_status create(const char* function, const void* description, kvgauge_cache** cache,
                      const std::function<std::unique_ptr<kvgauge_cache>()>& make) {
  return guarded(function, [&] {
    require(cache != nullptr, "cache is NULL, a place for the handle was needed");
    *cache = nullptr;
    require(description != nullptr, "the description is NULL");
    *cache = make().release();
  });
}

}  // namespace

kvgauge_status kvgauge_cache_create(const kvgauge_cache_layout* layout, kvgauge_cache** cache) {
  return create("kvgauge_cache_create", layout, cache, [&] { return made(*layout); });
}

kvgauge_status kvgauge_cache_create_vllm(const kvgauge_cache_shape* shape, kvgauge_vllm_order order,
                                         const void* const* tensors, kvgauge_cache** cache) {
  return create("kvgauge_cache_create_vllm", shape, cache, [&] {
    require(tensors != nullptr, "tensors is NULL");
    require(order >= KVGAUGE_VLLM_KV_NHD && order <= KVGAUGE_VLLM_BLOCK_HND, "order is ", static_cast<int>(order),
            ", one of KVGAUGE_VLLM_* was needed");
    const bool by_block = order == KVGAUGE_VLLM_BLOCK_NHD || order == KVGAUGE_VLLM_BLOCK_HND;
    const bool heads_first = order == KVGAUGE_VLLM_KV_HND || order == KVGAUGE_VLLM_BLOCK_HND;
    const std::int64_t tile = tile_elements(*shape);
    return made_of_tensors(*shape, layout_of(*shape, heads_first, by_block ? 2 * tile : tile), tensors,
                           by_block ? tile : tile * shape->blocks);
  });
}

kvgauge_status kvgauge_cache_create_contiguous(const kvgauge_cache_shape* shape, const void* const* k,
                                               const void* const* v, kvgauge_cache** cache) {
  return create("kvgauge_cache_create_contiguous", shape, cache, [&] {
    kvgauge_cache_layout layout = layout_of(*shape, true, tile_elements(*shape));
    layout.k = k;
    layout.v = v;
    return made(layout);
  });
}

kvgauge_status kvgauge_cache_create_pages(const kvgauge_cache_shape* shape, const void* const* pages,
                                          kvgauge_cache** cache) {
  return create("kvgauge_cache_create_pages", shape, cache, [&] {
    require(pages != nullptr, "pages is NULL");
    const std::int64_t tile = tile_elements(*shape);
    return made_of_tensors(*shape, layout_of(*shape, true, 2 * tile), pages, tile);
  });
}

void kvgauge_cache_destroy(kvgauge_cache* cache) { delete cache; }

kvgauge_status kvgauge_span_positions(kvgauge_span span, int64_t prompt, int64_t cached, int64_t* begin, int64_t* end) {
  return guarded("kvgauge_span_positions", [&] {
    require(begin != nullptr && end != nullptr, "begin or end is NULL");
    require(span >= KVGAUGE_RESPONSE && span <= KVGAUGE_PROMPT, "span is ", static_cast<int>(span),
            ", one of KVGAUGE_RESPONSE, KVGAUGE_BOUNDARY, KVGAUGE_ALL, KVGAUGE_PROMPT was needed");
    require(prompt >= 1 && prompt <= cached && cached <= kMostPositions, "prompt is ", prompt, " and cached ", cached,
            ", 1 <= prompt <= cached was needed");
    constexpr std::array<GaugeSpan, 4> kSpans = {GaugeSpan::kResponse, GaugeSpan::kBoundary, GaugeSpan::kAll,
                                                 GaugeSpan::kPrompt};
    const PositionRange range = span_positions(kSpans[static_cast<std::size_t>(span)], prompt, cached);
    *begin = range.begin;
    *end = range.end;
  });
}
