// Sums that feed scores: one order (16 partial sums, index mod 16, then one tree) and no fused steps on any instruction
// set.
#include "cpu/kernels/table.h"

namespace kvgauge::cpu::KVGAUGE_ISA {
namespace {

constexpr int kParts = 16 / kLanes;
constexpr float kInfinity = __builtin_inff();

KVGAUGE_INLINE Floats select(Ints mask, Floats yes, Floats no) {
  return (Floats)(((Words)yes & (Words)mask) | ((Words)no & ~(Words)mask));
}
KVGAUGE_INLINE void add(DoubleSums& sums, int part, Floats x) {
  sums.part[2 * part] = sums.part[2 * part] + low_doubles(x);
  sums.part[2 * part + 1] = sums.part[2 * part + 1] + high_doubles(x);
}

struct Extremes {
  Floats maximum[kParts], second[kParts];
  Ints unusable[kParts];
};

KVGAUGE_INLINE void absorb(Extremes& extremes, int part, Floats z) {
  // z first: max(NaN, m) = m, so that a NaN shows in `unusable` only
  extremes.second[part] = larger(smaller(z, extremes.maximum[part]), extremes.second[part]);
  extremes.maximum[part] = larger(z, extremes.maximum[part]);
  extremes.unusable[part] = extremes.unusable[part] | ~(Ints)(z < kInfinity);
}

KVGAUGE_INLINE Extremes no_extremes() {
  Extremes extremes;
  for (int part = 0; part < kParts; ++part) {
    extremes.maximum[part] = extremes.second[part] = broadcast(-kInfinity);
    extremes.unusable[part] = (Ints)zeros();
  }
  return extremes;
}

KVGAUGE_INLINE void finish(const Extremes& extremes, RowStats& stats) {
  float maximum = -kInfinity, second = -kInfinity;
  stats.broken = false;
  for (int part = 0; part < kParts; ++part) {
    float a[kLanes], b[kLanes];
    std::int32_t bad[kLanes];
    store(a, extremes.maximum[part]);
    store(b, extremes.second[part]);
    std::memcpy(bad, &extremes.unusable[part], sizeof bad);
    for (int i = 0; i < kLanes; ++i) {
      stats.broken = stats.broken || bad[i] != 0;
      const float low = a[i] < maximum ? a[i] : maximum;
      maximum = a[i] > maximum ? a[i] : maximum;
      second = low > second ? low : second;
      second = b[i] > second ? b[i] : second;
    }
  }
  stats.maximum = maximum;
  stats.second = second;
}

/// 16 logits from i on; missing ones are -infinity.
KVGAUGE_INLINE void load_16(const float* z, std::int64_t i, std::int64_t count, Floats (&out)[kParts]) {
  if (i + 16 <= count) {
    for (int part = 0; part < kParts; ++part) out[part] = load(z + i + part * kLanes);
    return;
  }
  float lanes[16];
  for (int lane = 0; lane < 16; ++lane) lanes[lane] = i + lane < count ? z[i + lane] : -kInfinity;
  for (int part = 0; part < kParts; ++part) out[part] = load(lanes + part * kLanes);
}

}  // namespace

void row_extremes(const float* z, std::int64_t count, RowStats& stats) {
  Extremes extremes = no_extremes();
  for (std::int64_t i = 0; i < count; i += 16) {
    Floats values[kParts];
    load_16(z, i, count, values);
    for (int part = 0; part < kParts; ++part) absorb(extremes, part, values[part]);
  }
  finish(extremes, stats);
}

void row_stats(const float* z, std::int64_t count, RowStats& stats) {
  Extremes extremes = no_extremes();
  DoubleSums finite_sum = {};
  Ints finite[kParts] = {};
  for (std::int64_t i = 0; i < count; i += 16) {
    Floats values[kParts];
    load_16(z, i, count, values);
    for (int part = 0; part < kParts; ++part) {
      absorb(extremes, part, values[part]);
      const Ints is_finite = (Ints)(values[part] > -kInfinity);
      finite[part] = finite[part] - is_finite;
      add(finite_sum, part, select(is_finite, values[part], zeros()));
    }
  }
  finish(extremes, stats);
  stats.sum_finite = total(finite_sum);
  stats.finite = 0;
  for (int part = 0; part < kParts; ++part) {
    std::int32_t lanes[kLanes];
    std::memcpy(lanes, &finite[part], sizeof lanes);
    for (int i = 0; i < kLanes; ++i) stats.finite += lanes[i];
  }
  if (!stats.usable()) return;

  DoubleSums sum_exp = {}, sum_exp_z = {};
  for (std::int64_t i = 0; i < count; i += 16) {
    Floats values[kParts];
    load_16(z, i, count, values);
    for (int part = 0; part < kParts; ++part) {
      const Floats shifted = values[part] - stats.maximum;
      const Floats e = exp_of_nonpositive<false>(shifted);
      add(sum_exp, part, e);
      // 0 * -infinity: an impossible token adds nothing
      add(sum_exp_z, part, e * larger(shifted, broadcast(-100.f)));
    }
  }
  stats.sum_exp = total(sum_exp);
  stats.sum_exp_z = total(sum_exp_z);
}

double row_weights(const float* z, std::int64_t count, float scale, float maximum, float* weights) {
  DoubleSums sum = {};
  for (std::int64_t i = 0; i < count; i += 16) {
    Floats values[kParts];
    load_16(z, i, count, values);
    for (int part = 0; part < kParts; ++part) {
      const Floats w = exp_of_nonpositive<false>((values[part] - maximum) * scale);
      add(sum, part, w);
      const std::int64_t at = i + part * kLanes;
      if (at + kLanes <= count) {
        store(weights + at, w);
      } else if (at < count) {
        store_some(weights + at, w, count - at);
      }
    }
  }
  return total(sum);
}

std::int64_t indices_between(const float* weights, std::int64_t count, float from, float below, std::int32_t* ids) {
  std::int64_t found = 0;
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const Floats w = i + kLanes <= count ? load(weights + i) : load_some(weights + i, count - i);
    std::uint32_t hits = lane_mask((Ints)(w >= from) & (Ints)(w < below));
    while (hits != 0) {
      const int lane = __builtin_ctz(hits);
      hits &= hits - 1;
      if (i + lane < count) ids[found++] = static_cast<std::int32_t>(i + lane);
    }
  }
  return found;
}

