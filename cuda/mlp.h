#pragma once
#include "cuda/stream_handle.h"
#include "ops/mlp.h"

namespace kvgauge::cuda {

/// @param rows args.rows in device memory; `args.rows` itself is read for its size only
void launch_mlp_forward(const MlpForwardArgs& args, const std::int32_t* rows, StreamHandle stream);
/// @param rows likewise, of args.forward
/// @param total device memory, instead of args.total
void launch_mlp_backward(const MlpBackwardArgs& args, const std::int32_t* rows, double* total, StreamHandle stream);
void launch_mlp_step(const MlpStepArgs& args, StreamHandle stream);
/// @param rows likewise
void launch_mlp_statistics(const MlpStatisticsArgs& args, const std::int32_t* rows, StreamHandle stream);

}  // namespace kvgauge::cuda
