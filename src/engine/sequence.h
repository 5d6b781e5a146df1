#pragma once
#include <cstdint>
#include <vector>

namespace kvgauge {

/// One sequence as the scheduler sees it: integers only.
struct Sequence {
  std::int64_t id = 0;               ///< arrival order; the smaller, the older
  std::vector<std::int32_t> tokens;  ///< all known tokens; capacity reserved to the longest it can become
  std::int64_t computed = 0;         ///< leading tokens whose KV is in the pages
  std::int64_t max_cached_prefix =
      0;  ///< leading tokens that may come from the prefix cache (the rest must be computed for their logits)
  std::vector<std::int32_t> blocks;  ///< block table; covers `computed` positions at least; capacity reserved likewise
  std::int64_t cached_tokens = 0;    ///< tokens taken from the prefix cache at (first) admission
  bool started = false;              ///< has been admitted at least once
  bool resident = false;             ///< holds pages now
  bool finished = false;
  std::int64_t preemptions = 0;
  std::int64_t registered_blocks = 0;  ///< leading full blocks already offered to the prefix cache

  std::int64_t pending() const { return static_cast<std::int64_t>(tokens.size()) - computed; }
};

}  // namespace kvgauge
