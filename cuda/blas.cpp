#include "cuda/blas.h"

#include <cublasLt.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <bit>
#include <numeric>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "core/check.h"
#include "cuda/check.h"
#include "kvgauge/error.h"

namespace kvgauge::cuda {
namespace {

/// The reason that the library logs just before it returns a failure; its status codes alone say little.
thread_local std::string last_log;
void keep_log(int, const char* function, const char* message) { last_log = cat(function, ": ", message); }

constexpr std::int64_t kAlignment = 16;  // the widest access of the vendor's kernels

std::int64_t alignment_of(const void* data, std::int64_t row_bytes) {
  const auto address = static_cast<std::int64_t>(std::bit_cast<std::uintptr_t>(data) % kAlignment);
  return std::gcd(std::gcd(kAlignment, row_bytes), address);
}

std::size_t rounded_up(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

template <auto Destroy>
struct Destroyer {
  template <class T>
  void operator()(T* object) const {
    Destroy(object);
  }
};
template <class Handle, auto Destroy>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Destroyer<Destroy>>;
using Library = Owned<cublasLtHandle_t, &cublasLtDestroy>;
using Operation = Owned<cublasLtMatmulDesc_t, &cublasLtMatmulDescDestroy>;
using Layout = Owned<cublasLtMatrixLayout_t, &cublasLtMatrixLayoutDestroy>;
using Preference = Owned<cublasLtMatmulPreference_t, &cublasLtMatmulPreferenceDestroy>;

/// A shape with everything that an algorithm may depend on. The alignment of a row view is that of its whole matrix:
/// gcd(16, row bytes, address) is the same for every row, so a product of some rows of a matrix finds the algorithm of
/// all.
struct Key {
  std::int64_t n, k, x_stride, out_stride;
  DType dtype;
  std::int64_t x_alignment, weight_alignment, out_alignment;
  bool operator==(const Key&) const = default;
};

Key key_of(std::int64_t n, std::int64_t k, DType dtype, std::int64_t x_stride, std::int64_t out_stride, const void* x,
           const void* weight, const void* out) {
  const auto element = static_cast<std::int64_t>(size_of(dtype));
  return {.n = n,
          .k = k,
          .x_stride = x_stride,
          .out_stride = out_stride,
          .dtype = dtype,
          .x_alignment = alignment_of(x, x_stride * element),
          .weight_alignment = alignment_of(weight, k * element),
          .out_alignment = alignment_of(out, out_stride * std::int64_t{sizeof(float)})};
}

/// Row-major out = x weight^T is, in the vendor's column-major words, out^T [n, rows] = op(A) B with A = weight, stored
/// as [k, n] and transposed, and B = x^T, stored as [k, rows]: each leading dimension is a row stride of ours.
struct Prepared {
  Key key;
  Layout weight, x, out;
  std::vector<std::optional<cublasLtMatmulAlgo_t>>
      algorithms;  ///< by power of two of rows; one entry if batch-invariant
};

constexpr cudaDataType_t vendor_type(DType dtype) { return dtype == DType::kBF16 ? CUDA_R_16BF : CUDA_R_32F; }

Layout make_layout(const Key& key, cudaDataType_t type, std::int64_t rows, std::int64_t columns, std::int64_t stride) {
  cublasLtMatrixLayout_t layout = nullptr;
  check_cublas(cublasLtMatrixLayoutCreate(&layout, type, static_cast<std::uint64_t>(rows),
                                          static_cast<std::uint64_t>(columns), stride),
               "cublasLtMatrixLayoutCreate", key.n, columns, key.k, key.dtype);
  return Layout(layout);
}

template <class T>
void set(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t attribute, T value,
         const Key& key) {
  check_cublas(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &value, sizeof(value)),
               "cublasLtMatmulPreferenceSetAttribute", key.n, 0, key.k, key.dtype);
}

/// One copy where rows lie side by side in both, as in every matrix of the engine.
void copy_rows(std::byte* to, std::int64_t to_stride, const std::byte* from, std::int64_t from_stride,
               std::int64_t row_bytes, std::int64_t rows, StreamHandle stream) {
  const std::int64_t copies = row_bytes == to_stride && row_bytes == from_stride ? 1 : rows;
  for (std::int64_t row = 0; row < copies; ++row, to += to_stride, from += from_stride)
    check_cuda(cudaMemcpyAsync(to, from, static_cast<std::size_t>(row_bytes * (rows / copies)),
                               cudaMemcpyDeviceToDevice, stream),
               "cudaMemcpyAsync of rows of a product");
}

}  // namespace

void check_cublas(int status, const char* call, std::int64_t m, std::int64_t n, std::int64_t k, DType dtype) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  const std::string logged = last_log.empty() ? "" : cat(" (", last_log, ")");
  last_log.clear();
  throw DeviceError(cat("cublasLt: ", call, " m ", m, " n ", n, " k ", k, ' ', name(dtype), ": ",
                        cublasLtGetStatusName(static_cast<cublasStatus_t>(status)), logged));
}

