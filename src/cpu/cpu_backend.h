#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "ops/backend.h"

namespace kvgauge {

/// Instruction sets that the kernels are compiled for, each including the one before.
enum class CpuIsa : std::uint8_t { kBaseline, kAvx2, kAvx512, kAvx512Bf16 };
const char* name(CpuIsa isa);
std::vector<CpuIsa> supported_isas();  ///< of this processor, ascending

struct CpuOptions {
  int threads = 0;                      ///< 0 = all cores the process may use
  DType compute_dtype = DType::kBF16;   ///< kF32 or kBF16
  bool batch_invariant = false;         ///< own products with one fixed K order instead of oneDNN's
  std::optional<CpuIsa> isa;            ///< default: the best this processor has
};

/// @throws DeviceError if the processor lacks what the options need (x86-64 with AVX2 is the least for bf16)
std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options);

/// True if bf16 products run on this processor (oneDNN's bf16 needs AVX-512; --dtype auto picks f32 where it is false).
bool cpu_supports_bf16();

}  // namespace kvgauge
