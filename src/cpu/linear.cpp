#include "ops/linear.h"

#include <algorithm>
#include <cstring>

#include "core/block_codes.h"
#include "core/check.h"
#include "cpu/backend.h"

namespace kvgauge::cpu {
namespace {

constexpr std::int64_t kSlabRows =
    4 * kPanelColumns;                     // rows read and packed at a time, so that sources can be dropped behind
constexpr std::int64_t kUnitColumns = 32;  // half a panel: what threads are dealt
constexpr std::int64_t kUnitRows = 192;

std::int64_t rounded_up(std::int64_t n, std::int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

/// Packs up to 64 rows of `columns` values into one zeroed panel: f32 [k][64].
void pack_panel(const float* rows, std::int64_t count, std::int64_t columns, float* panel) {
  for (std::int64_t k = 0; k < columns; ++k)
    for (std::int64_t n = 0; n < count; ++n) panel[k * kPanelColumns + n] = rows[n * columns + k];
}
/// bf16 [k/2][64][2]
void pack_panel(const bf16_t* rows, std::int64_t count, std::int64_t columns, bf16_t* panel) {
  for (std::int64_t k = 0; k < columns; ++k)
    for (std::int64_t n = 0; n < count; ++n) panel[(k / 2 * kPanelColumns + n) * 2 + k % 2] = rows[n * columns + k];
}

/// One row of a quantized weight into column n of a panel. A scale beyond f16 becomes infinite, and what is multiplied
/// with it is reported as not finite.
void pack_coded_row(StoredType type, const std::byte* row, std::int64_t columns, const PanelFormat& to, std::int64_t n,
                    std::byte* panel) {
  const std::int64_t block = block_elements(type), group_bytes = coded_group_bytes(to.group, to.nibbles, to.shifted);
  const std::uint64_t block_bytes = stored_bytes(type, static_cast<std::uint64_t>(block));
  BlockCodes codes;
  for (std::int64_t k = 0; k < columns; k += block, row += block_bytes) {
    read_block_codes(type, row, codes);
    for (std::int64_t g = 0; g < block / to.group; ++g, panel += group_bytes) {
      const std::uint8_t* const code = codes.codes.data() + g * to.group;
      auto* const out = reinterpret_cast<std::uint8_t*>(panel) + n * 4;
      const int half = to.nibbles ? to.group / 2 : to.group;
      for (int i = 0; i < half; ++i) {
        const int both = to.nibbles ? code[i] | code[i + half] << 4 : code[i];
        out[i / 4 * kPanelColumns * 4 + i % 4] = static_cast<std::uint8_t>(both);
      }
      auto* const scales = reinterpret_cast<half_t*>(panel + std::int64_t{half} * kPanelColumns);
      scales[n] = to_half(codes.scale[static_cast<std::size_t>(g)]);
      if (to.shifted) scales[kPanelColumns + n] = to_half(codes.shift[static_cast<std::size_t>(g)]);
    }
  }
}

/// What the coded rows of `rows` activations take: codes, scales, sums.
struct CodedRows {
  CodedRows(std::byte* memory, std::int64_t rows, std::int64_t depth, int group)
      : codes(reinterpret_cast<std::int8_t*>(memory)),
        scales(reinterpret_cast<float*>(memory + rounded_up(rows * depth, 64))),
        sums(reinterpret_cast<std::int32_t*>(scales + rows * (depth / group))) {}
  static std::int64_t bytes(std::int64_t rows, std::int64_t depth) {
    return rounded_up(rows * depth, 64) + rows * (depth / 16) * 8;
  }
  std::int8_t* codes;
  float* scales;
  std::int32_t* sums;
};

}  // namespace

// Quantized rows are kept in codes wherever their run is whole panels; what is left is widened.
std::vector<PanelRun> CpuBackend::plan_runs(std::int64_t rows, std::int64_t columns, const WeightSource& source) const {
  std::vector<PanelRun> runs;
  const auto add = [&](const PanelFormat& format, std::int64_t count) {
    if (!runs.empty() && runs.back().format == format) {
      runs.back().rows += count;
    } else {
      runs.push_back(
          {.first = runs.empty() ? 0 : runs.back().first + runs.back().rows, .rows = count, .format = format});
    }
  };
  for (std::int64_t row = 0; row < rows && keep_codes_;) {
    const WeightSource::Run stored = source.stored(row);
    PanelFormat format;
    if (const auto codes = code_format(stored.type))
      format = {.coded = true,
                .group = codes->group,
                .offset = codes->offset,
                .nibbles = codes->bits <= 4,
                .shifted = codes->shifted};
    add(format, std::min(stored.rows, rows - row));
    row += stored.rows;
  }
  const bool whole_panels =
      std::all_of(runs.begin(), runs.end(), [](const PanelRun& run) { return run.first % kPanelColumns == 0; });
  if (runs.empty() || !whole_panels) {
    runs.clear();
    add({}, rows);
  }
  for (PanelRun& run : runs) {
    const std::int64_t element = compute_dtype_ == DType::kBF16 ? 2 : 4;
    const PanelFormat& f = run.format;
    run.panel_bytes = f.coded ? columns / f.group * coded_group_bytes(f.group, f.nibbles, f.shifted)
                              : rounded_up(columns, element == 2 ? 32 : 16) * kPanelColumns * element;
    run.data = Buffer(static_cast<std::size_t>(rounded_up(run.rows, kPanelColumns) / kPanelColumns * run.panel_bytes));
  }
  return runs;
}

PackedWeight CpuBackend::pack_weight(std::int64_t rows, std::int64_t columns, WeightSource& source) {
  KVGAUGE_CHECK(rows > 0 && columns > 0, "weight of [", rows, ",", columns, "]");
  PackedMatrix matrix{.rows = rows, .columns = columns, .runs = plan_runs(rows, columns, source)};
  for (PanelRun& run : matrix.runs) {
    run.format.coded ? pack_coded(columns, source, run) : pack_dense(columns, source, run);
    packed_bytes_ += run.data.size();
  }
  matrices_.push_back(std::move(matrix));
  return {.handle = static_cast<std::int64_t>(matrices_.size()) - 1, .rows = rows, .columns = columns};
}

void CpuBackend::pack_dense(std::int64_t columns, WeightSource& source, PanelRun& run) {
  const bool bf16 = compute_dtype_ == DType::kBF16;
  Buffer slab(static_cast<std::size_t>(std::min(run.rows, kSlabRows) * columns * (bf16 ? 2 : 4)));
  for (std::int64_t first = 0; first < run.rows; first += kSlabRows) {
    const std::int64_t count = std::min(kSlabRows, run.rows - first);
    source.read(run.first + first, count, compute_dtype_, slab.data());
    parallel(rounded_up(count, kPanelColumns) / kPanelColumns, false, [&](std::int64_t unit, int) {
      const std::int64_t row = unit * kPanelColumns, panel_rows = std::min<std::int64_t>(kPanelColumns, count - row);
      std::byte* panel = run.data.data() + (first + row) / kPanelColumns * run.panel_bytes;
      if (bf16) {
        pack_panel(slab.as<bf16_t>() + row * columns, panel_rows, columns, reinterpret_cast<bf16_t*>(panel));
      } else {
        pack_panel(slab.as<float>() + row * columns, panel_rows, columns, reinterpret_cast<float*>(panel));
      }
    });
  }
}

void CpuBackend::pack_coded(std::int64_t columns, WeightSource& source, PanelRun& run) {
  Buffer slab;
  for (std::int64_t first = 0; first < run.rows;) {
    const WeightSource::Run stored = source.stored(run.first + first);
    const std::int64_t count = std::min({kSlabRows - first % kSlabRows, stored.rows, run.rows - first});
    const auto row_bytes = static_cast<std::int64_t>(stored_bytes(stored.type, static_cast<std::uint64_t>(columns)));
    source.read_stored(run.first + first, count, reserve(slab, static_cast<std::size_t>(kSlabRows * row_bytes)));
    parallel(count, false, [&](std::int64_t i, int) {
      const std::int64_t row = first + i;
      pack_coded_row(stored.type, slab.data() + i * row_bytes, columns, run.format, row % kPanelColumns,
                     run.data.data() + row / kPanelColumns * run.panel_bytes);
    });
    first += count;
  }
}

void CpuBackend::load_rows(std::int64_t rows, std::int64_t columns, WeightSource& source, std::byte* device) {
  const std::int64_t row_bytes = columns * static_cast<std::int64_t>(size_of(compute_dtype_));
  for (std::int64_t first = 0; first < rows;
       first += kSlabRows)  // in slabs: what has been read is dropped by the source
    source.read(first, std::min(kSlabRows, rows - first), compute_dtype_, device + first * row_bytes);
}

void CpuBackend::linear(const LinearArgs& args) {
  const MatrixView &x = args.x, &out = args.out;
  KVGAUGE_CHECK(args.weight.handle >= 0 && args.weight.handle < static_cast<std::int64_t>(matrices_.size()),
                "weight handle ", args.weight.handle);
  const PackedMatrix& matrix = matrices_[static_cast<std::size_t>(args.weight.handle)];
  KVGAUGE_CHECK(x.dtype == compute_dtype_ && x.columns == matrix.columns, "x is ", name(x.dtype), "[", x.rows, ",",
                x.columns, "], the weight takes ", name(compute_dtype_), " of ", matrix.columns, " columns");
  KVGAUGE_CHECK(out.dtype == DType::kF32 && out.rows >= x.rows, "out is ", name(out.dtype), "[", out.rows, ",",
                out.columns, "]");
  check_features(args);
  static_assert(kFeatureStep % kPanelColumns == 0);
  if (x.rows == 0) return;
  for (const PanelRun& run : matrix.runs) {
    const std::int64_t first = std::max(run.first, args.first_feature);
    const std::int64_t last = std::min(run.first + run.rows, args.first_feature + out.columns);
    if (first >= last) continue;
    const PanelRange weight{.panels = run.data.data() + (first - run.first) / kPanelColumns * run.panel_bytes,
                            .panel_bytes = run.panel_bytes,
                            .features = last - first,
                            .depth = matrix.columns};
    MatrixView part = out;
    part.data = static_cast<float*>(out.data) + (first - args.first_feature);
    part.columns = weight.features;
    run.format.coded ? coded_linear(x, run.format, weight, part) : dense_linear(x, weight, part);
  }
}

void CpuBackend::dense_linear(const MatrixView& x, const PanelRange& weight, const MatrixView& out) {
  const std::int64_t element = static_cast<std::int64_t>(size_of(x.dtype));
  std::int64_t row = 0;
  if (onednn_ && x.stride == x.columns && out.stride == out.columns) {
    while (x.rows - row >= OneDnnProducts::kLeastRows) {
      const std::int64_t done =
          onednn_->run(static_cast<const std::byte*>(x.data) + row * x.stride * element, x.rows - row, weight.panels,
                       weight.features, weight.depth, static_cast<float*>(out.data) + row * out.stride);
      if (done == 0) break;
      row += done;
    }
  }
  if (row == x.rows) return;
  MatrixView rest_x = x, rest_out = out;
  rest_x.data = static_cast<std::byte*>(x.data) + row * x.stride * element;
  rest_out.data = static_cast<float*>(out.data) + row * out.stride;
  rest_x.rows = rest_out.rows = x.rows - row;
  own_linear(rest_x, weight, rest_out);
}

// A thread takes a run of half panels (in weight order), whole panels where it can; with each it learns which one
// comes next.
template <class Work>
void CpuBackend::for_panels(const PanelRange& weight, bool tiny, const Work& work) {
  const std::int64_t units = rounded_up(weight.features, kUnitColumns) / kUnitColumns;
  const std::int64_t threads = tiny ? 1 : std::min<std::int64_t>(threads_, units);
  parallel(threads, false, [&](std::int64_t thread, int) {
    const std::int64_t begin = units * thread / threads, end = units * (thread + 1) / threads;
    for (std::int64_t unit = begin; unit < end;) {
      const std::int64_t panel = unit / 2, first = unit % 2 * kUnitColumns;
      const bool whole = first == 0 && unit + 2 <= end;
      const std::int64_t last =
          std::min<std::int64_t>(whole ? kPanelColumns : first + kUnitColumns, weight.features - panel * kPanelColumns);
      unit += whole ? 2 : 1;
      work(panel, static_cast<int>(first), static_cast<int>(last),
           unit < end ? weight.panels + unit / 2 * weight.panel_bytes : nullptr);
    }
  });
}

void CpuBackend::own_linear(const MatrixView& x, const PanelRange& weight, const MatrixView& out) {
  const auto run = compute_dtype_ == DType::kBF16 ? kernels_.panel_bf16 : kernels_.panel_f32;
  const std::int64_t element = static_cast<std::int64_t>(size_of(x.dtype));
  const bool tiny = x.rows * weight.features * weight.depth < 65'536;  // less work than waking the others
  for_panels(weight, tiny, [&](std::int64_t panel, int first, int last, const std::byte* coming) {
    for (std::int64_t row = 0; row < x.rows; row += kUnitRows)
      run({.x = static_cast<const std::byte*>(x.data) + row * x.stride * element,
           .x_stride = x.stride,
           .rows = std::min(kUnitRows, x.rows - row),
           .depth = weight.depth,
           .panel = weight.panels + panel * weight.panel_bytes,
           .coming = row == 0 ? coming : nullptr,
           .first = first,
           .last = last,
           .out = static_cast<float*>(out.data) + row * out.stride + panel * kPanelColumns,
           .out_stride = out.stride});
  });
}

void CpuBackend::reserve_coded_rows(std::int64_t rows) {
  std::int64_t deepest = 0;
  for (const PackedMatrix& matrix : matrices_)
    for (const PanelRun& run : matrix.runs)
      if (run.format.coded) deepest = std::max(deepest, matrix.columns);
  if (deepest > 0) reserve(coded_rows_, static_cast<std::size_t>(CodedRows::bytes(rows, deepest)));
}

void CpuBackend::coded_linear(const MatrixView& x, const PanelFormat& format, const PanelRange& weight,
                              const MatrixView& out) {
  const std::int64_t depth = weight.depth, groups = depth / format.group;
  const CodedRows coded(reserve(coded_rows_, static_cast<std::size_t>(CodedRows::bytes(x.rows, depth))), x.rows, depth,
                        format.group);
  const bool bf16 = x.dtype == DType::kBF16;
  parallel(x.rows, x.rows * depth < 65'536, [&](std::int64_t row, int) {
    kernels_.code_row(
        static_cast<const std::byte*>(x.data) + row * x.stride * static_cast<std::int64_t>(size_of(x.dtype)), bf16,
        depth, format.group, coded.codes + row * depth, coded.scales + row * groups, coded.sums + row * groups);
  });
  const bool tiny = x.rows * weight.features * depth < 65'536;
  for_panels(weight, tiny, [&](std::int64_t panel, int first, int last, const std::byte* coming) {
    for (std::int64_t row = 0; row < x.rows; row += kUnitRows)
      kernels_.panel_coded({.x = coded.codes + row * depth,
                            .x_scales = coded.scales + row * groups,
                            .x_sums = coded.sums + row * groups,
                            .rows = std::min(kUnitRows, x.rows - row),
                            .depth = depth,
                            .panel = weight.panels + panel * weight.panel_bytes,
                            .coming = row == 0 ? coming : nullptr,
                            .first = first,
                            .last = last,
                            .out = static_cast<float*>(out.data) + row * out.stride + panel * kPanelColumns,
                            .out_stride = out.stride,
                            .group = format.group,
                            .offset = format.offset,
                            .nibbles = format.nibbles,
                            .shifted = format.shifted});
  });
}

}  // namespace kvgauge::cpu
