#pragma once
#include "ops/args.h"

namespace kvgauge {

/// Copies whole blocks, all layers, K and V: target[i] = source[i]. Sources and targets are disjoint sets.
struct CopyPagesArgs {
  PagedKvView pages;
  std::span<const std::int32_t> source, target;
};

}  // namespace kvgauge
