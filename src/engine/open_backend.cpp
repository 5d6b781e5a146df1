#include "engine/open_backend.h"

#include <algorithm>
#include <optional>

#include "core/cat.h"
#include "core/device_name.h"
#include "core/printable.h"
#include "cpu/cpu_backend.h"
#include "kvgauge/error.h"
#if defined(KVGAUGE_CUDA) || defined(KVGAUGE_EMULATED)
#include "cuda/cuda_backend.h"
#endif

namespace kvgauge {
namespace {

#if defined(KVGAUGE_CUDA)
constexpr bool kHasCuda = true;
#else
constexpr bool kHasCuda = false;
#endif
#if defined(KVGAUGE_EMULATED)
constexpr bool kHasEmulated = true;
#else
constexpr bool kHasEmulated = false;
#endif

DType compute_dtype(const EngineOptions& options, const ModelConfig& config, bool device_has_bf16) {
  if (options.dtype == "f32") return DType::kF32;
  if (options.dtype == "bf16") return DType::kBF16;
  if (options.dtype != "auto")
    throw UsageError(cat("--dtype: '", options.dtype, "' is unknown, one of auto, bf16, f32 was needed"));
  return config.stored_dtype != DType::kF32 && device_has_bf16 ? DType::kBF16 : DType::kF32;
}

std::unique_ptr<Backend> open_cpu(const EngineOptions& options, const ModelConfig& config) {
  CpuOptions cpu;
  cpu.threads = options.threads;
  cpu.compute_dtype = compute_dtype(options, config, cpu_supports_bf16());
  cpu.keep_codes = options.dtype == "auto";
  cpu.batch_invariant = options.batch_invariant;
  if (cpu.compute_dtype == DType::kBF16 && !cpu_supports_bf16())
    throw DeviceError("--dtype: bf16 products need AVX2 and FMA, which this processor lacks; use --dtype f32");
  return make_cpu_backend(cpu);
}

#if defined(KVGAUGE_CUDA) || defined(KVGAUGE_EMULATED)
std::unique_ptr<Backend> open_cuda(const EngineOptions& options, const ModelConfig& config, int index) {
  CudaOptions cuda;
  cuda.device = index;
  cuda.compute_dtype = compute_dtype(options, config, true);
  cuda.batch_invariant = options.batch_invariant;
  return make_cuda_backend(cuda);
}
#endif

}  // namespace

std::string known_devices() { return cat("auto|cpu", kHasCuda ? "|cuda|cuda:N" : "", kHasEmulated ? "|emulated" : ""); }

std::string device_features() {
#if defined(KVGAUGE_CUDA)
  const std::string reason = cuda_unavailable();
  return cat(known_devices(), " (", reason.empty() ? "a CUDA device can be used" : reason, ")");
#else
  return cat(known_devices(), kHasEmulated ? " (the CUDA back end on an emulated device, for tests)" : "");
#endif
}

void check_device(const std::string& device) {
  if (device == "auto" || device == "cpu") return;
  const bool cuda = cuda_index(device).has_value(), emulated = device == "emulated";
  if ((cuda && kHasCuda) || (emulated && kHasEmulated)) return;
  if (cuda)
    throw DeviceError(cat("--device: '", device,
                          "' was asked for, this build has no CUDA back end; use --device cpu or the preset cuda"));
  if (emulated)
    throw DeviceError(
        "--device: 'emulated' was asked for, this build has no emulated device; use --device cpu or "
        "configure with -DKVGAUGE_EMULATED=ON");
  throw UsageError(cat("--device: found '", printable(device), "', one of ", known_devices(), " was needed"));
}

std::unique_ptr<Backend> open_backend(const EngineOptions& options, const ModelConfig& config) {
  check_device(options.device);
#if defined(KVGAUGE_CUDA)
  if (const auto index = cuda_index(options.device)) return open_cuda(options, config, *index);
  if (options.device == "auto" && cuda_unavailable().empty()) return open_cuda(options, config, 0);
#elif defined(KVGAUGE_EMULATED)
  if (options.device == "emulated") return open_cuda(options, config, 0);
#endif
  return open_cpu(options, config);
}

}  // namespace kvgauge