TrajectoryDistances distances(const float* a, const float* b, std::int64_t count) {
  DoubleSums difference = {}, a_squared = {}, b_squared = {};
  for (std::int64_t i = 0; i < count; i += 16) {
    for (int part = 0; part < kParts; ++part) {
      const std::int64_t at = i + part * kLanes;
      const std::int64_t rest = count - at;
      const Floats u = rest >= kLanes ? load(a + at) : rest > 0 ? load_some(a + at, rest) : zeros();
      const Floats v = rest >= kLanes ? load(b + at) : rest > 0 ? load_some(b + at, rest) : zeros();
      const Doubles u_low = low_doubles(u), u_high = high_doubles(u), v_low = low_doubles(v), v_high = high_doubles(v);
      const Doubles low = u_low - v_low, high = u_high - v_high;
      difference.part[2 * part] = difference.part[2 * part] + low * low;
      difference.part[2 * part + 1] = difference.part[2 * part + 1] + high * high;
      a_squared.part[2 * part] = a_squared.part[2 * part] + u_low * u_low;
      a_squared.part[2 * part + 1] = a_squared.part[2 * part + 1] + u_high * u_high;
      b_squared.part[2 * part] = b_squared.part[2 * part] + v_low * v_low;
      b_squared.part[2 * part + 1] = b_squared.part[2 * part + 1] + v_high * v_high;
    }
  }
  return {total(difference), total(a_squared), total(b_squared)};
}

}  // namespace kvgauge::cpu::KVGAUGE_ISA