struct Products::State {
  ProductsConfig config;
  Library library;
  Operation operation;
  std::vector<Prepared> prepared;
  std::int64_t heuristics = 0;

  Prepared& find_or_add(const Key& key);
  cublasLtMatmulAlgo_t choose(const Prepared& shape, std::int64_t least_rows, std::int64_t rows);
  const cublasLtMatmulAlgo_t& algorithm(Prepared& shape, std::int64_t rows);
  void set_rows(const Prepared& shape, std::int64_t rows);
  void run(Prepared& shape, const void* x, const void* weight, void* out, std::int64_t rows);
  void run_in_tiles(Prepared& shape, const MatrixView& x, const void* weight, const MatrixView& out);
};

Prepared& Products::State::find_or_add(const Key& key) {
  const auto found = std::find_if(prepared.begin(), prepared.end(), [&](const Prepared& p) { return p.key == key; });
  if (found != prepared.end()) return *found;
  if (config.batch_invariant) {
    const std::size_t needed = tile_bytes({.n = key.n, .k = key.k, .dtype = key.dtype});
    if (config.tile_bytes < needed)
      throw DeviceError(cat("products: n ", key.n, " k ", key.k, ' ', name(key.dtype), " with --batch-invariant needs ",
                            needed, " bytes of tile scratch, ", config.tile_bytes, " were reserved"));
  }
  const cudaDataType_t type = vendor_type(key.dtype);
  Prepared shape{key,
                 make_layout(key, type, key.k, key.n, key.k),
                 make_layout(key, type, key.k, 1, key.x_stride),
                 make_layout(key, CUDA_R_32F, key.n, 1, key.out_stride),
                 {}};
  prepared.push_back(std::move(shape));
  return prepared.back();
}

void Products::State::set_rows(const Prepared& shape, std::int64_t rows) {
  const auto columns = static_cast<std::uint64_t>(rows);
  for (const auto* layout : {&shape.x, &shape.out})
    check_cublas(
        cublasLtMatrixLayoutSetAttribute(layout->get(), CUBLASLT_MATRIX_LAYOUT_COLS, &columns, sizeof(columns)),
        "cublasLtMatrixLayoutSetAttribute", shape.key.n, rows, shape.key.k, shape.key.dtype);
}

