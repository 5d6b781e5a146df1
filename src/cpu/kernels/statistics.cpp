// Sums that feed scores: one order (16 partial sums, index mod 16, then one tree; those of row_stats take their numbers
// in fours) and no fused steps on any instruction set.
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

KVGAUGE_INLINE void rank(Extremes& extremes, int part, Floats z) {
  // z first: max(NaN, m) = m, so that a NaN shows in `unusable` only
  extremes.second[part] = larger(smaller(z, extremes.maximum[part]), extremes.second[part]);
  extremes.maximum[part] = larger(z, extremes.maximum[part]);
}
KVGAUGE_INLINE void absorb(Extremes& extremes, int part, Floats z) {
  rank(extremes, part, z);
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

namespace {

constexpr int kBlock = 64;  ///< numbers of a lane are summed four at a time, as a tree in f32, before they are widened

struct Block {
  Floats at[4][kParts];
};

KVGAUGE_INLINE Block load_block(const float* z, std::int64_t i, std::int64_t count) {
  Block block;
  for (int quarter = 0; quarter < 4; ++quarter) load_16(z, i + quarter * 16, count, block.at[quarter]);
  return block;
}
KVGAUGE_INLINE void add_block(DoubleSums& sums, const Block& block) {
  for (int part = 0; part < kParts; ++part)
    add(sums, part, (block.at[0][part] + block.at[1][part]) + (block.at[2][part] + block.at[3][part]));
}

/// Extremes and the sum of the finite logits. The short way of `all_finite` takes whole blocks of finite numbers only,
/// and says false where it met something else.
template <bool all_finite>
bool first_pass(const float* z, std::int64_t count, RowStats& stats) {
  const Words magnitude = broadcast_word(0x7fffffffu);
  Extremes extremes = no_extremes();
  Words largest[kParts] = {};
  DoubleSums sum = {};
  Ints finite[kParts] = {};
  if (all_finite && count % kBlock != 0) return false;
  for (std::int64_t i = 0; i < count; i += kBlock) {
    Block block = load_block(z, i, count);
    for (auto& quarter : block.at) {
      for (int part = 0; part < kParts; ++part) {
        Floats& v = quarter[part];
        if constexpr (all_finite) {
          rank(extremes, part, v);
          const Words bits = (Words)v & magnitude;
          largest[part] = bits > largest[part] ? bits : largest[part];
        } else {
          absorb(extremes, part, v);
          const Ints is_finite = (Ints)(v > -kInfinity);
          finite[part] = finite[part] - is_finite;
          v = select(is_finite, v, zeros());
        }
      }
    }
    add_block(sum, block);
  }
  if constexpr (all_finite) {
    Ints special = (Ints)zeros();
    for (int part = 0; part < kParts; ++part) special = special | (Ints)(largest[part] >= 0x7f800000u);
    if (lane_mask(special) != 0) return false;
    stats.finite = count;
  } else {
    stats.finite = 0;
    for (int part = 0; part < kParts; ++part) stats.finite += sum_of_lanes(finite[part]);
  }
  finish(extremes, stats);
  stats.sum_finite = total(sum);
  return true;
}

template <bool all_finite>
void second_pass(const float* z, std::int64_t count, RowStats& stats) {
  DoubleSums sum_exp = {}, sum_exp_z = {};
  for (std::int64_t i = 0; i < count; i += kBlock) {
    const Block block = load_block(z, i, count);
    Block e, e_z;
    for (int quarter = 0; quarter < 4; ++quarter) {
      for (int part = 0; part < kParts; ++part) {
        const Floats shifted = block.at[quarter][part] - stats.maximum;
        e.at[quarter][part] = exp_of_nonpositive<false>(shifted);
        // 0 * -infinity: an impossible token adds nothing
        e_z.at[quarter][part] = e.at[quarter][part] * (all_finite ? shifted : larger(shifted, broadcast(-100.f)));
      }
    }
    add_block(sum_exp, e);
    add_block(sum_exp_z, e_z);
  }
  stats.sum_exp = total(sum_exp);
  stats.sum_exp_z = total(sum_exp_z);
}

}  // namespace

void row_stats(const float* z, std::int64_t count, RowStats& stats) {
  if (first_pass<true>(z, count, stats)) return second_pass<true>(z, count, stats);
  first_pass<false>(z, count, stats);
  if (stats.usable()) second_pass<false>(z, count, stats);
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
