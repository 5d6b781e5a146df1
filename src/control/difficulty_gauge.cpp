#include "control/difficulty_gauge.h"

#include <algorithm>

#include "core/check.h"
#include "gauge/window_pooler.h"

namespace kvgauge {
namespace {

constexpr std::size_t kAlignment = 64;

}  // namespace

DifficultyGauge::DifficultyGauge(Backend& backend, const DifficultyHead& head)
    : backend_(backend), window_(head.window) {
  const auto features = static_cast<std::size_t>(head.features()), hidden = static_cast<std::size_t>(head.hidden);
  KVGAUGE_CHECK(head.w1.size() == hidden * features && head.b1.size() == hidden && head.w2.size() == hidden &&
                    head.b2.size() == 1 && head.mean.size() == head.deviation.size() &&
                    (head.mean.empty() || head.mean.size() == features),
                "a head of ", hidden, " x ", features, " with ", head.w1.size(), " weights");
  std::vector<float> image;
  const auto place = [&](const std::vector<float>& values) {
    const std::size_t at = image.size();
    image.insert(image.end(), values.begin(), values.end());
    image.resize((image.size() * sizeof(float) + kAlignment - 1) / kAlignment * kAlignment / sizeof(float));
    return at;
  };
  const std::size_t w1 = place(head.w1), b1 = place(head.b1), w2 = place(head.w2), b2 = place(head.b2);
  const std::size_t mean = place(head.mean), deviation = place(head.deviation);
  const std::size_t bytes = image.size() * sizeof(float);
  memory_ = backend.allocate(bytes);
  backend.upload(memory_->data(), image.data(), bytes);
  const auto* const base = reinterpret_cast<const float*>(memory_->data());
  head_ = {.w1 = base + w1, .b1 = base + b1, .w2 = base + w2, .b2 = base + b2, .hidden = head.hidden};
  if (!head.mean.empty()) {
    head_.mean = base + mean;
    head_.deviation = base + deviation;
  }
}

void DifficultyGauge::look(const PagedKvView& pages, std::span<const PoolItem> items, std::span<float> out) const {
  if (items.empty()) return;
  backend_.kv_pool(
      {.pages = pages, .spec = pool_spec(window_), .items = items, .features = {}, .head = head_, .out = out});
}

}  // namespace kvgauge
