#pragma once
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cuda/blas.h"
#include "cuda/block_tables.h"
#include "cuda/cuda_backend.h"
#include "cuda/graph.h"
#include "cuda/kv_trajectory.h"
#include "cuda/memory.h"
#include "cuda/staging.h"
#include "cuda/step_tables.h"
#include "cuda/stream.h"

namespace kvgauge::cuda {

inline constexpr std::int64_t kGraphRows = 256;  ///< larger decode batches are limited by arithmetic, not by launches

/// A block of the arena, given back with the object.
class ArenaMemory final : public DeviceMemory {
 public:
  ArenaMemory(DeviceArena& arena, std::size_t bytes, const char* what)
      : arena_(arena), data_(arena.allocate(bytes, what)), bytes_(bytes) {}
  ~ArenaMemory() override { arena_.free(data_); }
  std::byte* data() override { return data_; }
  std::size_t bytes() const override { return bytes_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  DeviceArena& arena_;
  std::byte* data_;
  std::size_t bytes_;
};

/// A trajectory in device memory: first, two buffers that take turns as the newest point, dr, dtheta.
class DeviceTrajectory final : public TrajectoryState {
 public:
  DeviceTrajectory(DeviceArena& arena, std::int64_t values, std::int64_t capacity);
  DeviceTrajectoryItem item(const TrajectoryItem& item, const std::int32_t* device_blocks) const;
  void extended(std::int64_t points);  ///< a call with item() was queued

  std::int64_t values, capacity;
  int newest = 0;  ///< which of the two buffers holds e of the last point
  float* first() const { return memory_.as<float>(); }
  float* point(int buffer) const { return first() + (1 + buffer) * values; }
  float* dr() const { return first() + 3 * values; }
  float* dtheta() const { return dr() + capacity; }

 private:
  ArenaMemory memory_;
};

class CudaBackend final : public Backend {
 public:
  explicit CudaBackend(const CudaOptions& options);
  ~CudaBackend() override;

  std::string describe() const override { return description_; }
  DType compute_dtype() const override { return options_.compute_dtype; }
  bool batch_invariant() const override { return options_.batch_invariant; }
  std::uint64_t default_kv_bytes() const override { return arena_.largest_gap() / 10 * 8; }
  std::unique_ptr<DeviceMemory> allocate(std::size_t bytes) override;
  void upload(std::byte* device, const void* host, std::size_t bytes) override;
  void download(void* host, const std::byte* device, std::size_t bytes) override;
  PackedWeight pack_weight(std::int64_t rows, std::int64_t columns, WeightSource& source) override;
  void load_rows(std::int64_t rows, std::int64_t columns, WeightSource& source, std::byte* device) override;
  std::size_t packed_bytes() const override { return packed_bytes_; }
  void warm_up(std::int64_t rows, std::int64_t max_context) override;

  void run_step(const StepBatch& batch, const std::function<void(const StepBatch&)>& operations) override;
  void start_after(void* stream) override;
  void finish_before(void* stream) override;
  void wait() override;

  void embed(const EmbedArgs& args) override;
  void rms_norm(const RmsNormArgs& args) override;
  void linear(const LinearArgs& args) override;
  void rope_append(const RopeAppendArgs& args) override;
  void paged_attention(const PagedAttentionArgs& args) override;
  void swiglu(const SwigluArgs& args) override;
  void logits_stats(const LogitsStatsArgs& args) override;
  void sample(const SampleArgs& args) override;
  void kv_trajectory(const KvTrajectoryArgs& args) override;
  void copy_pages(const CopyPagesArgs& args) override;
  void kv_pool(const KvPoolArgs& args) override;
  void layer_states(const LayerStatesArgs& args) override;
  void mlp_forward(const MlpForwardArgs& args) override;
  void mlp_backward(const MlpBackwardArgs& args) override;
  void mlp_step(const MlpStepArgs& args) override;
  void mlp_statistics(const MlpStatisticsArgs& args) override;

  std::unique_ptr<TrajectoryState> make_trajectory(std::int64_t values, std::int64_t capacity) override;
  void copy_trajectory(const TrajectoryState& from, TrajectoryState& to) override;
  TrajectorySums read_trajectory(const TrajectoryState& state) override;
  TrajectorySteps read_steps(const TrajectoryState& state) override;
  TrajectorySums read_layer_states(const LayerSums& sums) override;

 private:
  /// What the device knows of the lists of the step that runs.
  struct CurrentStep {
    const std::int32_t* ids = nullptr;  ///< the host's list, by which calls name it
    const SequenceSlice* sequences = nullptr;
    const std::int32_t* device_ids = nullptr;
    SliceTable table;
    std::span<const LayerStatesItem> states;  ///< likewise the host's list
    const LayerStatesItem* device_states = nullptr;
  };
  struct Weight {
    std::unique_ptr<ArenaMemory> memory;
    std::int64_t rows = 0, columns = 0;
  };

  void stage_step(const StepBatch& batch, std::int64_t padded_rows, std::int64_t context_bound);
  void apply_table_changes();
  const std::int32_t* device_rows(std::span<const std::int32_t> rows);
  const std::int32_t* device_blocks(const std::int32_t* blocks, std::int64_t count);
  /// The same at the place that a running sequence's table keeps, which is there after apply_table_changes().
  const std::int32_t* device_table(const std::int32_t* blocks, std::int64_t count);
  SliceTable slice_table(std::span<const SequenceSlice> sequences, int page_tokens);
  PagedKvView device_view(const PagedKvView& pages);
  PagedKvView foreign_view(const PagedKvView& pages);
  const double* device_frequencies(const double* frequencies, std::int64_t count);
  std::byte* scratch(std::unique_ptr<ArenaMemory>& memory, std::size_t bytes, const char* what);
  void reserve_products(std::int64_t rows);

  const CudaOptions options_;
  std::string description_;
  DeviceArena arena_;
  Stream stream_;
  Staging staging_;
  Event foreign_;  ///< of the stream that start_after() and finish_before() name, or of ours for it
  GraphCache graphs_;
  std::unique_ptr<ArenaMemory> workspace_, product_tile_;
  std::unique_ptr<Products> products_;
  std::vector<Weight> weights_;
  std::size_t packed_bytes_ = 0;

  std::int64_t step_rows_ = 0, max_context_ = 0;  ///< of warm_up(); 0 before
  std::optional<BlockTables> tables_;
  std::unique_ptr<ArenaMemory> step_lists_;  ///< fixed places, so that graphs may name them
  std::vector<std::byte> step_image_;
  std::vector<std::int32_t> padded_ids_;
  std::vector<SequenceSlice> padded_slices_;
  CurrentStep current_;
  bool ran_a_step_ = false;

  std::unique_ptr<ArenaMemory> attention_scratch_, drawn_, statistics_, statistics_parts_, ends_, difficulties_,
      layer_steps_, mlp_rows_, mlp_total_;
  std::vector<DeviceTrajectoryItem> trajectory_items_;
  std::vector<PoolItem> pool_items_;

  /// Small constant arrays that calls pass from the host, by content.
  struct Constant {
    std::vector<std::byte> bytes;
    std::unique_ptr<ArenaMemory> memory;
  };
  const Constant* known_constant(const void* data, std::size_t bytes) const;
  const std::byte* constant(const void* data, std::size_t bytes);
  /// The same for one call only, where it is not known: arrays that a caller may change from call to call.
  const std::byte* constant_or_list(const void* data, std::size_t bytes);
  std::vector<Constant> constants_;
};

}  // namespace kvgauge::cuda
