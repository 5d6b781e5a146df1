#pragma once
// The engine's inside: what it holds, and the steps of its life. engine.cpp opens it and takes requests,
// engine_step.cpp runs a step of the batch, engine_thinking.cpp looks at difficulties and injects think tags,
// engine_finish.cpp makes answers of sequences that end.
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "control/difficulty_gauge.h"
#include "engine/memory_plan.h"
#include "engine/running_sequence.h"
#include "engine/scheduler.h"
#include "gauge/embedding.h"
#include "gauge/window_pooler.h"
#include "kv/page_layout.h"
#include "kvgauge/engine.h"
#include "loader/model_files.h"
#include "model/decoder.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

namespace kvgauge {

inline double now_ms() {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Engine::Impl {
  // One token of one answer that this step decides (or, teacher-forced, judges). Several draws may share a row (n > 1).
  struct Draw {
    std::int32_t row = 0;  // of the step
    RunningSequence* sequence = nullptr;
    std::int32_t token = -1;  // the teacher's, if it is given
    bool given = false;
  };

  // A sequence whose newest token is in the cache now and whose controller has to know.
  struct Thinker {
    RunningSequence* sequence = nullptr;
    std::ptrdiff_t look = -1;  // of the step's difficulties; negative: no window is read
    bool looks = false;        // the controller wants its signal
  };

  explicit Impl(const EngineOptions& options);

  std::int64_t submit(Request request);
  bool step();

  void start_sequences(RequestGroup& group);
  std::unique_ptr<RunningSequence> new_sequence(RequestGroup& group, std::int64_t sample);
  void compute(const StepPlan& plan);
  void plan_draws(const StepPlan::Item& item, std::int64_t first_row);
  void plan_states(const StepPlan::Item& item, std::int64_t first_row);
  void decide(std::span<const Draw> draws);
  void judge_given(std::span<const Draw> draws);
  void sample(const MatrixView& logits, std::span<const Draw> draws);
  void judge(const MatrixView& logits, std::span<const Draw> draws);
  void accept_draws();
  void accept(RunningSequence& sequence, std::int32_t token, const TokenLogitStats* stats);
  void gauge(const StepPlan& plan);
  void use_head(const DifficultyHead& head);
  void plan_thinking(RequestGroup& group);
  void begin_thinking(RequestGroup& group, double d);
  void start_gauge(RunningSequence& sequence);
  void plan_look(RunningSequence& sequence);
  void look();
  void think();
  double signal(const Thinker& thinker);
  void inject(RunningSequence& sequence, const std::vector<std::int32_t>& tokens);
  void read_difficulties();
  void pool_windows();
  void fork_answers(RequestGroup& group);
  void embed_ended();
  void finish(RunningSequence& sequence);
  void cancel(std::int64_t request);
  void read_states(RunningSequence& sequence);
  void keep_vectors(RunningSequence& sequence);
  void finish_group(RequestGroup& group);
  bool ends_text(std::int32_t token) const;

  EngineOptions options_;
  ModelFiles files_;
  Tokenizer tokenizer_;
  std::optional<ChatTemplate> chat_template_;
  std::unique_ptr<Backend> backend_;
  Weights weights_;
  MemoryPlan memory_;
  PageLayout layout_;
  std::unique_ptr<DeviceMemory> kv_memory_;
  PageStorage pages_;
  Scheduler scheduler_;
  Decoder decoder_;
  EmbeddingPooler embedder_;
  WindowPooler windows_;
  std::optional<DifficultyGauge> difficulty_;
  const std::vector<double> frequencies_;  // of RoPE: what the gauge turns keys back by
  EngineStats stats_;

  std::map<std::int64_t, std::unique_ptr<RequestGroup>> groups_;  // unfinished requests by number
  std::deque<Finished> finished_;
  std::int64_t next_request_ = 0, next_sequence_ = 0;

  // Lists of one step, kept for their capacity.
  std::vector<std::int32_t> ids_, logit_rows_, tile_rows_, sampled_, judged_rows_, judged_tokens_, judged_draws_;
  std::vector<SequenceSlice> slices_;
  std::vector<Draw> draws_;
  std::vector<SampleRequest> sample_requests_;
  std::vector<TokenLogitStats> stat_values_;
  std::vector<TrajectoryItem> gauge_items_;
  std::vector<RunningSequence*> touched_, ended_, embedded_;
  std::vector<PoolItem> embedding_items_, window_items_, look_items_;
  std::vector<Thinker> thinkers_;
  std::vector<float> difficulties_;
  std::vector<const ScoreSpec*> gauge_specs_;  // of the step's sequences, each kind once
  std::vector<LayerStatesItem> states_, raw_states_;
  std::vector<std::int32_t> tapped_rows_;
  std::unique_ptr<DeviceMemory> pooled_;  // V of one answer, averaged; made when first asked for
};

}  // namespace kvgauge
