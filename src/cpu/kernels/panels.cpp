// Products of activation rows with one panel of 64 output features.
//   out[r, c] = x[r, 0] w[0, c] + x[r, 1] w[1, c] + ...   one chain of fused steps over k for each output
// A register tile holds kTileRows x kTileVectors chains; how rows are dealt to tiles never changes a chain, so the bits
// of a row do not depend on the number of rows. The panel of a small product is read from memory once and again from
// L2, where the coming one is fetched meanwhile (fetch.h).
#include "cpu/kernels/fetch.h"
#include "cpu/kernels/table.h"

namespace kvgauge::cpu::KVGAUGE_ISA {
namespace {

#if defined(__AVX512F__)
constexpr int kTileRows = 6, kTileVectors = 4;  // 24 of 32 registers
#else
constexpr int kTileRows = 6, kTileVectors = 2;  // 12 of 16 registers
#endif

template <int kRows, int kVectors>
struct Tile {
  Floats sum[kRows][kVectors];
};

struct F32Weights {
  using X = float;
  static constexpr std::int64_t steps(std::int64_t depth) { return depth; }
  template <int kRows, int kVectors>
  KVGAUGE_INLINE void accumulate(Tile<kRows, kVectors>& tile, const float* x, std::int64_t x_stride, const float* panel,
                                 std::int64_t depth, Fetch fetch) {
    for (std::int64_t k = 0; k < depth; ++k) {
      Fetch::step(fetch);
      Floats w[kVectors];
      for (int v = 0; v < kVectors; ++v) w[v] = load(panel + k * kPanelColumns + v * kLanes);
      for (int r = 0; r < kRows; ++r) {
        const Floats value = broadcast(x[r * x_stride + k]);
        for (int v = 0; v < kVectors; ++v) tile.sum[r][v] = fused_multiply_add(value, w[v], tile.sum[r][v]);
      }
    }
  }
};

// bf16 weights: a 32-bit lane holds the pair (k even low, k odd high) of one column.
struct Bf16Weights {
  using X = std::uint16_t;
  static constexpr std::int64_t steps(std::int64_t depth) { return (depth + 1) / 2; }
  template <int kRows, int kVectors>
  KVGAUGE_INLINE void add_pair(Tile<kRows, kVectors>& tile, const std::uint32_t (&x)[kRows],
                               const std::uint32_t* panel) {
    Words w[kVectors];
    for (int v = 0; v < kVectors; ++v) w[v] = load_words(panel + v * kLanes);
#if defined(__AVX512BF16__)
    for (int r = 0; r < kRows; ++r) {
      const Words value = broadcast_word(x[r]);
      for (int v = 0; v < kVectors; ++v)
        tile.sum[r][v] = (Floats)_mm512_dpbf16_ps((__m512)tile.sum[r][v], (__m512bh)value, (__m512bh)w[v]);
    }
#else
    Floats even[kVectors], odd[kVectors];
    for (int v = 0; v < kVectors; ++v) {
      even[v] = (Floats)(w[v] << 16);
      odd[v] = (Floats)(w[v] & 0xffff0000u);
    }
    for (int r = 0; r < kRows; ++r) {
      const Words pair = broadcast_word(x[r]);
      const Floats x_even = (Floats)(pair << 16), x_odd = (Floats)(pair & 0xffff0000u);
      for (int v = 0; v < kVectors; ++v) {
        tile.sum[r][v] = fused_multiply_add(x_even, even[v], tile.sum[r][v]);
        tile.sum[r][v] = fused_multiply_add(x_odd, odd[v], tile.sum[r][v]);
      }
    }
#endif
  }
  template <int kRows, int kVectors>
  KVGAUGE_INLINE void accumulate(Tile<kRows, kVectors>& tile, const std::uint16_t* x, std::int64_t x_stride,
                                 const std::uint32_t* panel, std::int64_t depth, Fetch fetch) {
    std::uint32_t pair[kRows];
    for (std::int64_t k = 0; k + 2 <= depth; k += 2) {
      Fetch::step(fetch);
      for (int r = 0; r < kRows; ++r) std::memcpy(&pair[r], x + r * x_stride + k, 4);
      add_pair(tile, pair, panel + k / 2 * kPanelColumns);
    }
    if (depth % 2 !=
        0) {  // the packed weight ends in a zero; what lies behind the row of x must not be read as a number
      for (int r = 0; r < kRows; ++r) pair[r] = x[r * x_stride + depth - 1];
      add_pair(tile, pair, panel + depth / 2 * kPanelColumns);
    }
  }
};

template <class Weights, int kRows, int kVectors, class Element>
void product_tile(const PanelTask& task, const Element* panel, std::int64_t row, int column, Fetch fetch) {
  using X = typename Weights::X;
  Tile<kRows, kVectors> tile;
  for (int r = 0; r < kRows; ++r)
    for (int v = 0; v < kVectors; ++v) tile.sum[r][v] = zeros();
  Weights::accumulate(tile, static_cast<const X*>(task.x) + row * task.x_stride, task.x_stride, panel + column,
                      task.depth, fetch);
  for (int r = 0; r < kRows; ++r) {
    float* out = task.out + (row + r) * task.out_stride + column;
    for (int v = 0; v < kVectors; ++v) {
      const int columns = task.last - column - v * kLanes;
      if (columns >= kLanes) {
        store(out + v * kLanes, tile.sum[r][v]);
      } else if (columns > 0) {
        store_some(out + v * kLanes, tile.sum[r][v], columns);
      }
    }
  }
}

template <class Weights, int kVectors, class Element>
void product_columns(const PanelTask& task, const Element* panel, int column) {
  std::int64_t row = 0;
  // Rows are dealt evenly: 8 rows are 4 + 4, not 6 + 2, since a small tile leaves the multipliers waiting for loads.
  const std::int64_t tiles = (task.rows + kTileRows - 1) / kTileRows;
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    const auto rows = (task.rows - row + (tiles - tile) - 1) / (tiles - tile);
    Fetch fetch;
    if constexpr (kVectors * kLanes == kPanelColumns)
      fetch = share_of_tile(task.coming, tile, tiles, Weights::steps(task.depth), kPanelColumns * 4);
    fetch_results(task.rows, task.out + row * task.out_stride + column, task.out_stride, rows, kVectors * kLanes);
    switch (rows) {
      case 1: product_tile<Weights, 1, kVectors>(task, panel, row, column, fetch); break;
      case 2: product_tile<Weights, 2, kVectors>(task, panel, row, column, fetch); break;
      case 3: product_tile<Weights, 3, kVectors>(task, panel, row, column, fetch); break;
      case 4: product_tile<Weights, 4, kVectors>(task, panel, row, column, fetch); break;
      case 5: product_tile<Weights, 5, kVectors>(task, panel, row, column, fetch); break;
      default: product_tile<Weights, 6, kVectors>(task, panel, row, column, fetch); break;
    }
    row += rows;
  }
}

template <class Weights, class Element>
void product(const PanelTask& task, const Element* panel) {
  constexpr int kColumns = kTileVectors * kLanes;
  int column = task.first;
  for (; column + kColumns <= kPanelColumns && column < task.last; column += kColumns) {
    if (kColumns > 32 && task.last - column <= 32) break;
    product_columns<Weights, kTileVectors>(task, panel, column);
  }
  if constexpr (kColumns > 32) {
    if (column < task.last) product_columns<Weights, kTileVectors / 2>(task, panel, column);
  }
}

}  // namespace

void panel_f32(const PanelTask& task) { product<F32Weights>(task, static_cast<const float*>(task.panel)); }
void panel_bf16(const PanelTask& task) { product<Bf16Weights>(task, static_cast<const std::uint32_t*>(task.panel)); }

}  // namespace kvgauge::cpu::KVGAUGE_ISA
