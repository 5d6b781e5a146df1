#pragma once
#include <cstdint>
#include <optional>
#include <vector>

namespace kvgauge {

/// Blocks 0 .. blocks-1 with reference counts. Integers only; never touches memory of pages. Allocates at construction
/// only.
class PagePool {
 public:
  explicit PagePool(std::int32_t blocks);

  std::optional<std::int32_t> try_take();  ///< a free block with count 1; lowest cost: last released first
  void retain(std::int32_t block);         ///< count + 1; the block must be in use
  bool release(std::int32_t block);        ///< count - 1; true if it became free
  std::int32_t references(std::int32_t block) const { return references_[static_cast<std::size_t>(block)]; }
  std::int32_t free_blocks() const { return static_cast<std::int32_t>(free_.size()); }
  std::int32_t blocks() const { return static_cast<std::int32_t>(references_.size()); }

  /// The prefix cache marks the blocks that it holds one reference of, so that counting those which nobody else holds
  /// costs nothing.
  void mark_cached(std::int32_t block, bool cached);
  bool cached(std::int32_t block) const { return cached_[static_cast<std::size_t>(block)] != 0; }
  std::int32_t cached_alone() const { return cached_alone_; }  ///< marked blocks whose only reference is the cache's

 private:
  std::vector<std::int32_t> references_, free_;
  std::vector<std::uint8_t> cached_;
  std::int32_t cached_alone_ = 0;
};

}  // namespace kvgauge
