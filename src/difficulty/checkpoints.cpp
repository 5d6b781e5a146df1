#include "difficulty/checkpoints.h"

#include <algorithm>

namespace kvgauge {

std::vector<std::int64_t> checkpoint_places(std::span<const std::int32_t> tokens, std::span<const std::int32_t> end,
                                            const CheckpointPlan& plan,
                                            const std::function<bool(std::int32_t)>& ends_line) {
  if (tokens.empty()) return {};
  const auto close = std::search(tokens.begin(), tokens.end(), end.begin(), end.end());
  const bool closes = !end.empty() && close != tokens.end();
  // An unclosed generation ends with a token that is never followed by another: behind it nothing is closed.
  const std::int64_t last = closes ? close - tokens.begin() : std::ssize(tokens) - 1;
  std::vector<std::int64_t> places;
  for (std::int64_t at = 1; at <= last; ++at)
    if ((plan.interval > 0 && at % plan.interval == 0) ||
        (plan.lines && ends_line(tokens[static_cast<std::size_t>(at - 1)])))
      places.push_back(at);
  const auto count = std::ssize(places);
  if (plan.most == 0 || count <= plan.most) return places;
  std::vector<std::int64_t> spread;
  for (std::int64_t i = 0; i < plan.most; ++i)
    spread.push_back(places[static_cast<std::size_t>((2 * i + 1) * count / (2 * plan.most))]);
  return spread;
}

}  // namespace kvgauge
