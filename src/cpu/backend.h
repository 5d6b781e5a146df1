#pragma once
#include <vector>

#include "core/buffer.h"
#include "cpu/cpu_backend.h"
#include "cpu/kernels.h"
#include "cpu/onednn_products.h"

namespace kvgauge::cpu {

/// How a run of a weight's output features is kept: dense in the compute type, or in the codes of a quantized file.
struct PanelFormat {
  bool coded = false;
  int group = 32, offset = 0;  ///< of codes: CodedTask
  bool nibbles = false, shifted = false;
  bool operator==(const PanelFormat&) const = default;
};

/// Output features [first, first + rows) of a weight in panels of 64, one format for all: dense f32 [depth][64] or bf16
/// [depth/2][64][2], zero padded, or coded (CodedTask).
struct PanelRun {
  std::int64_t first = 0, rows = 0;  ///< first is a multiple of 64, and so is rows but for the last run
  PanelFormat format = {};
  std::int64_t panel_bytes = 0;
  Buffer data = {};
};

/// A weight as runs that follow one another.
struct PackedMatrix {
  std::int64_t rows = 0, columns = 0;
  std::vector<PanelRun> runs;
};

/// Whole panels of a run: `features` output features.
struct PanelRange {
  const std::byte* panels = nullptr;
  std::int64_t panel_bytes = 0;
  std::int64_t features = 0, depth = 0;
};

/// cos and sin of position * inverse_frequency, filled as positions come up; one row serves all heads and all layers.
struct RotationTable {
  std::vector<double> frequencies;  ///< what the rows were made from
  std::int64_t positions = 0;
  Buffer values;                     ///< [positions][2][half]
  std::vector<std::uint8_t> filled;  ///< [positions]
};

/// A trajectory in the host's memory.
class HostTrajectory final : public TrajectoryState {
 public:
  HostTrajectory(std::int64_t values, std::int64_t capacity);
  /// Adds e, and the step from the point before it unless it is the first one.
  /// @param keep e is the newest of this call and becomes `previous`
  void add(std::span<const float> e, double dr, double dtheta, bool keep);

  std::vector<float> first, previous;
  TrajectorySteps steps;
};

class CpuBackend final : public Backend {
 public:
  CpuBackend(const CpuOptions& options, CpuIsa isa, int threads);

  std::string describe() const override;
  DType compute_dtype() const override { return compute_dtype_; }
  bool batch_invariant() const override { return batch_invariant_; }
  std::uint64_t default_kv_bytes() const override;
  std::unique_ptr<DeviceMemory> allocate(std::size_t bytes) override;
  PackedWeight pack_weight(std::int64_t rows, std::int64_t columns, WeightSource& source) override;
  void load_rows(std::int64_t rows, std::int64_t columns, WeightSource& source, std::byte* device) override;
  std::size_t packed_bytes() const override { return packed_bytes_; }
  void warm_up(std::int64_t rows, std::int64_t max_context) override;

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
  TrajectorySums read_layer_states(const LayerSums& sums) override;
  std::unique_ptr<TrajectoryState> make_trajectory(std::int64_t values, std::int64_t capacity) override;
  void copy_trajectory(const TrajectoryState& from, TrajectoryState& to) override;
  TrajectorySums read_trajectory(const TrajectoryState& state) override;
  TrajectorySteps read_steps(const TrajectoryState& state) override;

 private:
  /// Scratch of at least `bytes`; grows before warm_up() only in practice.
  static std::byte* reserve(Buffer& buffer, std::size_t bytes);
  /// work(unit, thread) for every unit in [0, units); units go to threads in contiguous runs. `tiny`: on this thread
  /// alone.
  template <class Work>
  void parallel(std::int64_t units, bool tiny, const Work& work) {
    if (threads_ == 1 || units == 1 || tiny) {
      for (std::int64_t unit = 0; unit < units; ++unit) work(unit, 0);
      return;
    }
#pragma omp parallel for schedule(static) num_threads(threads_)
    for (std::int64_t unit = 0; unit < units; ++unit) work(unit, thread_number());
  }
  /// The same with units dealt one at a time, for units of unequal cost.
  template <class Work>
  void parallel_dynamic(std::int64_t units, bool tiny, const Work& work) {
    if (threads_ == 1 || units == 1 || tiny) {
      for (std::int64_t unit = 0; unit < units; ++unit) work(unit, 0);
      return;
    }
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads_)
    for (std::int64_t unit = 0; unit < units; ++unit) work(unit, thread_number());
  }
  static int thread_number();

  /// The formats that a weight's rows are kept in, run by run.
  std::vector<PanelRun> plan_runs(std::int64_t rows, std::int64_t columns, const WeightSource& source) const;
  void pack_dense(std::int64_t columns, WeightSource& source, PanelRun& run);
  void pack_coded(std::int64_t columns, WeightSource& source, PanelRun& run);
  void dense_linear(const MatrixView& x, const PanelRange& weight, const MatrixView& out);
  void own_linear(const MatrixView& x, const PanelRange& weight, const MatrixView& out);
  void coded_linear(const MatrixView& x, const PanelFormat& format, const PanelRange& weight, const MatrixView& out);
  /// Deals the panels of `weight` to threads: work(panel, first, last, coming) for columns [first, last) of a panel,
  /// `coming` being where this thread's next one starts, or null.
  template <class Work>
  void for_panels(const PanelRange& weight, bool tiny, const Work& work);
  void reserve_coded_rows(std::int64_t rows);
  void reserve_attention();
  std::int64_t attention_slots() const;  ///< softmax states of splits that wait for their merge
  void reserve_sampling(std::int64_t vocab);
  void reserve_trajectory();
  void reserve_rotations(std::int64_t positions);
  void fill_rotations(const RopeAppendArgs& args);
  std::vector<std::int32_t> drawn_;  ///< by the last sample(), for logits_stats()
  /// What logits_stats() knows of a row after the tiles so far.
  struct JudgedRow {
    RowStats stats;
    float chosen = 0;
  };
  std::vector<JudgedRow> judged_;
  std::int32_t sample_row(const float* z, std::int64_t vocab, const SampleRequest& request, std::byte* scratch) const;

  const CpuIsa isa_;
  const Kernels& kernels_;
  const int threads_;
  const DType compute_dtype_;
  const bool batch_invariant_;
  const bool keep_codes_;

  std::vector<PackedMatrix> matrices_;
  std::size_t packed_bytes_ = 0;
  std::unique_ptr<OneDnnProducts> onednn_;  ///< nullptr: own products only

  RotationTable rotations_;
  Buffer attention_scratch_, attention_partials_, sample_scratch_, trajectory_scratch_, pool_scratch_, coded_rows_;
};

}  // namespace kvgauge::cpu
