#include "cuda/block_tables.h"

#include <algorithm>

#include "core/check.h"

namespace kvgauge::cuda {

BlockTables::BlockTables(DeviceArena& arena, std::int64_t slots, std::int64_t stride)
    : arena_(arena),
      slots_(slots),
      stride_(stride),
      device_(reinterpret_cast<std::int32_t*>(
          arena.allocate(static_cast<std::size_t>(slots * stride) * sizeof(std::int32_t), "block tables"))),
      state_(static_cast<std::size_t>(slots)),
      mirror_(static_cast<std::size_t>(slots * stride)) {
  slot_of_.reserve(static_cast<std::size_t>(2 * slots));
  changes_.reserve(static_cast<std::size_t>(slots + stride));
}

BlockTables::~BlockTables() { arena_.free(reinterpret_cast<std::byte*>(device_)); }

void BlockTables::begin_step() { ++step_; }

std::int32_t BlockTables::take_slot(const std::int32_t* blocks) {
  if (const auto known = slot_of_.find(blocks); known != slot_of_.end()) return known->second;
  const auto oldest =
      std::min_element(state_.begin(), state_.end(), [](const Slot& a, const Slot& b) { return a.used < b.used; });
  KVGAUGE_CHECK(oldest->used < step_, "a step of more than ", slots_, " sequences");
  const auto slot = static_cast<std::int32_t>(oldest - state_.begin());
  if (oldest->owner != nullptr) slot_of_.erase(oldest->owner);
  slot_of_.emplace(blocks, slot);
  *oldest = {.owner = blocks, .used = step_, .filled = 0};
  return slot;
}

const std::int32_t* BlockTables::place(const std::int32_t* blocks, std::int64_t count) {
  KVGAUGE_CHECK(fits(count), "a table of ", count, " entries, reserved are ", stride_);
  const std::int32_t slot = take_slot(blocks);
  Slot& state = state_[static_cast<std::size_t>(slot)];
  state.used = step_;
  std::int32_t* const mirror = mirror_.data() + slot * stride_;
  for (std::int64_t i = 0; i < count; ++i) {
    if (i < state.filled && mirror[i] == blocks[i]) continue;
    mirror[i] = blocks[i];
    changes_.push_back({.slot = slot, .index = static_cast<std::int32_t>(i), .block = blocks[i]});
  }
  state.filled = std::max(state.filled, count);
  return device_ + slot * stride_;
}

}  // namespace kvgauge::cuda
