#include "cpu/cpu_backend.h"
#include "cpu/kernels.h"

namespace kvgauge {
namespace cpu {

namespace baseline {
extern const Kernels kKernels;
}
namespace avx2 {
extern const Kernels kKernels;
}
namespace avx512 {
extern const Kernels kKernels;
}
namespace avx512_bf16 {
extern const Kernels kKernels;
}

const Kernels* kernels(CpuIsa isa) {
  const bool has_avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool has_avx512 = has_avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                          __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  switch (isa) {
    case CpuIsa::kBaseline: return &baseline::kKernels;
    case CpuIsa::kAvx2: return has_avx2 ? &avx2::kKernels : nullptr;
    case CpuIsa::kAvx512: return has_avx512 ? &avx512::kKernels : nullptr;
    case CpuIsa::kAvx512Bf16:
      return has_avx512 && __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni")
                 ? &avx512_bf16::kKernels
                 : nullptr;
  }
  return nullptr;
}

}  // namespace cpu

const char* name(CpuIsa isa) {
  switch (isa) {
    case CpuIsa::kBaseline: return "baseline";
    case CpuIsa::kAvx2: return "avx2";
    case CpuIsa::kAvx512: return "avx512";
    case CpuIsa::kAvx512Bf16: return "avx512_bf16";
  }
  return "?";
}

std::vector<CpuIsa> supported_isas() {
  std::vector<CpuIsa> isas;
  for (const CpuIsa isa : {CpuIsa::kBaseline, CpuIsa::kAvx2, CpuIsa::kAvx512, CpuIsa::kAvx512Bf16}) {
    if (cpu::kernels(isa) != nullptr) isas.push_back(isa);
  }
  return isas;
}

bool cpu_supports_bf16() { return supported_isas().back() >= CpuIsa::kAvx2; }

}  // namespace kvgauge
