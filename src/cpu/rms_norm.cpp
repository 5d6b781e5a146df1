#include "ops/rms_norm.h"

#include "core/check.h"
#include "cpu/backend.h"

namespace kvgauge::cpu {

void CpuBackend::rms_norm(const RmsNormArgs& args) {
  const MatrixView &residual = args.residual, &x = args.x, &out = args.out;
  KVGAUGE_CHECK(residual.dtype == DType::kF32, "residual is ", name(residual.dtype));
  KVGAUGE_CHECK(
      x.data == nullptr || (x.dtype == DType::kF32 && x.rows >= residual.rows && x.columns == residual.columns),
      "x is ", name(x.dtype), "[", x.rows, ",", x.columns, "]");
  KVGAUGE_CHECK(
      out.data == nullptr || (out.rows >= residual.rows && out.columns == residual.columns && args.weight != nullptr),
      "out is [", out.rows, ",", out.columns, "]");
  const std::int64_t out_bytes = static_cast<std::int64_t>(size_of(out.dtype));
  parallel(residual.rows, residual.rows * residual.columns < 16'384, [&](std::int64_t row, int) {
    kernels_.rms_norm_row(
        static_cast<float*>(residual.data) + row * residual.stride,
        x.data == nullptr ? nullptr : static_cast<const float*>(x.data) + row * x.stride, args.weight, args.eps,
        out.data == nullptr ? nullptr : static_cast<std::byte*>(out.data) + row * out.stride * out_bytes,
        out.dtype == DType::kBF16, residual.columns);
  });
}

}  // namespace kvgauge::cpu
