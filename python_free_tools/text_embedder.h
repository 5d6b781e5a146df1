#pragma once
#include <cstdint>
#include <map>
#include <vector>

#include "interruption.h"
#include "kvgauge/engine.h"
#include "labelled_rows.h"
#include "report/progress.h"
#include "requests.h"

namespace kvgauge::cli {

/// Texts of labelled rows through the engine, many at a time.
class TextEmbedder {
 public:
  struct Options {
    std::int64_t longest = 0;  ///< tokens; texts are cut to it
    std::int64_t window = 0;   ///< texts under way at once
    std::int64_t total = 0;    ///< texts that will be embedded, for the progress
    bool progress = true;
  };
  TextEmbedder(Engine& engine, const EmbeddingSpec& spec, const Options& options);

  /// Fills in rows.embeddings at `wanted`; the others stay zero. @return false if a signal ended it
  /// @throws FormatError naming the line of a text that cannot be embedded
  bool embed(LabelledRows& rows, const std::vector<std::int32_t>& wanted);
  std::int64_t truncated() const { return truncated_; }
  void clear_progress() { progress_.clear(); }

 private:
  std::int64_t submit(const LabelledRows& rows, std::int32_t index);
  void take(const LabelledRows& rows, std::int32_t index, const Finished& finished, EmbeddingMatrix& matrix);

  Engine& engine_;
  Options options_;
  RequestMaker maker_;
  std::int64_t done_ = 0, truncated_ = 0;
  Progress progress_;
  GracefulInterruption interruption_;
};

}  // namespace kvgauge::cli
