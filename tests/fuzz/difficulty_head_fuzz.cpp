#include <cstddef>
#include <cstdint>
#include <span>

#include "control/difficulty_head.h"
#include "core/check.h"
#include "kvgauge/error.h"

// Any bytes as a difficulty head: one whose arrays have the lengths that its window says, or an error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const auto head = kvgauge::parse_difficulty_head(std::as_bytes(std::span(data, size)), "fuzz");
    const auto features = static_cast<std::size_t>(head.features()), hidden = static_cast<std::size_t>(head.hidden);
    KVGAUGE_CHECK(features > 0 && hidden > 0 && !head.window.layers.empty());
    KVGAUGE_CHECK(head.window.layers.front() >= 0 && head.window.layers.back() < head.model_layers);
    KVGAUGE_CHECK(head.w1.size() == hidden * features && head.b1.size() == hidden && head.w2.size() == hidden &&
                  head.b2.size() == 1);
    KVGAUGE_CHECK(head.mean.size() == head.deviation.size() && (head.mean.empty() || head.mean.size() == features));
    for (const float deviation : head.deviation) KVGAUGE_CHECK(deviation > 0);
  } catch (const kvgauge::Error&) {
  }
  return 0;
}
