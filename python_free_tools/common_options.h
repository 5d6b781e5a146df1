#pragma once
#include <CLI/App.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/json.h"
#include "embedding_options.h"
#include "kvgauge/engine.h"
#include "kvgauge/request.h"
#include "report/input_row.h"

namespace kvgauge::cli {

/// Of every verb that opens a model.
struct ComputeOptions {
  std::string model;  ///< empty: the embedded one
  std::string device = "auto", dtype = "auto";
  std::int64_t threads = 0;
  std::uint64_t kv_memory = 0;
  bool batch_invariant = false;
};

/// Of those that take any number of questions.
struct ModelOptions : ComputeOptions {
  std::int64_t max_batch = 32, max_model_len = 0;
  bool no_prefix_cache = false;
};

/// Of every verb that goes through a file row by row.
struct JobOptions {
  std::string input, output = "-";
  std::int64_t seed = 0, limit = 0;
  bool resume = false, retry_failed = false, unordered = false, quiet = false;
  std::string log_level = "info";
};

/// How rows become prompts.
struct PromptOptions {
  std::string think = "template", prompt_template;
  bool no_chat = false;
};

/// How tokens are drawn.
struct SamplingOptions {
  std::int64_t top_k = 0;
  double temperature = 0, top_p = 1, min_p = 0;

  SamplingParams params(std::int64_t seed) const {
    return {.temperature = temperature,
            .top_p = top_p,
            .min_p = min_p,
            .top_k = top_k,
            .seed = static_cast<std::uint64_t>(seed)};
  }
};

/// What is measured and shown.
struct ScoreOptions {
  std::string scores = "kv-coe,prob", span = "response", part = "v", layers = "all", k_rope = "post";
  std::string coe_final_norm = "on";
  double alpha = 1, beta = 1;
  bool trajectory = false, output_ids = false;
  bool embed = false;
  EmbeddingOptions embedding;  ///< flags with the prefix --embed-
};

/// How many answers a row has.
enum class AnswerCount : std::uint8_t {
  kOne,         ///< `run` without --n
  kSeveral,     ///< `run --n N`
  kAsRowsHave,  ///< `score`
};

/// The groups of --scores: what the engine measures, and what is said of a row's answers together.
struct ScoreGroups {
  ScoreSpec spec = {};  ///< its layers are those of resolve_layers()
  bool semantic_entropy = false;
};

/// --model, --device, --dtype, --threads; verbs add the others of ComputeOptions in words of their own.
void add_compute_options(CLI::App& app, ComputeOptions& options);
void add_model_options(CLI::App& app, ModelOptions& options);
void add_job_options(CLI::App& app, JobOptions& options);
/// @param automatic whether --think auto is a choice
void add_prompt_options(CLI::App& app, PromptOptions& options, bool automatic = false);
void add_sampling_options(CLI::App& app, SamplingOptions& options);
void add_score_options(CLI::App& app, ScoreOptions& options);

/// @throws UsageError, DeviceError (a device this build does not have), InputError (no embedded model to be found)
EngineOptions compute_options(const ComputeOptions& options);
EngineOptions engine_options(const ModelOptions& options);
/// @throws UsageError for a name it does not know, for a group that compares answers where there is one, and for flags
/// that need a group that is off
ScoreGroups score_groups(const ScoreOptions& options, AnswerCount answers);
/// --layers as layers of the model; opens its configuration only where not all are asked for. @throws UsageError
std::vector<std::int32_t> resolve_layers(const ScoreOptions& options, const EngineOptions& engine);
/// --embed: what of each answer is embedded, over the positions of --span. @throws UsageError for layers the model
/// lacks
std::optional<EmbeddingSpec> answer_embedding(const ScoreOptions& options, std::int64_t model_layers);
/// Checks of combinations. @throws UsageError
void check_job(const JobOptions& options);
void check_prompt(const PromptOptions& options);
/// --think as enable_thinking: template (and auto, which starts before the think tags) leaves it undefined.
std::optional<bool> thinking(const PromptOptions& options);

/// The folder of --model, or of the embedded model: $KVGAUGE_DATA, <binary>/../share/kvgauge/models, the source tree.
std::string model_path(const std::string& option);

/// The settings that decide results, by flag name: for the manifest.
void put_settings(OrderedJson& to, const ModelOptions& options);
void put_settings(OrderedJson& to, const PromptOptions& options);
void put_settings(OrderedJson& to, const ScoreOptions& options, AnswerCount answers);

}  // namespace kvgauge::cli
