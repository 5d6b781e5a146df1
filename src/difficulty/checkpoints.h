#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace kvgauge {

/// Where the think block of a slow generation might be closed.
struct CheckpointPlan {
  std::int64_t interval = 0;  ///< every so many sampled tokens, as the controller looks; 0: not so
  bool lines = false;         ///< behind every line
  std::int64_t most = 0;      ///< of one generation, then spread evenly; 0: all
};

/// Places as numbers of sampled tokens before them, ascending, from 1 up to where the generation closes its block by
/// itself (the last one may be that place), or ends.
/// @param end the tokens of `</think>`
/// @param ends_line whether the text of a token has a line end
std::vector<std::int64_t> checkpoint_places(std::span<const std::int32_t> tokens, std::span<const std::int32_t> end,
                                            const CheckpointPlan& plan,
                                            const std::function<bool(std::int32_t)>& ends_line);

}  // namespace kvgauge
