#include "ops/linear.h"

#include <algorithm>
#include <cstring>

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

}  // namespace

PackedWeight CpuBackend::pack_weight(std::int64_t rows, std::int64_t columns, WeightSource& source) {
  KVGAUGE_CHECK(rows > 0 && columns > 0, "weight of [", rows, ",", columns, "]");
  const bool bf16 = compute_dtype_ == DType::kBF16;
  const std::int64_t element = bf16 ? 2 : 4;
  PackedMatrix matrix;
  matrix.rows = rows;
  matrix.columns = columns;
  matrix.panel_bytes = rounded_up(columns, bf16 ? 32 : 16) * kPanelColumns * element;
  const std::int64_t panels = rounded_up(rows, kPanelColumns) / kPanelColumns;
  matrix.data = Buffer(static_cast<std::size_t>(panels * matrix.panel_bytes));

  Buffer slab(static_cast<std::size_t>(std::min(rows, kSlabRows) * columns * element));
  for (std::int64_t first = 0; first < rows; first += kSlabRows) {
    const std::int64_t count = std::min(kSlabRows, rows - first);
    source.read(first, count, compute_dtype_, slab.data());
    parallel(rounded_up(count, kPanelColumns) / kPanelColumns, false, [&](std::int64_t unit, int) {
      const std::int64_t row = unit * kPanelColumns, panel_rows = std::min<std::int64_t>(kPanelColumns, count - row);
      std::byte* panel = matrix.data.data() + (first + row) / kPanelColumns * matrix.panel_bytes;
      if (bf16) {
        pack_panel(slab.as<bf16_t>() + row * columns, panel_rows, columns, reinterpret_cast<bf16_t*>(panel));
      } else {
        pack_panel(slab.as<float>() + row * columns, panel_rows, columns, reinterpret_cast<float*>(panel));
      }
    });
  }
  packed_bytes_ += matrix.data.size();
  matrices_.push_back(std::move(matrix));
  return {.handle = static_cast<std::int64_t>(matrices_.size()) - 1, .rows = rows, .columns = columns};
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
  const PanelRange weight{.panels = matrix.data.data() + args.first_feature / kPanelColumns * matrix.panel_bytes,
                          .panel_bytes = matrix.panel_bytes,
                          .features = out.columns,
                          .depth = matrix.columns};
  if (x.rows == 0) return;
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

void CpuBackend::own_linear(const MatrixView& x, const PanelRange& weight, const MatrixView& out) {
  const auto run = compute_dtype_ == DType::kBF16 ? kernels_.panel_bf16 : kernels_.panel_f32;
  const std::int64_t column_units = rounded_up(weight.features, kUnitColumns) / kUnitColumns;
  const std::int64_t row_units = rounded_up(x.rows, kUnitRows) / kUnitRows;
  const std::int64_t element = static_cast<std::int64_t>(size_of(x.dtype));

  // A thread takes a run of half panels (in weight order), whole panels where it can, for all row blocks in turn.
  const bool tiny = x.rows * weight.features * weight.depth < 65'536;  // less work than waking the others
  const std::int64_t threads = tiny ? 1 : std::min<std::int64_t>(threads_, column_units);
  parallel(threads, false, [&](std::int64_t thread, int) {
    const std::int64_t begin = column_units * thread / threads, end = column_units * (thread + 1) / threads;
    for (std::int64_t unit = begin; unit < end;) {
      const std::int64_t panel = unit / 2, first = unit % 2 * kUnitColumns;
      const bool whole = first == 0 && unit + 2 <= end;
      const std::int64_t last =
          std::min<std::int64_t>(whole ? kPanelColumns : first + kUnitColumns, weight.features - panel * kPanelColumns);
      for (std::int64_t block = 0; block < row_units; ++block) {
        const std::int64_t row = block * kUnitRows;
        run({.x = static_cast<const std::byte*>(x.data) + row * x.stride * element,
             .x_stride = x.stride,
             .rows = std::min(kUnitRows, x.rows - row),
             .depth = weight.depth,
             .panel = weight.panels + panel * weight.panel_bytes,
             .first = static_cast<int>(first),
             .last = static_cast<int>(last),
             .out = static_cast<float*>(out.data) + row * out.stride + panel * kPanelColumns,
             .out_stride = out.stride});
      }
      unit += whole ? 2 : 1;
    }
  });
}

}  // namespace kvgauge::cpu
