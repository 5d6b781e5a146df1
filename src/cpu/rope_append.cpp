#include "ops/rope_append.h"

#include <algorithm>
#include <cmath>

#include "core/check.h"
#include "cpu/backend.h"

namespace kvgauge::cpu {
namespace {

/// rotations [2][half]: cosines, then sines
void rotate(float* x, const float* rotations, int half) {
  for (int i = 0; i < half; ++i) {
    const float a = x[i], b = x[i + half], c = rotations[i], s = rotations[half + i];
    x[i] = a * c - b * s;
    x[i + half] = b * c + a * s;
  }
}

void normalise(float* x, const float* weight, float eps, int count) {
  double squares = 0;
  for (int i = 0; i < count; ++i) squares += static_cast<double>(x[i]) * x[i];
  const auto factor = static_cast<float>(1 / std::sqrt(squares / count + static_cast<double>(eps)));
  for (int i = 0; i < count; ++i) x[i] = x[i] * factor * weight[i];
}

void make_rotations(std::int64_t position, const double* frequencies, int half, float* out) {
  for (int i = 0; i < half; ++i) {
    const double angle = static_cast<double>(position) * frequencies[i];
    out[i] = static_cast<float>(std::cos(angle));
    out[half + i] = static_cast<float>(std::sin(angle));
  }
}

}  // namespace

void CpuBackend::reserve_rotations(std::int64_t positions) {
  if (positions <= rotations_.positions) return;
  rotations_.positions = positions;
  rotations_.values = Buffer(static_cast<std::size_t>(positions) * kMaxHeadDim * sizeof(float));
  rotations_.filled.assign(static_cast<std::size_t>(positions), 0);
  rotations_.frequencies.reserve(kMaxHeadDim / 2);
}

void CpuBackend::fill_rotations(const RopeAppendArgs& args) {
  const int half = args.head_dim / 2;
  std::int64_t positions = 0;
  for (const SequenceSlice& slice : args.sequences) positions = std::max(positions, slice.first_position + slice.rows);
  if (positions > rotations_.positions) reserve_rotations(std::max(positions, 2 * rotations_.positions));
  if (!std::equal(rotations_.frequencies.begin(), rotations_.frequencies.end(), args.inverse_frequencies,
                  args.inverse_frequencies + half)) {
    rotations_.frequencies.assign(args.inverse_frequencies, args.inverse_frequencies + half);
    std::fill(rotations_.filled.begin(), rotations_.filled.end(), std::uint8_t{0});
  }
  for (const SequenceSlice& slice : args.sequences) {
    parallel(slice.rows, slice.rows < 32, [&](std::int64_t row, int) {
      const std::int64_t position = slice.first_position + row;
      if (rotations_.filled[static_cast<std::size_t>(position)] != 0) return;
      make_rotations(position, args.inverse_frequencies, half,
                     rotations_.values.as<float>() + position * args.head_dim);
      rotations_.filled[static_cast<std::size_t>(position)] = 1;
    });
  }
}

void CpuBackend::rope_append(const RopeAppendArgs& args) {
  const int heads = args.heads, kv_heads = args.kv_heads, head_dim = args.head_dim, half = head_dim / 2;
  const PagedKvView& pages = args.pages;
  KVGAUGE_CHECK(head_dim > 0 && head_dim % 2 == 0 && head_dim <= kMaxHeadDim, "head_dim ", head_dim);
  KVGAUGE_CHECK(args.qkv.dtype == DType::kF32 && args.qkv.columns == std::int64_t{heads + 2 * kv_heads} * head_dim,
                "qkv is ", name(args.qkv.dtype), " of ", args.qkv.columns, " columns");
  KVGAUGE_CHECK(args.q_out.dtype == DType::kF32 && args.q_out.columns == std::int64_t{heads} * head_dim, "q_out has ",
                args.q_out.columns, " columns");
  KVGAUGE_CHECK(pages.dtype != DType::kF16 && pages.kv_heads == kv_heads && pages.head_dim == head_dim &&
                    args.layer < pages.layers,
                "pages of ", pages.kv_heads, " heads of ", pages.head_dim);
  KVGAUGE_CHECK((args.q_norm == nullptr) == (args.k_norm == nullptr), "one of q_norm and k_norm");
  fill_rotations(args);

  for (const SequenceSlice& slice : args.sequences) {
    KVGAUGE_CHECK(slice.first_row >= 0 && slice.first_row + slice.rows <= args.qkv.rows, "slice of rows ",
                  slice.first_row, "+", slice.rows, " of ", args.qkv.rows);
  }
  const auto append = [&](const SequenceSlice& slice, std::int64_t i) {
    const std::int64_t row = slice.first_row + i, position = slice.first_position + i;
    const float* rotations = rotations_.values.as<float>() + position * head_dim;
    const float* in = static_cast<const float*>(args.qkv.data) + row * args.qkv.stride;
    float* q_out = static_cast<float*>(args.q_out.data) + row * args.q_out.stride;
    const std::int64_t block = slice.blocks[position / pages.page_tokens];
    const int slot = static_cast<int>(position % pages.page_tokens);
    float x[kMaxHeadDim];
    for (int head = 0; head < heads + 2 * kv_heads; ++head) {
      const std::int64_t offset = std::int64_t{head} * head_dim;
      const bool is_q = head < heads, is_k = !is_q && head < heads + kv_heads;
      float* to = is_q ? q_out + offset : x;
      if (args.bias != nullptr) {
        for (int j = 0; j < head_dim; ++j) to[j] = in[offset + j] + args.bias[offset + j];
      } else {
        std::copy_n(in + offset, head_dim, to);
      }
      if (is_q || is_k) {
        if (args.q_norm != nullptr) normalise(to, is_q ? args.q_norm : args.k_norm, args.norm_eps, head_dim);
        rotate(to, rotations, half);
      }
      if (is_q) continue;
      const int kv_head = is_k ? head - heads : head - heads - kv_heads;
      std::byte* page = is_k ? pages.k(args.layer, block, kv_head, slot) : pages.v(args.layer, block, kv_head, slot);
      if (pages.dtype == DType::kBF16) {
        kernels_.narrow_row(x, reinterpret_cast<std::uint16_t*>(page), head_dim);
      } else {
        std::copy_n(x, head_dim, reinterpret_cast<float*>(page));
      }
    }
  };
  if (args.sequences.size() > 1) {
    parallel_dynamic(static_cast<std::int64_t>(args.sequences.size()), args.qkv.rows * args.qkv.columns < 8'192,
                     [&](std::int64_t s, int) {
                       const SequenceSlice& slice = args.sequences[static_cast<std::size_t>(s)];
                       for (std::int64_t i = 0; i < slice.rows; ++i) append(slice, i);
                     });
  } else if (args.sequences.size() == 1) {
    parallel(args.sequences[0].rows, args.sequences[0].rows < 4,
             [&](std::int64_t i, int) { append(args.sequences[0], i); });
  }
}

}  // namespace kvgauge::cpu
