#pragma once
#include <cstdint>
#include <memory>
#include <vector>

#include "ops/backend.h"

namespace kvgauge {

/// Sums of the hidden states of every layer over some positions, in device memory: [states, columns] in double.
class StateSums {
 public:
  StateSums(Backend& backend, std::int64_t states, std::int64_t columns);
  double* data() const { return reinterpret_cast<double*>(memory_->data()); }
  LayerSums over(std::int64_t positions, const StateSums* more = nullptr) const;

 private:
  std::int64_t states_, columns_;
  std::unique_ptr<DeviceMemory> memory_;
};

/// What the answers of one request share: the states of the prompt's first and of its last token. The answer that
/// computes the prompt fills them.
struct PromptStates {
  std::unique_ptr<StateSums> first, last;
};

/// Trajectories over layers of one answer, METHOD.md B.3; `tokens` counts states (L + 1), 0 where there is no position.
struct LayerTrajectories {
  TrajectorySums official;  ///< {prompt token 0} and the response
  TrajectorySums fixed;     ///< {last prompt token} and the response
  TrajectorySums response;  ///< the sampled tokens that were fed back: all but the last one
};

/// Sums one answer's hidden states through the steps that compute them, whatever the chunks or forks are. Each position
/// is added once, in ascending order, when it is first computed: after a preemption the states that have been added
/// stay (they are those the answer was sampled with), and positions that are computed again are passed over. What comes
/// from the prefix cache has no hidden states, so positions that have not been seen must be computed.
class LayerStatesGauge {
 public:
  /// @param first_position positions before it are another answer's to see: 0, or prompt_tokens where the prompt's
  /// states are filled by another answer
  LayerStatesGauge(std::int64_t prompt_tokens, std::int64_t states, std::int64_t columns,
                   std::int64_t first_position = 0);

  /// Appends what is to be added of the positions [begin, begin + rows), which are the step's rows from `first_row` on.
  void advance(Backend& backend, PromptStates& prompt, std::int64_t begin, std::int64_t rows, std::int64_t first_row,
               std::vector<LayerStatesItem>& items);
  std::int64_t seen() const { return seen_; }  ///< positions [0, seen) need not be computed for this gauge

  /// Waits for the device. The prompt's states must have been seen.
  LayerTrajectories read(Backend& backend, const PromptStates& prompt) const;

 private:
  std::int64_t prompt_tokens_, states_, columns_, seen_;
  std::unique_ptr<StateSums> response_;  ///< made when the first position of the response is computed
};

}  // namespace kvgauge
