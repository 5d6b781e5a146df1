#include "overhead_modes.h"

#include <algorithm>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/embedding.h"
#include "kvgauge/error.h"
#include "loader/model_files.h"
#include "option_values.h"

namespace kvgauge::cli {
namespace {

using Kind = OverheadMode::Kind;

constexpr std::pair<const char*, Kind> kAlternatives[] = {{"second-pass", Kind::kSecondPass},
                                                          {"copy-kv", Kind::kCopyKv},
                                                          {"copy-new-kv", Kind::kCopyNewKv},
                                                          {"store-hidden", Kind::kStoreHidden}};

}  // namespace

OverheadMode overhead_mode(std::string_view text) {
  OverheadMode mode;
  const std::vector<std::string> groups = split_list(text);
  for (const std::string& group : groups) {
    const auto* const alternative = std::find_if(std::begin(kAlternatives), std::end(kAlternatives),
                                                 [&](const auto& known) { return group == known.first; });
    if (group == "kv-coe")
      mode.spec.kv_coe = true;
    else if (group == "prob")
      mode.spec.prob = true;
    else if (group == "coe")
      mode.spec.coe = true;
    else if (group == "difficulty")
      mode.difficulty = true;
    else if (alternative == std::end(kAlternatives))
      throw UsageError(cat("--scores: found '", printable(group),
                           "', a list of kv-coe, prob, coe, difficulty, or one of second-pass, copy-kv, copy-new-kv, "
                           "store-hidden was needed"));
    else if (groups.size() > 1)
      throw UsageError(cat("--scores: '", group, "' is measured by itself; separate it by a semicolon"));
    else
      mode.kind = alternative->second;
  }
  if (groups.empty()) throw UsageError(cat("--scores: found '", printable(text), "', score groups were needed"));
  mode.name = join(groups, ",");
  return mode;
}

std::vector<OverheadMode> overhead_modes(const std::vector<std::string>& texts) {
  std::vector<OverheadMode> modes;
  for (const std::string& text : texts)
    for (std::size_t at = 0; at <= text.size();) {
      const std::size_t end = std::min(text.find(';', at), text.size());
      OverheadMode mode = overhead_mode(std::string_view(text).substr(at, end - at));
      if (std::none_of(modes.begin(), modes.end(), [&](const OverheadMode& known) { return known.name == mode.name; }))
        modes.push_back(std::move(mode));
      at = end + 1;
    }
  return modes;
}

DifficultyHead untrained_head(const Engine& engine, std::int64_t positions, std::int64_t layers) {
  const ModelConfig& config = engine.config();
  DifficultyHead head;
  head.window.positions = positions;
  head.window.layers = last_layers(layers, config.layers);
  pin_to_model(head, config, engine.files().content_hash());
  const auto features = static_cast<std::size_t>(head.features()), hidden = static_cast<std::size_t>(head.hidden);
  head.w1.assign(hidden * features, 0.01f);
  head.b1.assign(hidden, 0.1f);
  head.w2.assign(hidden, 0.01f);
  head.b2 = {50};
  head.mean.assign(features, 0.0f);
  head.deviation.assign(features, 1.0f);
  return head;
}

}  // namespace kvgauge::cli
