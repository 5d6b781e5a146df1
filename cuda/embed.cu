// out[r, :] = table[ids[r], :], widened to f32.
// One block per row; a thread copies 16 bytes of the table at a time. Each row is read and written once:
// ids * hidden * (table element + 4) bytes. A row whose id is outside of the table (a draw that failed is -1) becomes
// NaN, and nothing is read.
#include "cuda/embed.h"

#include <algorithm>
#include <limits>

#include "core/check.h"
#include "cuda/row_access.cuh"

namespace kvgauge::cuda {

struct EmbedKernelArgs {
  const void* table;
  const std::int32_t* ids;
  float* out;
  std::int64_t vocab, hidden, out_stride;
};

template <class T, bool kWhole>
__global__ void embed_kernel(EmbedKernelArgs a) {
  constexpr int kCount = kPackCount<T>, kOutCount = kPackCount<float>;
  const std::int64_t row = blockIdx.x, id = a.ids[row];
  const bool known = id >= 0 && id < a.vocab;
  const T* from = static_cast<const T*>(a.table) + (known ? id : 0) * a.hidden;
  float* to = a.out + row * a.out_stride;
  for (std::int64_t column = std::int64_t{threadIdx.x} * kCount; column < a.hidden;
       column += std::int64_t{blockDim.x} * kCount) {
    const auto values = load_values<kWhole, kCount>(from + column, known ? a.hidden - column : 0);
    for (int part = 0; part < kCount; part += kOutCount) {
      Pack<float, kOutCount> widened;
      for (int i = 0; i < kOutCount; ++i)
        widened.values[i] = known ? to_float(values.values[part + i]) : std::numeric_limits<float>::quiet_NaN();
      store_values<kWhole>(to + column + part, widened, a.hidden - column - part);
    }
  }
}

void launch_embed(const EmbedArgs& args, const std::int32_t* ids, StreamHandle stream) {
  const auto rows = static_cast<std::int64_t>(args.ids.size());
  KVGAUGE_CHECK(args.out.dtype == DType::kF32 && args.out.rows >= rows && args.out.columns == args.hidden, "out is ",
                name(args.out.dtype), "[", args.out.rows, ",", args.out.columns, "]");
  KVGAUGE_CHECK(args.table_dtype != DType::kF16, "embedding tables are f32 or bf16");
  if (rows == 0 || args.hidden == 0) return;
  const auto element = static_cast<std::int64_t>(size_of(args.table_dtype));
  const int count = 16 / static_cast<int>(element);
  const bool whole = args.hidden % count == 0 && rows_are_aligned(args.table, args.hidden, element, count) &&
                     rows_are_aligned(args.out.data, args.out.stride, sizeof(float), kPackCount<float>);
  const std::int64_t warps = std::min<std::int64_t>(ceil_div(ceil_div(args.hidden, count), kWarpSize), 8);
  const LaunchShape shape{dim3(static_cast<unsigned>(rows)), dim3(static_cast<unsigned>(warps * kWarpSize)), 0};
  const EmbedKernelArgs a{args.table, ids,         static_cast<float*>(args.out.data),
                          args.vocab, args.hidden, args.out.stride};
  if (args.table_dtype == DType::kF32) {
    launch(stream, shape, whole ? embed_kernel<float, true> : embed_kernel<float, false>, a);
  } else {
    launch(stream, shape, whole ? embed_kernel<bf16_t, true> : embed_kernel<bf16_t, false>, a);
  }
}

}  // namespace kvgauge::cuda
