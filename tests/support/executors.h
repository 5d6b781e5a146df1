#pragma once
#include <iosfwd>
#include <memory>
#include <string>
#include <vector>

#include "cpu/cpu_backend.h"
#include "ops/backend.h"

namespace kvgauge::testing {

/// What runs the operations of a test: the CPU back end on one of its instruction sets; the CUDA back end with its kernels on fibres (each
/// launch in three thread orders, whose outputs must be bit-equal), with the PTX that nvcc made of them on ptxsim, or on a GPU.
struct Executor {
  enum class Kind { kCpu, kEmulated, kPtx, kGpu };
  Kind kind = Kind::kCpu;
  CpuIsa isa = CpuIsa::kBaseline;  ///< of kCpu
  int sm = 0;                      ///< of kPtx: 80 or 90
  bool on_device() const { return kind != Kind::kCpu; }
};
std::string name(const Executor& executor);
void PrintTo(const Executor& executor, std::ostream* out);

/// Those that this build knows. One that lacks what it needs on this machine (nvcc, a GPU) is among them, so that its tests show as skipped.
std::vector<Executor> executors();
/// Those of them that run CUDA kernels.
std::vector<Executor> device_executors();
/// Why it cannot run here; empty if it can.
std::string reason_to_skip(const Executor& executor);

/// Its back end; every operation is done when the call returns. One executor of kind kEmulated or kPtx at a time.
/// @param device_memory bytes that it reserves where it has memory of its own; the emulated device copies them for each launch
std::unique_ptr<Backend> backend_for(const Executor& executor, DType dtype = DType::kF32, bool batch_invariant = true,
                                     int threads = 1, std::uint64_t device_memory = std::uint64_t{4} << 20);
std::unique_ptr<Backend> backend_for(CpuIsa isa, DType dtype = DType::kF32, bool batch_invariant = true,
                                     int threads = 1);

}  // namespace kvgauge::testing