/// The heuristic's first algorithm for `rows` rows that also takes `least_rows` (and, by the same tiles, all counts
/// between).
cublasLtMatmulAlgo_t Products::State::choose(const Prepared& shape, std::int64_t least_rows, std::int64_t rows) {
  const Key& key = shape.key;
  last_log.clear();  // a refused cublasLtMatmulAlgoCheck is no failure of ours, but it is logged
  cublasLtMatmulPreference_t made = nullptr;
  check_cublas(cublasLtMatmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate", key.n, rows, key.k, key.dtype);
  const Preference preference(made);
  set(made, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, std::uint64_t{config.workspace_bytes}, key);
  set(made, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, static_cast<std::uint32_t>(key.weight_alignment), key);
  set(made, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, static_cast<std::uint32_t>(key.x_alignment), key);
  set(made, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, static_cast<std::uint32_t>(key.out_alignment), key);
  set(made, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, static_cast<std::uint32_t>(key.out_alignment), key);
  if (config.batch_invariant)
    set(made, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, static_cast<std::uint32_t>(CUBLASLT_REDUCTION_SCHEME_NONE),
        key);

  constexpr int kAsked = 8;
  cublasLtMatmulHeuristicResult_t results[kAsked] = {};
  int found = 0;
  ++heuristics;
  set_rows(shape, rows);
  check_cublas(cublasLtMatmulAlgoGetHeuristic(library.get(), operation.get(), shape.weight.get(), shape.x.get(),
                                              shape.out.get(), shape.out.get(), made, kAsked, results, &found),
               "cublasLtMatmulAlgoGetHeuristic", key.n, rows, key.k, key.dtype);
  set_rows(shape, least_rows);
  for (int i = 0; i < found; ++i) {
    if (results[i].state != CUBLAS_STATUS_SUCCESS) continue;
    if (config.batch_invariant) {
      std::int32_t parts = 0;
      std::size_t written = 0;
      check_cublas(cublasLtMatmulAlgoConfigGetAttribute(&results[i].algo, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &parts,
                                                        sizeof(parts), &written),
                   "cublasLtMatmulAlgoConfigGetAttribute", key.n, rows, key.k, key.dtype);
      if (parts > 1) continue;
    }
    cublasLtMatmulHeuristicResult_t least = {};
    if (least_rows == rows ||
        (cublasLtMatmulAlgoCheck(library.get(), operation.get(), shape.weight.get(), shape.x.get(), shape.out.get(),
                                 shape.out.get(), &results[i].algo, &least) == CUBLAS_STATUS_SUCCESS &&
         least.workspaceSize <= config.workspace_bytes))
      return results[i].algo;
  }
  throw DeviceError(cat("products: cublasLt names no algorithm for n ", key.n, " k ", key.k, ' ', name(key.dtype),
                        " and ", least_rows, " to ", rows, " rows with ", config.workspace_bytes,
                        " bytes of workspace"));
}

const cublasLtMatmulAlgo_t& Products::State::algorithm(Prepared& shape, std::int64_t rows) {
  const auto bucket =
      config.batch_invariant ? 0 : static_cast<std::size_t>(std::bit_width(static_cast<std::uint64_t>(rows - 1)));
  if (bucket >= shape.algorithms.size()) shape.algorithms.resize(bucket + 1);
  auto& chosen = shape.algorithms[bucket];
  if (!chosen) {
    const std::int64_t most = config.batch_invariant ? kTileRows : std::int64_t{1} << bucket;
    const std::int64_t least = config.batch_invariant || bucket == 0 ? most : most / 2 + 1;
    chosen = choose(shape, least, most);
  }
  return *chosen;
}

void Products::State::run(Prepared& shape, const void* x, const void* weight, void* out, std::int64_t rows) {
  const cublasLtMatmulAlgo_t& chosen = algorithm(shape, rows);
  set_rows(shape, rows);
  const float one = 1.0f, zero = 0.0f;
  last_log.clear();
  check_cublas(cublasLtMatmul(library.get(), operation.get(), &one, weight, shape.weight.get(), x, shape.x.get(), &zero,
                              out, shape.out.get(), out, shape.out.get(), &chosen, config.workspace,
                              config.workspace_bytes, config.stream),
               "cublasLtMatmul", shape.key.n, rows, shape.key.k, shape.key.dtype);
}

/// @param key of rows side by side. What lies otherwise, and the last rows, go through scratch that lies so: one layout
/// for every call.
void Products::State::run_in_tiles(Prepared& shape, const MatrixView& x, const void* weight, const MatrixView& out) {
  const Key& key = shape.key;
  const std::int64_t x_row = x.stride * static_cast<std::int64_t>(size_of(key.dtype)),
                     out_row = out.stride * std::int64_t{sizeof(float)};
  const std::int64_t k_bytes = key.k * static_cast<std::int64_t>(size_of(key.dtype)),
                     n_bytes = key.n * std::int64_t{sizeof(float)};
  const bool x_in_place = x.stride == key.k && alignment_of(x.data, x_row) == key.x_alignment;
  const bool out_in_place = out.stride == key.n && alignment_of(out.data, out_row) == key.out_alignment;
  std::byte* const tile_x = config.tile;
  std::byte* const tile_out = config.tile + rounded_up(static_cast<std::size_t>(kTileRows * k_bytes));
  for (std::int64_t row = 0; row < x.rows; row += kTileRows) {
    const std::int64_t rows = std::min(kTileRows, x.rows - row);
    const std::byte* from = static_cast<const std::byte*>(x.data) + row * x_row;
    std::byte* to = static_cast<std::byte*>(out.data) + row * out_row;
    const bool whole = rows == kTileRows, copy_x = !whole || !x_in_place, copy_out = !whole || !out_in_place;
    if (copy_x) copy_rows(tile_x, k_bytes, from, x_row, k_bytes, rows, config.stream);
    run(shape, copy_x ? tile_x : from, weight, copy_out ? tile_out : to, kTileRows);
    if (copy_out) copy_rows(to, out_row, tile_out, n_bytes, n_bytes, rows, config.stream);
  }
}

std::size_t Products::tile_bytes(const ProductShape& shape) {
  return rounded_up(static_cast<std::size_t>(kTileRows * shape.k) * size_of(shape.dtype)) +
         rounded_up(static_cast<std::size_t>(kTileRows * shape.n) * sizeof(float));
}

Products::Products(const ProductsConfig& config) : state_(std::make_unique<State>()) {
  state_->config = config;
  cublasLtLoggerSetCallback(keep_log);
  cublasLtLoggerSetLevel(1);  // errors only
  cublasLtHandle_t library = nullptr;
  check_cublas(cublasLtCreate(&library), "cublasLtCreate", 0, 0, 0, DType::kF32);
  state_->library.reset(library);
  cublasLtMatmulDesc_t operation = nullptr;
  // CUBLAS_COMPUTE_32F multiplies f32 in f32; TF32 is a compute type of its own.
  check_cublas(cublasLtMatmulDescCreate(&operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "cublasLtMatmulDescCreate", 0, 0,
               0, DType::kF32);
  state_->operation.reset(operation);
  const cublasOperation_t transposed = CUBLAS_OP_T;
  check_cublas(cublasLtMatmulDescSetAttribute(operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed, sizeof(transposed)),
               "cublasLtMatmulDescSetAttribute", 0, 0, 0, DType::kF32);
  if (config.batch_invariant &&
      config.tile_bytes > 0)  // the rows that a partial tile leaves over are read, though never used
    check_cuda(cudaMemsetAsync(config.tile, 0, config.tile_bytes, config.stream),
               "cudaMemsetAsync of the tile scratch");
}

Products::~Products() = default;

void Products::prepare(const ProductShape& shape, std::int64_t rows) {
  const bool dense = state_->config.batch_invariant;
  Prepared& prepared = state_->find_or_add(
      key_of(shape.n, shape.k, shape.dtype, dense || shape.x_stride == 0 ? shape.k : shape.x_stride,
             dense || shape.out_stride == 0 ? shape.n : shape.out_stride, nullptr, nullptr, nullptr));
  for (std::int64_t count = 1; count < 2 * rows; count *= 2) state_->algorithm(prepared, count);
}

void Products::multiply(const MatrixView& x, const void* weight, const MatrixView& out) {
  KVGAUGE_CHECK(x.dtype == DType::kF32 || x.dtype == DType::kBF16, "x is ", name(x.dtype));
  KVGAUGE_CHECK(out.dtype == DType::kF32 && out.rows >= x.rows && x.stride >= x.columns && out.stride >= out.columns,
                "x is [", x.rows, ",", x.columns, "] with stride ", x.stride, ", out ", name(out.dtype), '[', out.rows,
                ',', out.columns, "] with stride ", out.stride);
  if (x.rows == 0) return;
  if (state_->config.batch_invariant) {
    state_->run_in_tiles(
        state_->find_or_add(key_of(out.columns, x.columns, x.dtype, x.columns, out.columns, nullptr, weight, nullptr)),
        x, weight, out);
  } else {
    state_->run(
        state_->find_or_add(key_of(out.columns, x.columns, x.dtype, x.stride, out.stride, x.data, weight, out.data)),
        x.data, weight, out.data, x.rows);
  }
}

std::int64_t Products::heuristics_asked() const { return state_->heuristics; }

}  // namespace kvgauge::cuda
