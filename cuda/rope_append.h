#pragma once
#include "cuda/step_tables.h"
#include "cuda/stream_handle.h"
#include "ops/rope_append.h"

namespace kvgauge::cuda {

/// @param args its `sequences` is not read; `inverse_frequencies` and the base arrays of `pages` are in device memory
void launch_rope_append(const RopeAppendArgs& args, const SliceTable& table, StreamHandle stream);

}  // namespace kvgauge::cuda
