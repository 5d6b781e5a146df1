#pragma once
#include "cuda/stream_handle.h"
#include "ops/kv_pool.h"

namespace kvgauge::cuda {

/// The lists of KvPoolArgs in device memory.
struct PoolTable {
  const PoolItem* items = nullptr;  ///< with their block tables in device memory
  std::int64_t count = 0;
  const std::int32_t* layers = nullptr;  ///< ascending; nullptr: all
  std::int64_t layer_count = 0;          ///< always given
};

/// @param args `items` and spec.layers are not read; the base arrays of `pages` are in device memory
/// @param out device memory, one for each item; read by no one without a head
/// @throws DeviceError "kv_pool: ..." if features and hidden units do not fit into a block's shared memory
void launch_kv_pool(const KvPoolArgs& args, const PoolTable& table, float* out, StreamHandle stream);

}  // namespace kvgauge::cuda
