#pragma once
#include "cuda/stream_handle.h"
#include "ops/layer_states.h"

namespace kvgauge::cuda {

/// @param args `items` is looked at for its size only
/// @param items device memory
void launch_layer_states(const LayerStatesArgs& args, const LayerStatesItem* items, StreamHandle stream);

/// out[2 i], out[2 i + 1] = distance and angle between the means of states i and i + 1, in double; the last pair is
/// between the first state and the last.
/// @param out device memory [2 * states]
void launch_layer_steps(const LayerSums& sums, double* out, StreamHandle stream);

}  // namespace kvgauge::cuda
