#include "ops/swiglu.h"

#include "core/check.h"
#include "cpu/backend.h"

namespace kvgauge::cpu {

void CpuBackend::swiglu(const SwigluArgs& args) {
  const MatrixView &in = args.gate_up, &out = args.out;
  KVGAUGE_CHECK(in.dtype == DType::kF32 && in.columns == 2 * out.columns && out.rows >= in.rows, "gate_up is ",
                name(in.dtype), "[", in.rows, ",", in.columns, "], out [", out.rows, ",", out.columns, "]");
  const std::int64_t out_bytes = static_cast<std::int64_t>(size_of(out.dtype));
  parallel(in.rows, in.rows * out.columns < 8'192, [&](std::int64_t row, int) {
    kernels_.swiglu_row(static_cast<const float*>(in.data) + row * in.stride,
                        static_cast<std::byte*>(out.data) + row * out.stride * out_bytes, out.dtype == DType::kBF16,
                        out.columns);
  });
}

}  // namespace kvgauge::cpu
