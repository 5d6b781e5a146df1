#include "kv/page_pool.h"

#include "core/check.h"

namespace kvgauge {

PagePool::PagePool(std::int32_t blocks) {
  KVGAUGE_CHECK(blocks > 0, "page pool: ", blocks, " blocks, needs at least 1");
  references_.resize(static_cast<std::size_t>(blocks));
  cached_.resize(static_cast<std::size_t>(blocks));
  free_.reserve(static_cast<std::size_t>(blocks));
  for (std::int32_t block = blocks - 1; block >= 0; --block) free_.push_back(block);
}

std::optional<std::int32_t> PagePool::try_take() {
  if (free_.empty()) return std::nullopt;
  const std::int32_t block = free_.back();
  free_.pop_back();
  references_[static_cast<std::size_t>(block)] = 1;
  return block;
}

void PagePool::retain(std::int32_t block) {
  std::int32_t& count = references_.at(static_cast<std::size_t>(block));
  KVGAUGE_CHECK(count > 0, "page pool: block ", block, " is free, only a block in use can be shared");
  if (cached(block) && count == 1) --cached_alone_;
  ++count;
}

bool PagePool::release(std::int32_t block) {
  std::int32_t& count = references_.at(static_cast<std::size_t>(block));
  KVGAUGE_CHECK(count > 0, "page pool: block ", block, " is released more often than it was taken");
  --count;
  if (cached(block)) {
    KVGAUGE_CHECK(count > 0, "page pool: block ", block, " is freed while the prefix cache lists it");
    if (count == 1) ++cached_alone_;
  }
  if (count > 0) return false;
  free_.push_back(block);
  return true;
}

void PagePool::mark_cached(std::int32_t block, bool cached) {
  std::uint8_t& mark = cached_.at(static_cast<std::size_t>(block));
  KVGAUGE_CHECK(references(block) > 0 && (mark != 0) != cached, "page pool: block ", block, " has ", references(block),
                " references and cached mark ", int{mark});
  mark = cached ? 1 : 0;
  if (references(block) == 1) cached_alone_ += cached ? 1 : -1;
}

}  // namespace kvgauge
