#include "ops/embed.h"

#include <cstring>

#include "core/check.h"
#include "cpu/backend.h"

namespace kvgauge::cpu {

void CpuBackend::embed(const EmbedArgs& args) {
  const auto rows = static_cast<std::int64_t>(args.ids.size());
  KVGAUGE_CHECK(args.out.dtype == DType::kF32 && args.out.rows >= rows && args.out.columns == args.hidden, "out is ",
                name(args.out.dtype), "[", args.out.rows, ",", args.out.columns, "]");
  KVGAUGE_CHECK(args.table_dtype != DType::kF16, "embedding tables are f32 or bf16");
  auto* out = static_cast<float*>(args.out.data);
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t id = args.ids[static_cast<std::size_t>(row)];
    KVGAUGE_CHECK(id >= 0 && id < args.vocab, "token ", id, " of ", args.vocab);
    float* to = out + row * args.out.stride;
    if (args.table_dtype == DType::kF32) {
      std::memcpy(to, static_cast<const float*>(args.table) + id * args.hidden,
                  static_cast<std::size_t>(args.hidden) * sizeof(float));
    } else {
      kernels_.widen_row(static_cast<const std::uint16_t*>(args.table) + id * args.hidden, to, args.hidden);
    }
  }
}

}  // namespace kvgauge::cpu
