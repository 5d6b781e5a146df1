#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "difficulty/label_rule.h"
#include "kvgauge/engine.h"
#include "report/label_row.h"

namespace kvgauge::cli {

/// Rows of a labels file; all of one model and one template set.
struct Labels {
  std::string file, sha256, model, template_set;
  std::vector<LabelRow> rows;
  std::int64_t failed = 0;  ///< rows with an error, left out
};
/// @param limit rows that are read; 0: all
/// @throws InputError, FormatError naming the line
Labels read_labels(const std::string& path, std::int64_t limit);

/// Which windows of a question are examples.
struct ExamplePlan {
  WindowSpec window = {};
  bool prompts = true;       ///< the end of the prompt, with the question's label
  bool checkpoints = false;  ///< each checkpoint of the first slow generation
  bool raw = false;          ///< the end of the bare question too, without a chat template
  CheckpointRule checkpoint_rule = {};
};

enum class ExampleKind : std::uint8_t { kPrompt, kCheckpoint, kRaw };

/// Examples: one feature vector each.
struct Examples {
  std::int64_t columns = 0;
  std::vector<float> features;           ///< [examples, columns]
  std::vector<float> labels;             ///< [examples]
  std::vector<std::uint64_t> questions;  ///< [examples], what they are split by
  std::vector<ExampleKind> kinds;        ///< [examples]
  std::int64_t tokens = 0;               ///< positions that were computed for them
  std::int64_t size() const { return static_cast<std::int64_t>(labels.size()); }
};

/// Reads the windows off the cache: prompts are computed and slow generations teacher-forced, nothing is generated.
/// @param progress called with the rows done and the tokens computed; false: stop
/// @return what there is so far if progress said so. @throws InputError for a row the model cannot compute
Examples collect_examples(Engine& engine, const Labels& labels, const ExamplePlan& plan,
                          const std::function<bool(std::int64_t rows, std::int64_t tokens)>& progress);

}  // namespace kvgauge::cli
