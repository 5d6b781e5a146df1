#pragma once
#include <charconv>
#include <optional>
#include <string_view>

namespace kvgauge {

/// N of a device named "cuda" (0) or "cuda:N"; nothing for any other name.
inline std::optional<int> cuda_index(std::string_view device) {
  if (device == "cuda") return 0;
  constexpr std::string_view kPrefix = "cuda:";
  if (!device.starts_with(kPrefix)) return std::nullopt;
  int index = -1;
  const char* const end = device.data() + device.size();
  const auto [rest, error] = std::from_chars(device.data() + kPrefix.size(), end, index);
  if (error != std::errc() || rest != end || index < 0) return std::nullopt;
  return index;
}

}  // namespace kvgauge
