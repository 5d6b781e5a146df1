#pragma once
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "ops/copy_pages.h"
#include "ops/embed.h"
#include "ops/kv_pool.h"
#include "ops/kv_trajectory.h"
#include "ops/layer_states.h"
#include "ops/linear.h"
#include "ops/logits_stats.h"
#include "ops/mlp.h"
#include "ops/paged_attention.h"
#include "ops/rms_norm.h"
#include "ops/rope_append.h"
#include "ops/sample.h"
#include "ops/swiglu.h"
#include "ops/weight_source.h"

namespace kvgauge {

/// Memory of a back end's device; freed with the object. Zeroed, 64-byte aligned.
class DeviceMemory {
 public:
  virtual ~DeviceMemory() = default;
  virtual std::byte* data() = 0;
  virtual std::size_t bytes() const = 0;
};

/// The new tokens of one step, all sequences one after another. Lists on the host, pages on the device.
struct StepBatch {
  std::span<const std::int32_t> ids;         ///< [rows]
  std::span<const SequenceSlice> sequences;  ///< cover the rows in order, without gaps
  PagedKvView pages;                         ///< written at the new positions, read up to them

  // Hidden states that the step leaves behind. A step with either is never replayed from a capture.
  std::span<const LayerStatesItem> states = {};  ///< rows whose states of every layer are summed (layer_states)
  std::int64_t states_normed = 0;  ///< the first of `states`: their last state is taken after the final norm
  std::span<const std::int32_t> tapped = {};  ///< rows whose state in the middle of the layers is kept
};

/// Fused operations of a decoder step. One implementation per kind of device; an operation's contract (shapes,
/// equation, aliasing) stands with its Args struct. Matrices, weights and pages lie in device memory, lists (spans) on
/// the host; lists are read before a call returns. Calls run in order and results are visible to the next call, but a
/// device works behind the host's back: what sample() and logits_stats() hand to the host is there after wait().
/// Arguments are checked by KVGAUGE_CHECK (they come from our own code). After warm_up(), no operation allocates.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual std::string describe() const = 0;  ///< e.g. "cpu, 2 threads, avx512_bf16, oneDNN 2.6.3"
  virtual DType compute_dtype() const = 0;   ///< of linear inputs and KV pages: kF32 or kBF16
  virtual bool batch_invariant() const = 0;

  /// Bytes that the KV pages may take where the user did not say: what is free, less what steps need beside it.
  virtual std::uint64_t default_kv_bytes() const = 0;
  virtual std::unique_ptr<DeviceMemory> allocate(std::size_t bytes) = 0;
  /// Host bytes to device memory; done when it returns. Devices that share the host's memory need no more than this.
  virtual void upload(std::byte* device, const void* host, std::size_t bytes) { std::memcpy(device, host, bytes); }
  /// Device memory to the host; there after wait(). For the few numbers that leave the device, never for pages.
  virtual void download(void* host, const std::byte* device, std::size_t bytes) { std::memcpy(host, device, bytes); }

  /// Packs a [rows, columns] matrix for linear().
  virtual PackedWeight pack_weight(std::int64_t rows, std::int64_t columns, WeightSource& source) = 0;
  /// Puts a [rows, columns] matrix into device memory as it is, row-major in compute_dtype(); done when it returns.
  virtual void load_rows(std::int64_t rows, std::int64_t columns, WeightSource& source, std::byte* device) = 0;
  virtual std::size_t packed_bytes() const = 0;  ///< of all weights packed so far
  /// Prepares everything whose first use would allocate, for every packed weight and up to `rows` rows a step.
  virtual void warm_up(std::int64_t rows, std::int64_t max_context) = 0;

  /// Runs the operations of one step's forward pass, which depend on the host only through `batch`: a device may upload
  /// its lists once for all of them, or replay what it captured of an earlier step of the same shape instead of calling
  /// `operations`. It is called with `batch` itself or one padded with rows that no one reads (their sequences have 0
  /// rows).
  virtual void run_step(const StepBatch& batch, const std::function<void(const StepBatch&)>& operations) {
    operations(batch);
  }
  /// Order against a stream of another owner on the same device (nullptr: its default stream): what is called from now
  /// on starts after what the stream holds; what the stream is given from now on starts after what was called so far.
  /// Back ends whose calls are done when they return do nothing.
  virtual void start_after([[maybe_unused]] void* stream) {}
  virtual void finish_before([[maybe_unused]] void* stream) {}
  /// Returns when everything called so far is done. @throws DeviceError if something of it failed
  virtual void wait() {}

  virtual void embed(const EmbedArgs& args) = 0;
  virtual void rms_norm(const RmsNormArgs& args) = 0;
  virtual void linear(const LinearArgs& args) = 0;
  virtual void rope_append(const RopeAppendArgs& args) = 0;
  virtual void paged_attention(const PagedAttentionArgs& args) = 0;
  virtual void swiglu(const SwigluArgs& args) = 0;
  virtual void logits_stats(const LogitsStatsArgs& args) = 0;
  virtual void sample(const SampleArgs& args) = 0;
  virtual void kv_trajectory(const KvTrajectoryArgs& args) = 0;
  virtual void copy_pages(const CopyPagesArgs& args) = 0;
  virtual void kv_pool(const KvPoolArgs& args) = 0;  ///< its first call with a head reserves scratch
  virtual void layer_states(const LayerStatesArgs& args) = 0;

  // Training of the head of kv_pool.
  virtual void mlp_forward(const MlpForwardArgs& args) = 0;
  virtual void mlp_backward(const MlpBackwardArgs& args) = 0;
  virtual void mlp_step(const MlpStepArgs& args) = 0;
  virtual void mlp_statistics(const MlpStatisticsArgs& args) = 0;

  /// An empty trajectory of vectors of `values` numbers that can reach `capacity` points.
  virtual std::unique_ptr<TrajectoryState> make_trajectory(std::int64_t values, std::int64_t capacity) = 0;
  /// Makes `to` (as large as `from` at least) a copy of `from`.
  virtual void copy_trajectory(const TrajectoryState& from, TrajectoryState& to) = 0;
  /// Sums of a trajectory in ascending token order (METHOD.md A.3). Waits for the device.
  virtual TrajectorySums read_trajectory(const TrajectoryState& state) = 0;
  /// Its arrays. Waits for the device.
  virtual TrajectorySteps read_steps(const TrajectoryState& state) = 0;
  /// The trajectory of a sequence over layers (METHOD.md B): its points are the means of the states over the positions.
  /// Waits for the device.
  virtual TrajectorySums read_layer_states(const LayerSums& sums) = 0;
};

/// Packs a matrix that read(first, count, out) makes up in the back end's compute type.
template <class Read>
PackedWeight pack_made(Backend& backend, std::int64_t rows, std::int64_t columns, Read read) {
  MadeRows<Read> source(rows, backend.compute_dtype(), std::move(read));
  return backend.pack_weight(rows, columns, source);
}

}  // namespace kvgauge
