#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "control/difficulty_head.h"
#include "ops/backend.h"

namespace kvgauge {

/// A difficulty head on the device: window sums and the regressor, in one launch for all windows of a step.
class DifficultyGauge {
 public:
  /// Uploads the weights. @param head checked against the model (reason_to_refuse)
  DifficultyGauge(Backend& backend, const DifficultyHead& head);

  const WindowSpec& window() const { return window_; }
  /// d of each window. Only these numbers leave the device; they are in `out` after Backend::wait(). NaN propagates.
  /// @param items and out as long as one another
  void look(const PagedKvView& pages, std::span<const PoolItem> items, std::span<float> out) const;

 private:
  Backend& backend_;
  WindowSpec window_;
  std::unique_ptr<DeviceMemory> memory_;
  PoolHead head_;
};

}  // namespace kvgauge
