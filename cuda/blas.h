#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>

#include "core/dtype.h"
#include "cuda/stream_handle.h"
#include "ops/args.h"

namespace kvgauge::cuda {

/// @param status a cublasStatus_t; @param call the function that returned it
/// @throws DeviceError "cublasLt: <call> m 96 n 8 k 64 bf16: <status name>[ (<what the library logged>)]" unless it is
/// success; m and n are the vendor's: features and rows
void check_cublas(int status, const char* call, std::int64_t m, std::int64_t n, std::int64_t k, DType dtype);

/// What a product is prepared for: x [rows, k] and weight [n, k] of `dtype`, out f32 [rows, n].
struct ProductShape {
  std::int64_t n = 0, k = 0;
  DType dtype = DType::kF32;  ///< kF32 or kBF16
  std::int64_t x_stride = 0,
               out_stride = 0;  ///< elements; 0: k and n. Batch-invariant products have one algorithm for all strides
};

struct ProductsConfig {
  StreamHandle stream = nullptr;
  std::byte* workspace =
      nullptr;  ///< device memory, 256-byte aligned: the vendor's scratch, used by one product at a time
  std::size_t workspace_bytes = 0;
  bool batch_invariant = false;
  std::byte* tile = nullptr;  ///< batch-invariant: device memory, 256-byte aligned, tile_bytes() of the largest shape
  std::size_t tile_bytes = 0;
};

/// The products of linear() through cuBLASLt: out[r, n] = sum_k x[r, k] weight[n, k], accumulated in f32, without TF32.
///
/// Algorithms are chosen by the vendor's heuristic once for every shape and power of two of rows, and kept.
///
/// Batch-invariant: every product runs as tiles of exactly kTileRows rows with the one algorithm that the heuristic
/// names for that row count among those without a reduction over parts of K. So each call of the vendor's library has
/// the same shape, leading dimensions and alignment and the same kernel whatever the batch and its strides, and inside
/// such a kernel every element is one chain of multiply-adds over K in the order that the kernel's tile prescribes;
/// neither the rows beside it nor its place in the tile take part. A last partial tile is computed in scratch (`tile`),
/// the missing rows holding leftovers, and its rows are copied out; so is a matrix with gaps between its rows. Cost: a
/// step of up to kTileRows rows reads the weight once, as without; beyond that once per tile (partly out of L2), so
/// that prefill takes a few times longer.
class Products {
 public:
  static constexpr std::int64_t kTileRows = 64;
  static constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;  ///< what the vendor recommends for sm_90

  /// Bytes of ProductsConfig::tile that a shape needs; any strides.
  static std::size_t tile_bytes(const ProductShape& shape);

  /// @throws DeviceError if the library cannot be opened
  explicit Products(const ProductsConfig& config);
  ~Products();
  Products(const Products&) = delete;
  Products& operator=(const Products&) = delete;

  /// Chooses algorithms for 1 to `rows` rows whose matrices are aligned as far as their strides allow, to 16 bytes.
  /// @throws DeviceError if the library has no algorithm, or the tile scratch is too small
  void prepare(const ProductShape& shape, std::int64_t rows);

  /// Queues the product on the stream. Allocates nothing and asks no heuristic if its shape was prepared; else it
  /// prepares it first.
  /// @param x [rows, k], f32 or bf16; @param weight device [out.columns, k] of the same type, contiguous
  /// @param out f32 [at least x.rows, n]; may not alias x
  void multiply(const MatrixView& x, const void* weight, const MatrixView& out);

  std::int64_t heuristics_asked() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kvgauge::cuda
