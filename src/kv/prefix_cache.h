#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kv/page_pool.h"

namespace kvgauge {

/// Finds full blocks by what they hold. A block's key chains its parent's: key_i = H(key_{i-1}, 32 tokens of block i),
/// 128 bits; the stored tokens and the parent are compared as well, so a hit is always the same prefix, even if keys
/// collide. The cache holds one reference on each of its blocks; least recently used leaves go first when the pool runs
/// dry (time is a count of calls, so the choice depends on the order of calls only). A block that a sequence also holds
/// is never freed. Memory is bounded by the pool's size and allocated at construction.
class PrefixCache {
 public:
  /// @param enabled false: every call does nothing, and nothing is allocated
  PrefixCache(PagePool& pool, bool enabled);
  ~PrefixCache();
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  /// Longest run of cached full blocks for the beginning of `tokens`, at most `max_blocks`. Each returned block gains a
  /// reference for the caller; marks them as used now. Appends to `blocks`.
  void match(std::span<const std::int32_t> tokens, std::int64_t max_blocks, std::vector<std::int32_t>& blocks);
  /// Offers full blocks [first, count) of a sequence whose first `count * 32` tokens are computed. Blocks whose key is
  /// already known are left alone. Blocks before `first` are offered again if the cache has dropped them meanwhile.
  void insert(std::span<const std::int32_t> tokens, std::span<const std::int32_t> blocks, std::int64_t first,
              std::int64_t count);
  /// Marks those of `blocks` that are cached as used now: what an ending sequence held was in use until this moment.
  void touch(std::span<const std::int32_t> blocks);
  /// Frees at least one block if any cached block is held by the cache alone; false if none is.
  bool evict_one();
  std::int64_t evictable() const;  ///< blocks held by the cache alone
  std::int64_t size() const;       ///< cached blocks
  void clear();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;  ///< null if disabled
};

}  // namespace kvgauge
