#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kvgauge/difficulty.h"
#include "ops/backend.h"

namespace kvgauge {

/// What kv_pool has to know of a window; the layers stay the window's.
PoolSpec pool_spec(const WindowSpec& window);
/// The window that ends before `end` of the sequence with that block table.
PoolItem window_item(const WindowSpec& window, const std::int32_t* blocks, std::int64_t end);

/// Reads windows of cached positions: the features that difficulty heads are trained on. Only they leave the device.
class WindowPooler {
 public:
  /// @param most windows of one call to the device
  WindowPooler(Backend& backend, std::int64_t most) : backend_(backend), most_(most) {}

  /// [items, window_features()] row-major, in the order of items. Waits for the device. Bits depend on the cached
  /// values and the window alone.
  std::vector<float> pool(const PagedKvView& pages, const WindowSpec& window, std::span<const PoolItem> items);

 private:
  Backend& backend_;
  std::int64_t most_;
  std::unique_ptr<DeviceMemory> memory_;  ///< f32 [most, features]
};

}  // namespace kvgauge
