#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "kv/page_layout.h"
#include "kvgauge/engine.h"
#include "loader/model_files.h"
#include "model/decoder.h"
#include "overhead_modes.h"

namespace kvgauge::cli {

/// Decode steps of a static batch by the back end itself, greedy, and what other stacks do to get at a step's K, V or
/// hidden states. The engine never does any of it, so it is measured beside the same steps without it, here. The cache
/// before the first step holds zeros.
class DecodeLoop {
 public:
  /// Loads the weights once more. @param sequences,positions the most of any run
  DecodeLoop(const EngineOptions& options, std::int64_t sequences, std::int64_t positions);

  /// Seconds of `steps` steps of `batch` sequences behind `depth` positions, with what `kind` says after (or in) each
  /// one; kScores: nothing.
  double run(std::int64_t batch, std::int64_t depth, std::int64_t steps, OverheadMode::Kind kind);

 private:
  void step(std::int64_t batch, std::int64_t position, std::int64_t states_at, OverheadMode::Kind kind);
  void copy_to_host(std::int64_t batch, std::int64_t first, std::int64_t end);
  void reserve_states(std::int64_t batch, std::int64_t steps);

  ModelFiles files_;
  std::unique_ptr<Backend> backend_;
  Weights weights_;
  Decoder decoder_;
  PageLayout layout_;
  std::int64_t blocks_each_;
  std::unique_ptr<DeviceMemory> memory_;
  PageStorage pages_;
  std::vector<std::vector<std::int32_t>> tables_;  ///< blocks of each sequence
  std::vector<std::int32_t> ids_;                  ///< newest token of each
  std::vector<std::byte> host_;                    ///< where copies of K and V go
  std::unique_ptr<DeviceMemory> states_;           ///< [step, sequence, layer + 1, hidden] in double
  std::vector<LayerStatesItem> items_;
  std::vector<SequenceSlice> slices_;
  std::vector<SampleRequest> requests_;
  std::vector<std::int32_t> rows_;
};

}  // namespace kvgauge::cli
