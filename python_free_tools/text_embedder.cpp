#include "text_embedder.h"

#include <algorithm>

#include "core/cat.h"
#include "kvgauge/error.h"

namespace kvgauge::cli {

TextEmbedder::TextEmbedder(Engine& engine, const EmbeddingSpec& spec, const Options& options)
    : engine_(engine),
      options_(options),
      progress_(options.progress ? Progress::style(false) : Progress::Style::kNone, options.total, 0) {
  maker_.prompter = prompter_of(engine);
  maker_.embedding = spec;
}

bool TextEmbedder::embed(LabelledRows& rows, const std::vector<std::int32_t>& wanted) {
  EmbeddingMatrix matrix;
  std::map<std::int64_t, std::int32_t> row_of;  // request -> row
  for (std::size_t next = 0; next < wanted.size() || !row_of.empty();) {
    for (; next < wanted.size() && std::ssize(row_of) < options_.window; ++next)
      row_of.emplace(submit(rows, wanted[next]), wanted[next]);
    engine_.step();
    while (const auto finished = engine_.next_finished()) {
      const auto at = row_of.find(finished->request);
      take(rows, at->second, *finished, matrix);
      row_of.erase(at);
    }
    progress_.update(done_, engine_.stats().prefill_tokens);
    if (interruption_.requested()) return false;
  }
  rows.embeddings = std::move(matrix);
  return true;
}

std::int64_t TextEmbedder::submit(const LabelledRows& rows, std::int32_t index) {
  InputRow row;
  row.plain = true;
  row.prompt = rows.texts[static_cast<std::size_t>(index)];
  Request request = maker_.embed(row, options_.longest);
  truncated_ += row.text_tokens > std::ssize(request.prompt) ? 1 : 0;
  return engine_.submit(std::move(request));
}

void TextEmbedder::take(const LabelledRows& rows, std::int32_t index, const Finished& finished,
                        EmbeddingMatrix& matrix) {
  const auto at = static_cast<std::size_t>(index);
  if (!finished.error.empty()) throw FormatError(cat(rows.file, ":", rows.lines[at], ": ", finished.error));
  const std::vector<float>& vector = finished.answers.at(0).embedding;
  if (matrix.values == 0) {
    matrix.values = std::ssize(vector);
    matrix.data.resize(rows.labels.size() * vector.size());
  }
  std::copy(vector.begin(), vector.end(), matrix.data.begin() + index * matrix.values);
  ++done_;
}

}  // namespace kvgauge::cli
