#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kvgauge/request.h"

namespace kvgauge {

class Tokenizer;
class ChatTemplate;
class ModelFiles;
struct ModelConfig;
struct GenerationDefaults;
struct DifficultyHead;

struct EngineOptions {
  std::filesystem::path model;  ///< Hugging Face folder or .gguf file
  std::string device = "auto";  ///< auto | cpu | cuda | cuda:N | emulated, as far as the build has them
  std::string dtype = "auto";   ///< auto | bf16 | f32: of products and KV pages
  int threads = 0;              ///< 0 = all cores
  bool batch_invariant = false;
  std::uint64_t kv_memory = 0;  ///< bytes for KV pages; 0 = what max_batch sequences of max_model_len need, at most 4
                                ///< GiB and half the free memory
  std::int64_t max_batch = 32;  ///< sequences of one step
  std::int64_t max_model_len = 0;   ///< 0 = the model's context, cut to what kv_memory holds
  std::int64_t step_tokens = 512;   ///< new tokens of one step
  std::int64_t chunk_tokens = 512;  ///< new tokens of one sequence in one step
  bool prefix_cache = true;
};

/// Where the memory went, and what the engine did so far. Bytes and counts.
struct EngineStats {
  std::uint64_t weight_bytes = 0, table_bytes = 0, kv_bytes = 0, activation_bytes = 0;
  std::int64_t blocks = 0, free_blocks = 0;
  std::int64_t steps = 0, prefill_tokens = 0, decode_tokens = 0, cached_tokens = 0, preemptions = 0;
  /// Launches of kv_trajectory, logits_stats and of kv_pool with a head: 0 when nothing asked for them.
  std::int64_t gauge_calls = 0, stats_calls = 0, difficulty_calls = 0;
};

/// A model, its KV pages and a scheduler. Text outside, tokens inside.
/// Not thread-safe: one thread submits, steps and collects. Requests are served oldest first with continuous batching.
///
///   Engine engine(options);
///   engine.submit(request);
///   while (engine.step()) while (auto done = engine.next_finished()) use(*done);
class Engine {
 public:
  /// Loads and packs the weights, reserves all memory. @throws InputError, FormatError, ConfigError, UsageError,
  /// DeviceError
  explicit Engine(const EngineOptions& options);
  Engine(Engine&&) noexcept;
  ~Engine();

  /// The head that requests with `difficulty` or `thinking` are read by, from now on. @throws InputError if it was made
  /// for another model
  void use_difficulty_head(const DifficultyHead& head);
  /// Queues a request and returns its number (0, 1, 2, ...). A request that can never run (empty or too long prompt,
  /// bad token, bad sampling value) is not thrown: it finishes at once with `error` set.
  std::int64_t submit(Request request);
  /// Runs one step of the whole batch. @return false if there is nothing to do
  bool step();
  /// Finished requests in the order they finished.
  std::optional<Finished> next_finished();
  /// How far a request is; nullopt if it is neither queued nor running, or generates nothing.
  std::optional<AnswerProgress> progress(std::int64_t request) const;
  /// Ends a request that is queued or running, between two steps: it finishes with what its answers have, those that
  /// were under way with `kCancelled`. What is read when a request ends by itself is missing: embeddings, windows,
  /// EigenScore, and a difficulty that no controller waited for. Other requests go on untouched. A number that is
  /// neither queued nor running is passed over.
  void cancel(std::int64_t request);
  /// Requests that are queued or running.
  std::int64_t unfinished() const;

  const ModelConfig& config() const;
  const GenerationDefaults& generation() const;
  const Tokenizer& tokenizer() const;
  const ChatTemplate* chat_template() const;  ///< nullptr if the model has none
  const ModelFiles& files() const;
  std::int64_t max_model_len() const;
  std::string describe() const;  ///< device, dtype, threads, memory: one line for manifests and start-up
  EngineStats stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace kvgauge
