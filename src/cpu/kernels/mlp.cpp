// Elementwise work and sums of the regressor's training, over vectors whose length is a multiple of 16 where one is
// required.
#include "cpu/kernels/table.h"

namespace kvgauge::cpu::KVGAUGE_ISA {
namespace {

constexpr int kParts = 16 / kLanes;

KVGAUGE_INLINE void add(DoubleSums& sums, int part, Doubles low, Doubles high) {
  sums.part[2 * part] = sums.part[2 * part] + low;
  sums.part[2 * part + 1] = sums.part[2 * part + 1] + high;
}

struct StepRows {
  Floats p, m, v;
};
KVGAUGE_INLINE StepRows stepped(const AdamTask& task, Floats p, Floats g, Floats m, Floats v) {
  g = g + broadcast(task.decay) * p;
  m = broadcast(task.beta1) * m + broadcast(task.fresh1) * g;
  v = broadcast(task.beta2) * v + broadcast(task.fresh2) * (g * g);
  const Floats size = square_root(v * broadcast(task.v_scale)) + broadcast(task.epsilon);
  return {p * broadcast(task.kept) - broadcast(task.rate) * m / size, m, v};
}

}  // namespace

void rectify_row(float* a, float bias, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const Floats x = load(a + i) + broadcast(bias);
    const Words negative = (Words)(Ints)(x < zeros());  // NaN stays
    store(a + i, (Floats)((Words)x & ~negative));
  }
}

void weigh_rows(const float* a, std::int64_t stride, std::int64_t rows, const float* weights, float bias, float* out,
                std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += 16) {
    DoubleSums sums;
    for (int part = 0; part < 2 * kParts; ++part) sums.part[part] = low_doubles(broadcast(bias));
    for (std::int64_t row = 0; row < rows; ++row) {
      const Doubles weight = low_doubles(broadcast(weights[row]));
      for (int part = 0; part < kParts; ++part) {
        const Floats x = load(a + row * stride + i + part * kLanes);
        add(sums, part, low_doubles(x) * weight, high_doubles(x) * weight);
      }
    }
    double lanes[16];
    for (int part = 0; part < 2 * kParts; ++part) store(lanes + part * (kLanes / 2), sums.part[part]);
    for (int j = 0; j < 16; ++j) out[i + j] = static_cast<float>(lanes[j]);
  }
}

HiddenSums backward_row(float* a, const float* slopes, float weight, std::int64_t count) {
  DoubleSums of_weight = {}, of_bias = {};
  for (std::int64_t i = 0; i < count; i += 16) {
    for (int part = 0; part < kParts; ++part) {
      const Floats x = load(a + i + part * kLanes), slope = load(slopes + i + part * kLanes);
      add(of_weight, part, low_doubles(x) * low_doubles(slope), high_doubles(x) * high_doubles(slope));
      const Words active = (Words)(Ints)(x > zeros());
      const Floats hidden = (Floats)((Words)(slope * broadcast(weight)) & active);
      store(a + i + part * kLanes, hidden);
      add(of_bias, part, low_doubles(hidden), high_doubles(hidden));
    }
  }
  return {total(of_weight), total(of_bias)};
}

void adam_row(const AdamTask& task) {
  std::int64_t i = 0;
  for (; i + kLanes <= task.count; i += kLanes) {
    const StepRows next =
        stepped(task, load(task.parameters + i), load(task.gradients + i), load(task.m + i), load(task.v + i));
    store(task.parameters + i, next.p);
    store(task.m + i, next.m);
    store(task.v + i, next.v);
  }
  if (const std::int64_t rest = task.count - i; rest > 0) {
    const StepRows next = stepped(task, load_some(task.parameters + i, rest), load_some(task.gradients + i, rest),
                                  load_some(task.m + i, rest), load_some(task.v + i, rest));
    store_some(task.parameters + i, next.p, rest);
    store_some(task.m + i, next.m, rest);
    store_some(task.v + i, next.v, rest);
  }
}

}  // namespace kvgauge::cpu::KVGAUGE_ISA
