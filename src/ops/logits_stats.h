#pragma once
#include "kvgauge/scores.h"
#include "ops/args.h"

namespace kvgauge {

/// The view of each row's distribution for one chosen token (METHOD.md C), in one pass over the vocabulary plus its
/// maximum. Sums over the vocabulary are in double with a fixed order. Entries of -infinity have probability 0 and do
/// not count as finite. A row with NaN or +infinity, or no finite entry, gives NaN everywhere.
struct LogitsStatsArgs {
  MatrixView logits;                     ///< f32 [rows, vocab]
  std::span<const std::int32_t> rows;    ///< which rows of logits; one output each (a row may be named twice)
  std::span<const std::int32_t> chosen;  ///< token of each
  std::span<const std::int32_t> draws = {};  ///< empty, or of each: index of the request of the last sample() whose token is
                                         ///< meant instead (it may not have reached the host yet), -1 = `chosen`. A
                                         ///< draw that failed gives NaN everywhere
  std::span<TokenLogitStats> out;        ///< on the host; there after Backend::wait()
};

}  // namespace kvgauge
