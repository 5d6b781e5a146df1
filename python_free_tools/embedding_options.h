#pragma once
#include <CLI/App.hpp>
#include <string>

#include "core/json.h"
#include "kvgauge/embedding.h"

namespace kvgauge::cli {

/// How an embedding is made: of every verb that makes one.
struct EmbeddingOptions {
  std::string part = "kv", layers = "last4", across_layers = "mean", positions = "mean", heads = "mean";
  bool normalize = false;
};

/// @param prefix of the flags: "--", or "--embed-" where they stand beside the flags of scores
void add_embedding_options(CLI::App& app, EmbeddingOptions& options, const std::string& prefix);

/// The first option that is not at its default, by its name without prefix; empty if there is none.
std::string first_given(const EmbeddingOptions& options);

/// Checks what can be checked without a model. @throws UsageError naming the flag
void check_embedding(const EmbeddingOptions& options, const std::string& prefix);

/// @throws UsageError for layers that the model does not have
EmbeddingSpec embedding_spec(const EmbeddingOptions& options, const std::string& prefix, std::int64_t model_layers);

void put_settings(OrderedJson& to, const EmbeddingOptions& options, const std::string& prefix);

}  // namespace kvgauge::cli
