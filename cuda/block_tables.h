#pragma once
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "cuda/memory.h"
#include "cuda/update_tables.h"

namespace kvgauge::cuda {

/// Block tables of the running sequences in device memory, each kept at its place from step to step so that only
/// entries that changed are sent. A sequence is known by where its table lies on the host.
class BlockTables {
 public:
  /// @param slots tables at once, @param stride entries of each
  BlockTables(DeviceArena& arena, std::int64_t slots, std::int64_t stride);
  ~BlockTables();
  BlockTables(const BlockTables&) = delete;
  BlockTables& operator=(const BlockTables&) = delete;

  /// Tables named from here on may take the places of those not named since.
  void begin_step();
  /// Where the first `count` entries of `blocks` lie on the device once changes() are there.
  const std::int32_t* place(const std::int32_t* blocks, std::int64_t count);
  bool fits(std::int64_t count) const { return count <= stride_; }

  /// Entries that differ from the device's, to be applied before the tables are read; the caller empties the list.
  std::vector<TableEntry>& changes() { return changes_; }
  std::int32_t* device() const { return device_; }
  std::int64_t stride() const { return stride_; }

 private:
  std::int32_t take_slot(const std::int32_t* blocks);

  DeviceArena& arena_;
  const std::int64_t slots_, stride_;
  std::int32_t* device_;
  struct Slot {
    const std::int32_t* owner = nullptr;
    std::uint64_t used = 0;  ///< the step that named it last
    std::int64_t filled = 0;
  };
  std::vector<Slot> state_;
  std::vector<std::int32_t> mirror_;  ///< [slots, stride]: what the device holds
  std::unordered_map<const std::int32_t*, std::int32_t> slot_of_;
  std::vector<TableEntry> changes_;
  std::uint64_t step_ = 0;
};

}  // namespace kvgauge::cuda
