#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kvgauge/embedding.h"
#include "ops/backend.h"

namespace kvgauge {

/// Pools spans of cached positions into embeddings. Only the vectors leave the device.
class EmbeddingPooler {
 public:
  explicit EmbeddingPooler(Backend& backend) : backend_(backend) {}

  /// Reserves device memory for `vectors` embeddings at once; keeps what it has if that is enough.
  void reserve(const EmbeddingSpec& spec, const PagedKvView& pages, std::int64_t vectors);

  /// One vector per item, in the order of items. Waits for the device. Bits depend on the cached values and the spec
  /// alone: not on the other items, nor on where pages lie.
  /// @param items each at least one position
  std::vector<std::vector<float>> pool(const PagedKvView& pages, const EmbeddingSpec& spec,
                                       std::span<const PoolItem> items);

 private:
  void append(const PagedKvView& pages, const EmbeddingSpec& spec, std::span<const std::int32_t> layers,
              std::vector<std::vector<float>>& vectors);

  Backend& backend_;
  std::unique_ptr<DeviceMemory> memory_;  ///< f32 [items][values of a call]
  std::vector<PoolItem> windows_;
  std::vector<float> values_;
};

}  // namespace kvgauge
