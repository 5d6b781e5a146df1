#pragma once
#include <cstdint>

#include "core/dtype.h"
#include "cuda/stream_handle.h"

namespace kvgauge::testing {

/// What each thread of a launch got from the helpers of cuda/device.cuh and cuda/row_access.cuh; [blocks * threads]
/// each.
struct HelperResults {
  float* block_sums = nullptr;
  float* second_block_sums = nullptr;  ///< of 2 x + 1, right behind the first, with the same scratch
  double* block_sums_double = nullptr;
  float* warp_sums = nullptr;
  float* warp_maxima = nullptr;
  std::int64_t* places = nullptr;  ///< global thread * 10000 + warp * 100 + lane
};

/// One value x a thread.
struct HelperArgs {
  const float* x = nullptr;  ///< [blocks * threads]
  HelperResults out;
};
void launch_helpers(const HelperArgs& args, int blocks, int threads, cuda::StreamHandle stream);

/// Copies a row of `columns` values with load_values and store_values, four at a time, one thread each.
struct RowCopyArgs {
  const float* from = nullptr;
  float* to = nullptr;
  bf16_t* narrow = nullptr;
  std::int64_t columns = 0;
};
/// @param whole both rows are aligned to 16 bytes (`narrow` to 8) and made of packs of 4
void launch_row_copy(const RowCopyArgs& args, bool whole, cuda::StreamHandle stream);

}  // namespace kvgauge::testing
