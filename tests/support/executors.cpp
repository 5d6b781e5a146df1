#include "support/executors.h"

#include <cstdlib>
#include <new>
#include <ostream>

#include "support/backend_wrapper.h"
#include "support/device_vector.h"
#if defined(KVGAUGE_CUDA) || defined(KVGAUGE_EMULATED)
#include <cuda_runtime_api.h>

#include "cuda/cuda_backend.h"
#endif
#if defined(KVGAUGE_EMULATED)
#include "emulator_control.h"
#include "support/ptx_executor.h"
#endif

namespace kvgauge::testing {
namespace {

/// Waits after each operation: tests look at device memory right behind a call.
class Synchronous final : public BackendWrapper {
 public:
  using BackendWrapper::BackendWrapper;
  void embed(const EmbedArgs& args) override { inner_->embed(args), wait(); }
  void rms_norm(const RmsNormArgs& args) override { inner_->rms_norm(args), wait(); }
  void linear(const LinearArgs& args) override { inner_->linear(args), wait(); }
  void rope_append(const RopeAppendArgs& args) override { inner_->rope_append(args), wait(); }
  void paged_attention(const PagedAttentionArgs& args) override { inner_->paged_attention(args), wait(); }
  void swiglu(const SwigluArgs& args) override { inner_->swiglu(args), wait(); }
  void logits_stats(const LogitsStatsArgs& args) override { inner_->logits_stats(args), wait(); }
  void sample(const SampleArgs& args) override { inner_->sample(args), wait(); }
  void kv_trajectory(const KvTrajectoryArgs& args) override { inner_->kv_trajectory(args), wait(); }
  void copy_pages(const CopyPagesArgs& args) override { inner_->copy_pages(args), wait(); }
  void kv_pool(const KvPoolArgs& args) override { inner_->kv_pool(args), wait(); }
  void layer_states(const LayerStatesArgs& args) override { inner_->layer_states(args), wait(); }
  void mlp_forward(const MlpForwardArgs& args) override { inner_->mlp_forward(args), wait(); }
  void mlp_backward(const MlpBackwardArgs& args) override { inner_->mlp_backward(args), wait(); }
  void mlp_step(const MlpStepArgs& args) override { inner_->mlp_step(args), wait(); }
  void mlp_statistics(const MlpStatisticsArgs& args) override { inner_->mlp_statistics(args), wait(); }
};

#if defined(KVGAUGE_CUDA) || defined(KVGAUGE_EMULATED)
#endif

}  // namespace

std::string name(const Executor& executor) {
  switch (executor.kind) {
    case Executor::Kind::kCpu: return name(executor.isa);
    case Executor::Kind::kEmulated: return "emulated";
    case Executor::Kind::kPtx: return "ptx_sm" + std::to_string(executor.sm);
    case Executor::Kind::kGpu: return "gpu";
  }
  return "";
}

void PrintTo(const Executor& executor, std::ostream* out) { *out << name(executor); }

std::vector<Executor> executors() {
  std::vector<Executor> all;
  for (const CpuIsa isa : supported_isas()) all.push_back({.kind = Executor::Kind::kCpu, .isa = isa});
#if defined(KVGAUGE_EMULATED)
  all.push_back({.kind = Executor::Kind::kEmulated});
  for (const int sm : {80, 90}) all.push_back({.kind = Executor::Kind::kPtx, .sm = sm});
#elif defined(KVGAUGE_CUDA)
  all.push_back({.kind = Executor::Kind::kGpu});
#endif
  return all;
}

std::vector<Executor> device_executors() {
  std::vector<Executor> devices;
  for (const Executor& executor : executors())
    if (executor.on_device()) devices.push_back(executor);
  return devices;
}

std::string reason_to_skip([[maybe_unused]] const Executor& executor) {
#if defined(KVGAUGE_EMULATED)
  if (executor.kind == Executor::Kind::kPtx && !ptx_absence().empty()) return "skipped: " + ptx_absence();
#elif defined(KVGAUGE_CUDA)
  if (executor.kind == Executor::Kind::kGpu) return cuda_unavailable();
#endif
  return "";
}

std::unique_ptr<Backend> backend_for(CpuIsa isa, DType dtype, bool batch_invariant, int threads) {
  return make_cpu_backend({.threads = threads, .compute_dtype = dtype, .batch_invariant = batch_invariant, .isa = isa});
}

std::unique_ptr<Backend> backend_for(const Executor& executor, DType dtype, bool batch_invariant, int threads,
                                     [[maybe_unused]] std::uint64_t device_memory) {
  if (!executor.on_device()) return backend_for(executor.isa, dtype, batch_invariant, threads);
#if defined(KVGAUGE_EMULATED)
  if (executor.kind == Executor::Kind::kPtx) {
    run_kernels_on_ptxsim(executor.sm);
  } else {
    cuda::emulator::set_executor("", {});
    cuda::emulator::set_every_order(true);
  }
#endif
#if defined(KVGAUGE_CUDA) || defined(KVGAUGE_EMULATED)
  return std::make_unique<Synchronous>(
      make_cuda_backend({.compute_dtype = dtype, .batch_invariant = batch_invariant, .memory = device_memory}));
#else
  std::abort();  // executors() has none of the others
#endif
}

void* allocate_device_memory(std::size_t bytes) {
  void* memory = nullptr;
#if defined(KVGAUGE_CUDA) || defined(KVGAUGE_EMULATED)
#if defined(KVGAUGE_CUDA)
  if (!cuda_unavailable().empty()) return std::aligned_alloc(64, (bytes + 127) / 64 * 64);
#endif
  if (cudaMallocManaged(&memory, bytes > 0 ? bytes : 1, cudaMemAttachGlobal) != cudaSuccess) throw std::bad_alloc();
#else
  memory = std::aligned_alloc(64, (bytes + 127) / 64 * 64);
  if (memory == nullptr) throw std::bad_alloc();
#endif
  return memory;
}

void free_device_memory(void* memory) {
#if defined(KVGAUGE_CUDA) || defined(KVGAUGE_EMULATED)
#if defined(KVGAUGE_CUDA)
  if (!cuda_unavailable().empty()) return std::free(memory);
#endif
  cudaFree(memory);
#else
  std::free(memory);
#endif
}

}  // namespace kvgauge::testing
