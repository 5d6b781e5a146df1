// Elementwise work on one row: normalisation, activation, conversion, and the layer sums of the trajectory gauge.
#include "cpu/kernels/table.h"

namespace kvgauge::cpu::KVGAUGE_ISA {
namespace {

template <class T>
void write_normalised(const float* residual, float factor, const float* weight, T* out, std::int64_t columns) {
  const Floats scale = broadcast(factor);
  std::int64_t i = 0;
  for (; i + kLanes <= columns; i += kLanes) store_elements(out + i, load(residual + i) * scale * load(weight + i));
  if (i < columns) {
    const auto rest = columns - i;
    store_some(out + i, load_some(residual + i, rest) * scale * load_some(weight + i, rest), rest);
  }
}

template <class T>
void write_swiglu(const float* gate_up, T* out, std::int64_t columns) {
  // silu(x) = x * s / (1 + s) for x < 0 and x / (1 + s) else, s = exp(-|x|): no overflow on either side
  const auto activate = [](Floats x, Floats up) __attribute__((always_inline)) {
    const Floats magnitude = (Floats)((Words)x & 0x7fffffffu);
    const Floats s = exp_of_nonpositive<true>(-magnitude);
    const Words negative = (Words)(Ints)(x < 0.f);
    const Floats numerator = (Floats)(((Words)(x * s) & negative) | ((Words)x & ~negative));
    return numerator / (s + 1.f) * up;
  };
  std::int64_t i = 0;
  for (; i + kLanes <= columns; i += kLanes)
    store_elements(out + i, activate(load(gate_up + i), load(gate_up + columns + i)));
  if (i < columns) {
    const auto rest = columns - i;
    store_some(out + i, activate(load_some(gate_up + i, rest), load_some(gate_up + columns + i, rest)), rest);
  }
}

template <class T>
KVGAUGE_INLINE void add_row(const T* row, float* sums, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(sums + i, load(sums + i) + load_elements(row + i));
  for (; i < count; ++i) sums[i] += element(row[i]);
}

}  // namespace

void rms_norm_row(float* residual, const float* x, const float* weight, float eps, void* out, bool out_bf16,
                  std::int64_t columns) {
  FloatSums squares = {};
  constexpr int kParts = 16 / kLanes;
  std::int64_t i = 0;
  for (; i + 16 <= columns; i += 16) {
    for (int part = 0; part < kParts; ++part) {
      float* at = residual + i + part * kLanes;
      Floats r = load(at);
      if (x != nullptr) {
        r = r + load(x + i + part * kLanes);
        store(at, r);
      }
      squares.part[part] = fused_multiply_add(r, r, squares.part[part]);
    }
  }
  float sum = total(squares);
  for (; i < columns; ++i) {
    if (x != nullptr) residual[i] += x[i];
    sum += residual[i] * residual[i];
  }
  if (out == nullptr) return;
  const float factor = 1.f / __builtin_sqrtf(sum / static_cast<float>(columns) + eps);
  if (out_bf16) {
    write_normalised(residual, factor, weight, static_cast<std::uint16_t*>(out), columns);
  } else {
    write_normalised(residual, factor, weight, static_cast<float*>(out), columns);
  }
}

void swiglu_row(const float* gate_up, void* out, bool out_bf16, std::int64_t columns) {
  if (out_bf16) {
    write_swiglu(gate_up, static_cast<std::uint16_t*>(out), columns);
  } else {
    write_swiglu(gate_up, static_cast<float*>(out), columns);
  }
}

void widen_row(const std::uint16_t* bf16, float* out, std::int64_t columns) {
  std::int64_t i = 0;
  for (; i + kLanes <= columns; i += kLanes) store(out + i, load_elements(bf16 + i));
  for (; i < columns; ++i) out[i] = element(bf16[i]);
}

void narrow_row(const float* x, std::uint16_t* bf16, std::int64_t columns) {
  std::int64_t i = 0;
  for (; i + kLanes <= columns; i += kLanes) store_elements(bf16 + i, load(x + i));
  if (i < columns) store_some(bf16 + i, load_some(x + i, columns - i), columns - i);
}

void add_row_f32(const float* row, float* sums, std::int64_t count) { add_row(row, sums, count); }
void add_row_bf16(const std::uint16_t* row, float* sums, std::int64_t count) { add_row(row, sums, count); }

void add_row_f16(const std::uint16_t* row, float* sums, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(sums + i, load(sums + i) + widen_f16(load_halves(row + i)));
  if (i == count) return;
  std::uint16_t last[kLanes] = {};
  for (std::int64_t j = 0; i + j < count; ++j) last[j] = row[i + j];
  store_some(sums + i, load_some(sums + i, count - i) + widen_f16(load_halves(last)), count - i);
}

void scale_row(float* values, float factor, std::int64_t count) {
  std::int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(values + i, load(values + i) * factor);
  for (; i < count; ++i) values[i] *= factor;
}

}  // namespace kvgauge::cpu::KVGAUGE_ISA
