#pragma once
// KV-CoE in double, straight line, for judging every back end and the score functions (METHOD.md A.1-A.3, A.5):
//   e_t = mean over layers of concat over heads of V (or K, or all of K then all of V)
//   dr_t = |e_{t+1} - e_t|,  dtheta_t = 2 atan2(|u - v|, |u + v|) on the unit vectors u, v of e_{t+1}, e_t
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numbers>
#include <span>
#include <vector>

#include "kvgauge/scores.h"

namespace kvgauge::testing {

using States = std::vector<std::vector<double>>;  ///< e_1..e_T

/// Shape of K and V: row-major [layers, heads, tokens, head_dim].
struct KvShape {
  std::size_t layers = 0, heads = 0, tokens = 0, head_dim = 0;
  std::size_t elements() const { return layers * heads * tokens * head_dim; }
};

inline States reference_embeddings(std::span<const double> k, std::span<const double> v, const KvShape& shape,
                                   GaugePart part) {
  States states(shape.tokens);
  const auto append = [&](std::vector<double>& e, std::span<const double> cache, std::size_t t) {
    for (std::size_t h = 0; h < shape.heads; ++h)
      for (std::size_t j = 0; j < shape.head_dim; ++j) {
        double sum = 0;
        for (std::size_t l = 0; l < shape.layers; ++l)
          sum += cache[((l * shape.heads + h) * shape.tokens + t) * shape.head_dim + j];
        e.push_back(sum / static_cast<double>(shape.layers));
      }
  };
  for (std::size_t t = 0; t < shape.tokens; ++t) {
    if (part != GaugePart::kV) append(states[t], k, t);
    if (part != GaugePart::kK) append(states[t], v, t);
  }
  return states;
}

inline double reference_norm(const std::vector<double>& u) {
  double sum = 0;
  for (const double x : u) sum += x * x;
  return std::sqrt(sum);
}

inline double reference_distance(const std::vector<double>& u, const std::vector<double>& v) {
  double sum = 0;
  for (std::size_t i = 0; i < u.size(); ++i) sum += (u[i] - v[i]) * (u[i] - v[i]);
  return std::sqrt(sum);
}

inline double reference_angle(const std::vector<double>& u, const std::vector<double>& v) {
  const double nu = reference_norm(u), nv = reference_norm(v);
  if (nu < 1e-12 && nv < 1e-12) return 0;
  if (nu < 1e-12 || nv < 1e-12) return std::numbers::pi / 2;
  double minus = 0, plus = 0;
  for (std::size_t i = 0; i < u.size(); ++i) {
    const double a = u[i] / nu, b = v[i] / nv;
    minus += (a - b) * (a - b);
    plus += (a + b) * (a + b);
  }
  return 2 * std::atan2(std::sqrt(minus), std::sqrt(plus));
}

struct ReferenceTrajectory {
  std::vector<double> dr, dtheta;     ///< T-1 each
  double end_dr = 0, end_dtheta = 0;  ///< of the last state against the first; 0 without states
};

inline ReferenceTrajectory reference_trajectory(const States& states) {
  ReferenceTrajectory out;
  if (states.empty()) return out;
  for (std::size_t t = 0; t + 1 < states.size(); ++t) {
    out.dr.push_back(reference_distance(states[t + 1], states[t]));
    out.dtheta.push_back(reference_angle(states[t + 1], states[t]));
  }
  out.end_dr = reference_distance(states.back(), states.front());
  out.end_dtheta = reference_angle(states.back(), states.front());
  return out;
}

/// All variants of METHOD.md A.3, each written out from its formula and none from another.
inline KvCoeScores reference_kv_coe(const ReferenceTrajectory& trajectory, std::size_t tokens, double alpha = 1,
                                    double beta = 1) {
  KvCoeScores s;
  s.tokens = static_cast<std::int64_t>(tokens);
  if (tokens < 2) return s;
  s.valid = true;
  const std::size_t n = trajectory.dr.size();
  const double zr = trajectory.end_dr, zt = trajectory.end_dtheta;
  double mr = 0, mt = 0, polar_re = 0, polar_im = 0;
  for (std::size_t i = 0; i < n; ++i) {
    mr += trajectory.dr[i] / static_cast<double>(n);
    mt += trajectory.dtheta[i] / static_cast<double>(n);
    polar_re += trajectory.dr[i] * std::cos(trajectory.dtheta[i]) / static_cast<double>(n);
    polar_im += trajectory.dr[i] * std::sin(trajectory.dtheta[i]) / static_cast<double>(n);
  }
  s.mean_dr = mr;
  s.mean_dtheta = mt;
  s.end_dr = zr;
  s.end_dtheta = zt;
  s.paper_r = alpha * mr + beta * mt;
  s.paper_c = std::sqrt(mr * mr + mt * mt);
  s.diff_r = mr - mt;
  s.polar_raw_c = std::sqrt(polar_re * polar_re + polar_im * polar_im);
  if (zr <= 1e-12 || zt <= 1e-12) return s;
  double re = 0, im = 0, mean_m = 0, mean_a = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const double m = trajectory.dr[i] / zr, a = trajectory.dtheta[i] / zt;
    re += m * std::cos(a) / static_cast<double>(n);
    im += m * std::sin(a) / static_cast<double>(n);
    mean_m += m / static_cast<double>(n);
    mean_a += a / static_cast<double>(n);
  }
  s.normalized_r = mean_m - mean_a;
  s.normalized_c = std::sqrt(re * re + im * im);
  s.normalized_cart_c = std::sqrt(mean_m * mean_m + mean_a * mean_a);
  return s;
}

/// Everything at once from a cache.
inline KvCoeScores reference_kv_coe(std::span<const double> k, std::span<const double> v, const KvShape& shape,
                                    GaugePart part, double alpha = 1, double beta = 1) {
  const States states = reference_embeddings(k, v, shape, part);
  return reference_kv_coe(reference_trajectory(states), states.size(), alpha, beta);
}

}  // namespace kvgauge::testing
