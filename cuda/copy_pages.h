#pragma once
#include "cuda/stream_handle.h"
#include "ops/copy_pages.h"

namespace kvgauge::cuda {

/// @param args its spans are looked at for their size only; the base arrays of `pages` are in device memory
/// @param source, target device memory
void launch_copy_pages(const CopyPagesArgs& args, const std::int32_t* source, const std::int32_t* target,
                       StreamHandle stream);

}  // namespace kvgauge::cuda
