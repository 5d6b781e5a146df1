#pragma once
#include <cstdint>

namespace kvgauge::cuda::emulator {

/// What tests ask of the emulated cuBLASLt beside the vendor's interface.
struct BlasCounters {
  std::int64_t heuristics = 0;    ///< cublasLtMatmulAlgoGetHeuristic, and cublasLtMatmul without an algorithm
  std::int64_t products = 0;      ///< cublasLtMatmul accepted
  std::int64_t live_objects = 0;  ///< libraries, layouts, descriptors and preferences not destroyed
};
BlasCounters blas_counters();

}  // namespace kvgauge::cuda::emulator
