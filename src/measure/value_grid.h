#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace kvgauge {

inline constexpr std::int64_t kMostGridValues = 1024;

/// Values of one axis of a grid as llama-bench writes them, in the order given and each once: a comma list of "N",
/// "first-last" (steps of 1), "first-last+step" and "first-last*factor".
///   "1,8,32"   "128-512+128" = 128,256,384,512   "1-32*2" = 1,2,4,8,16,32
/// @throws UsageError naming `flag`: what is no such list, values outside [least, most], more than kMostGridValues
std::vector<std::int64_t> parse_grid(std::string_view flag, std::string_view text, std::int64_t least,
                                     std::int64_t most);

}  // namespace kvgauge
