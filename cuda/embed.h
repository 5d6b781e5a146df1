#pragma once
#include "cuda/stream_handle.h"
#include "ops/embed.h"

namespace kvgauge::cuda {

/// @param ids device memory, as many as args.ids (which is looked at for its size only); the row of one outside of [0,
/// vocab) becomes NaN
void launch_embed(const EmbedArgs& args, const std::int32_t* ids, StreamHandle stream);

}  // namespace kvgauge::cuda
