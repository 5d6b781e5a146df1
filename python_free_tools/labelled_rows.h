#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/json.h"
#include "metrics/classification.h"

namespace kvgauge::cli {

/// Where the texts and labels of `classify` stand in a row.
struct LabelledFormat {
  std::string text_field;  ///< empty: the first of text, prompt, question, problem, en
  std::string label_field = "label";
  bool need_text = false;           ///< every row has a text, also if it has an embedding
  bool embedded_elsewhere = false;  ///< no row needs a text for its embedding's sake
  std::string label_pattern;        ///< a regular expression whose first group (or whole match) is the label; or empty
};

/// A file of texts with labels, in memory.
struct LabelledRows {
  std::string file;
  std::vector<std::string> texts, labels;  ///< texts may be left out: none, or one per label
  std::vector<std::int64_t> lines;
  EmbeddingMatrix embeddings;  ///< of the rows' `embedding` fields, if every row has one; else no rows
};

/// @throws InputError, FormatError (a row without a text or a label, naming the line), UsageError (the pattern)
LabelledRows read_labelled_rows(const std::string& path, const LabelledFormat& format);

/// Compiles a pattern and takes it away again. @throws UsageError naming --label-pattern
void check_label_pattern(const std::string& pattern);

}  // namespace kvgauge::cli
