#pragma once
#include <algorithm>

#include "core/check.h"
#include "kvgauge/scores.h"
#include "ops/args.h"

namespace kvgauge {

/// Tokens of a tile of the vocabulary.
inline constexpr std::int64_t kVocabTile = 16'384;

/// The view of each row's distribution for one chosen token (METHOD.md C), in one pass over the vocabulary plus its
/// maximum. Sums over the vocabulary are in double with a fixed order. Entries of -infinity have probability 0 and do
/// not count as finite. A row with NaN or +infinity, or no finite entry, gives NaN everywhere.
///
/// A vocabulary may come in tiles, so that logits nobody samples from never stand in memory as a whole: one call for each
/// tile, ascending, with the same lists; tiles are kVocabTile wide but for the last, whose call gives `out`. Tiles and
/// whole rows give the same bits for the same logits.
struct LogitsStatsArgs {
  MatrixView logits;                     ///< f32 [rows, tokens first_token ... of the vocabulary]
  std::int64_t first_token = 0;          ///< multiple of kVocabTile
  std::int64_t vocab = 0;                ///< all tokens; 0: logits.columns are all
  std::span<const std::int32_t> rows;    ///< which rows of logits; one output each (a row may be named twice)
  std::span<const std::int32_t> chosen;  ///< token of each
  std::span<const std::int32_t> draws = {};  ///< empty, or of each: index of the request of the last sample() whose token is
                                         ///< meant instead (it may not have reached the host yet), -1 = `chosen`. A
                                         ///< draw that failed gives NaN everywhere
  std::span<TokenLogitStats> out;        ///< on the host; there after Backend::wait()

  std::int64_t all_tokens() const { return vocab == 0 ? logits.columns : vocab; }
  bool is_last_tile() const { return first_token + logits.columns == all_tokens(); }
};

/// What every back end requires of its caller, but for the tokens that draws name.
inline void check_logits_stats(const LogitsStatsArgs& args) {
  const std::int64_t vocab = args.all_tokens();
  KVGAUGE_CHECK(args.logits.dtype == DType::kF32 && args.logits.columns > 0, "logits are ", name(args.logits.dtype), " of ",
                args.logits.columns, " columns");
  const bool whole = args.first_token == 0 && args.is_last_tile();
  KVGAUGE_CHECK(args.first_token >= 0 && args.first_token % kVocabTile == 0 &&
                    (whole || args.logits.columns == std::min(kVocabTile, vocab - args.first_token)),
                "a tile [", args.first_token, ", ", args.first_token + args.logits.columns, ") of ", vocab, " tokens");
  KVGAUGE_CHECK(args.rows.size() == args.chosen.size() && args.rows.size() == args.out.size() &&
                    (args.draws.empty() || args.draws.size() == args.rows.size()),
                args.rows.size(), " rows, ", args.chosen.size(), " chosen, ", args.draws.size(), " draws, ", args.out.size(),
                " out");
  for (std::size_t i = 0; i < args.rows.size(); ++i) {
    KVGAUGE_CHECK(args.rows[i] >= 0 && args.rows[i] < args.logits.rows, "row ", args.rows[i], " of ", args.logits.rows);
    const bool drawn = !args.draws.empty() && args.draws[i] >= 0;
    KVGAUGE_CHECK(drawn || (args.chosen[i] >= 0 && args.chosen[i] < vocab), "token ", args.chosen[i], " of ", vocab);
  }
}

}  // namespace kvgauge
