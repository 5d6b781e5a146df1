#pragma once
#include "kv/page_layout.h"
#include "loader/model_config.h"

namespace kvgauge {

/// Our pages for a model's cache in `dtype`.
inline PageLayout page_layout(const ModelConfig& config, DType dtype) {
  return {.dtype = dtype,
          .layers = static_cast<int>(config.layers),
          .kv_heads = static_cast<int>(config.kv_heads),
          .head_dim = static_cast<int>(config.head_dim)};
}

}  // namespace kvgauge
