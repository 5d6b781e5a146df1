#pragma once
#include "core/check.h"
#include "kvgauge/scores.h"
#include "ops/args.h"

namespace kvgauge {

/// The new tokens of one sequence whose hidden states are added: consecutive rows, consecutive positions.
struct LayerStatesItem {
  std::int64_t first_row = 0;
  std::int64_t rows = 0;   ///< 0: nothing to do
  double* sums = nullptr;  ///< device memory [states, columns] of this sequence; no two items share it
};

/// Running sums of one layer's hidden states over the tokens of each sequence, for hidden-state CoE (METHOD.md B):
///   sums[state, c] += states[r, c] for every row r of the item, one after another, in double
/// so any split of the tokens into calls gives the same bits. NaN propagates.
struct LayerStatesArgs {
  MatrixView states;       ///< f32 [rows, columns]
  std::int64_t state = 0;  ///< which of a sequence's states they are: 0 the embeddings, l the output of block l
  std::span<const LayerStatesItem> items;
};

/// The sums of all layers of one sequence, as layer_states() left them.
struct LayerSums {
  const double* sums = nullptr;  ///< device memory [states, columns]: state 0 .. L, each of `positions` tokens
  const double* more = nullptr;  ///< the same of further tokens, added to `sums` before the means are taken; or nullptr
  std::int64_t states = 0, columns = 0;
  std::int64_t positions = 0;
};

/// What every back end requires of its caller.
inline void check_layer_states(const LayerStatesArgs& args) {
  KVGAUGE_CHECK(args.states.dtype == DType::kF32 && args.states.columns > 0 && args.state >= 0, "state ", args.state, " is ",
                name(args.states.dtype), " of ", args.states.columns, " columns");
  for (const LayerStatesItem& item : args.items)
    KVGAUGE_CHECK(item.first_row >= 0 && item.rows >= 0 && item.first_row + item.rows <= args.states.rows, "rows [",
                  item.first_row, ", ", item.first_row + item.rows, ") of ", args.states.rows);
}
inline void check_layer_sums(const LayerSums& sums) {
  KVGAUGE_CHECK(sums.states > 0 && sums.columns > 0 && sums.positions > 0, sums.states, " states of ", sums.columns,
                " columns, ", sums.positions, " positions");
}

}  // namespace kvgauge
