#pragma once
#include <utility>

#include "ops/backend.h"

namespace kvgauge::testing {

/// Passes every operation on; tests override the ones they watch or spoil.
class BackendWrapper : public Backend {
 public:
  explicit BackendWrapper(std::unique_ptr<Backend> inner) : inner_(std::move(inner)) {}

  std::string describe() const override { return inner_->describe(); }
  DType compute_dtype() const override { return inner_->compute_dtype(); }
  bool batch_invariant() const override { return inner_->batch_invariant(); }
  std::uint64_t default_kv_bytes() const override { return inner_->default_kv_bytes(); }
  std::unique_ptr<DeviceMemory> allocate(std::size_t bytes) override { return inner_->allocate(bytes); }
  void upload(std::byte* device, const void* host, std::size_t bytes) override { inner_->upload(device, host, bytes); }
  void download(void* host, const std::byte* device, std::size_t bytes) override {
    inner_->download(host, device, bytes);
  }
  PackedWeight pack_weight(std::int64_t rows, std::int64_t columns, WeightSource& source) override {
    return inner_->pack_weight(rows, columns, source);
  }
  void load_rows(std::int64_t rows, std::int64_t columns, WeightSource& source, std::byte* device) override {
    inner_->load_rows(rows, columns, source, device);
  }
  std::size_t packed_bytes() const override { return inner_->packed_bytes(); }
  void warm_up(std::int64_t rows, std::int64_t max_context) override { inner_->warm_up(rows, max_context); }
  void embed(const EmbedArgs& args) override { inner_->embed(args); }
  void rms_norm(const RmsNormArgs& args) override { inner_->rms_norm(args); }
  void linear(const LinearArgs& args) override { inner_->linear(args); }
  void rope_append(const RopeAppendArgs& args) override { inner_->rope_append(args); }
  void paged_attention(const PagedAttentionArgs& args) override { inner_->paged_attention(args); }
  void swiglu(const SwigluArgs& args) override { inner_->swiglu(args); }
  void logits_stats(const LogitsStatsArgs& args) override { inner_->logits_stats(args); }
  void sample(const SampleArgs& args) override { inner_->sample(args); }
  void kv_trajectory(const KvTrajectoryArgs& args) override { inner_->kv_trajectory(args); }
  void copy_pages(const CopyPagesArgs& args) override { inner_->copy_pages(args); }
  void kv_pool(const KvPoolArgs& args) override { inner_->kv_pool(args); }
  void layer_states(const LayerStatesArgs& args) override { inner_->layer_states(args); }
  void mlp_forward(const MlpForwardArgs& args) override { inner_->mlp_forward(args); }
  void mlp_backward(const MlpBackwardArgs& args) override { inner_->mlp_backward(args); }
  void mlp_step(const MlpStepArgs& args) override { inner_->mlp_step(args); }
  void mlp_statistics(const MlpStatisticsArgs& args) override { inner_->mlp_statistics(args); }
  void run_step(const StepBatch& batch, const std::function<void(const StepBatch&)>& operations) override {
    inner_->run_step(batch, operations);
  }
  void start_after(void* stream) override { inner_->start_after(stream); }
  void finish_before(void* stream) override { inner_->finish_before(stream); }
  void wait() override { inner_->wait(); }
  std::unique_ptr<TrajectoryState> make_trajectory(std::int64_t values, std::int64_t capacity) override {
    return inner_->make_trajectory(values, capacity);
  }
  void copy_trajectory(const TrajectoryState& from, TrajectoryState& to) override { inner_->copy_trajectory(from, to); }
  TrajectorySteps read_steps(const TrajectoryState& state) override { return inner_->read_steps(state); }
  TrajectorySums read_trajectory(const TrajectoryState& state) override { return inner_->read_trajectory(state); }
  TrajectorySums read_layer_states(const LayerSums& sums) override { return inner_->read_layer_states(sums); }

 protected:
  std::unique_ptr<Backend> inner_;
};

}  // namespace kvgauge::testing
