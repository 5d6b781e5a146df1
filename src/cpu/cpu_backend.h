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
  int threads = 0;                     ///< 0 = all cores the process may use
  DType compute_dtype = DType::kBF16;  ///< kF32 or kBF16
  bool keep_codes = false;             ///< multiply quantized weights in their codes (activations in 8 bits as well)
  bool batch_invariant = false;        ///< one fixed K order in every product, whatever the number of rows
  std::optional<CpuIsa> isa = {};      ///< default: the best this processor has
  std::optional<bool> onednn = {};     ///< bf16 products of many rows by oneDNN; default: where the processor has AMX
};

/// @throws DeviceError if the processor lacks what the options need (x86-64 with AVX2 is the least for bf16)
std::unique_ptr<Backend> make_cpu_backend(const CpuOptions& options);

/// True if bf16 products run on this processor (AVX2 and FMA; --dtype auto picks f32 where it is false).
bool cpu_supports_bf16();

}  // namespace kvgauge
