#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "control/difficulty_head.h"
#include "kvgauge/engine.h"
#include "kvgauge/request.h"

namespace kvgauge::cli {

/// What is switched on in one half of each pair.
struct OverheadMode {
  enum class Kind : std::uint8_t {
    kScores,       ///< gauges of the engine: groups of --scores and the difficulty head
    kSecondPass,   ///< the finished answer is scored by itself, as other engines' users have to
    kCopyKv,       ///< after each step all of K and V goes to the host, as an engine's state API hands it out
    kCopyNewKv,    ///< after each step K and V of the new token do
    kStoreHidden,  ///< each step leaves the states of all layers of the new token in memory
  };
  std::string name;
  Kind kind = Kind::kScores;
  ScoreSpec spec = {};
  bool difficulty = false;
};

/// "kv-coe" or "kv-coe,prob,difficulty", or an alternative: second-pass, copy-kv, copy-new-kv, store-hidden.
/// @throws UsageError naming --scores
OverheadMode overhead_mode(std::string_view text);
/// Semicolons separate modes; each once. @throws UsageError
std::vector<OverheadMode> overhead_modes(const std::vector<std::string>& texts);

/// A head of the usual size made of constants: what it says means nothing, what it costs is what a trained one costs.
DifficultyHead untrained_head(const Engine& engine, std::int64_t positions, std::int64_t layers);

}  // namespace kvgauge::cli
