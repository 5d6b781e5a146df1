#pragma once
// A product asked of the emulated cuBLASLt, without the handles: what is refused, which algorithms there are, and its
// execution.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cublasLt.h"

namespace kvgauge::cuda::emulator::blas {

struct Layout {
  cudaDataType type;
  std::int64_t rows, columns, ld;
  std::int32_t order = CUBLASLT_ORDER_COL;

  std::int64_t lines() const { return order == CUBLASLT_ORDER_COL ? columns : rows; }
  std::int64_t line_length() const { return order == CUBLASLT_ORDER_COL ? rows : columns; }
  std::int64_t elements() const { return (lines() - 1) * ld + line_length(); }
  std::int64_t at(std::int64_t row, std::int64_t column) const {
    return order == CUBLASLT_ORDER_COL ? column * ld + row : row * ld + column;
  }
};

struct Operation {
  std::int32_t compute, scale, pointer_mode = CUBLASLT_POINTER_MODE_HOST;
  std::int32_t transposed[3] = {};  // cublasOperation_t of A, B, C
};

struct Preference {
  std::uint64_t workspace_bytes = 0;
  std::uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_MASK;
  std::uint32_t alignment[4] = {256, 256, 256, 256};  // of A, B, C, D in bytes
};

enum class Kernel : std::uint32_t { kSequence, kLanes };

/// Lies in cublasLtMatmulAlgo_t.
struct Algorithm {
  std::uint32_t magic;
  Kernel kernel;
  std::int32_t parts;  // of K
  std::uint32_t alignment[4];
  std::uint8_t types[4], transposed[2];  // of A, B, C, D; of A, B
  std::uint16_t compute;
  std::uint32_t m, n, k;  // that the heuristic was asked for
};
constexpr std::uint32_t kMagic = 0x6b766761;
static_assert(sizeof(Algorithm) <= sizeof(cublasLtMatmulAlgo_t));

/// What a call refuses, and why; thrown.
struct Refusal {
  cublasStatus_t status;
  std::string reason;
};
[[noreturn]] void refuse(std::string reason, cublasStatus_t status = CUBLAS_STATUS_INVALID_VALUE);

struct Problem {
  Operation operation;
  Layout matrices[4];  // A, B, C, D
  std::int64_t m, n, k;
};
/// Checks everything that does not need the pointers, and sets m, n and k.
void fit(Problem& problem);

std::size_t workspace_bytes(const Algorithm& algorithm, const Problem& problem);
/// In the order of the heuristic's preference.
std::vector<Algorithm> candidates(const Problem& problem, const Preference& preference);
/// The algorithm in the vendor's struct, if a heuristic returned it for such a product.
Algorithm checked(const cublasLtMatmulAlgo_t& algo, const Problem& problem);

struct Call {
  Problem problem;
  Algorithm algorithm;
  float alpha, beta;
  const void* a;
  const void* b;
  const void* c;
  void* d;
  float* workspace;

  std::size_t bytes(int i) const {
    return static_cast<std::size_t>(problem.matrices[i].elements()) * (problem.matrices[i].type == CUDA_R_32F ? 4 : 2);
  }
};

/// The matrices and the workspace in device memory: whole, aligned, apart.
void check_pointers(const Call& call, std::size_t given_workspace);
void execute(const Call& call);

}  // namespace kvgauge::cuda::emulator::blas
