#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "kv/page_pool.h"

namespace kvgauge {

/// Finds full blocks by what they hold. A block's key chains its parent's: key_i = H(key_{i-1}, 32 tokens of block i), 128 bits, so equal
/// keys mean equal prefixes (collisions: 2^-128 each; the stored tokens are compared as well). The cache holds one reference on each of its
/// blocks; least recently used leaves go first when the pool runs dry. A block that a sequence also holds is never evicted.
class PrefixCache {
 public:
  PrefixCache(PagePool& pool, bool enabled);
  ~PrefixCache();

  /// Longest run of cached full blocks for the beginning of `tokens`, at most `max_blocks`. Each returned block gains a reference for the
  /// caller; marks them as used now. Appends to `blocks`.
  void match(std::span<const std::int32_t> tokens, std::int64_t max_blocks, std::vector<std::int32_t>& blocks);
  /// Offers full blocks [first, count) of a sequence whose first `count * 32` tokens are computed. Blocks whose key is already known are left alone.
  void insert(std::span<const std::int32_t> tokens, std::span<const std::int32_t> blocks, std::int64_t first, std::int64_t count);
  /// Frees at least one block if any cached block is held by the cache alone; false if none is.
  bool evict_one();
  std::int64_t evictable() const;  ///< blocks held by the cache alone
  std::int64_t size() const;       ///< cached blocks
  void clear();

 private:
  struct Impl;
  Impl* impl_;
};

}  // namespace kvgauge
