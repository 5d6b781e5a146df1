#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

namespace kvgauge::testing {

/// The generator of the goldens (METHOD.md J): s = s * 6364136223846793005 + 1442695040888963407 mod 2^64, s0 = seed.
/// Every draw is exact in double; f24 and near1 are exact in float, f8 in bf16.
class Lcg {
 public:
  explicit Lcg(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() { return state_ = state_ * 6364136223846793005ull + 1442695040888963407ull; }
  double f24() { return (static_cast<double>(next() >> 40) - 8388608.0) / 8388608.0; }     ///< [-1, 1), 24 bits
  double f8() { return (static_cast<double>(next() >> 56) - 128.0) / 128.0; }              ///< [-1, 1), 8 bits
  double near1() { return 1.0 + (static_cast<double>(next() >> 51) - 4096.0) * 0x1p-23; }  ///< within 2^-11 of 1
  double u53() { return static_cast<double>(next() >> 11) * 0x1p-53; }                     ///< [0, 1)

  /// `count` draws of one kind in stream order, each times `scale`: values(n, &Lcg::f24, 4.0).
  std::vector<double> values(std::size_t count, double (Lcg::*draw)() = &Lcg::f24, double scale = 1) {
    std::vector<double> out(count);
    for (double& value : out) value = (this->*draw)() * scale;
    return out;
  }

 private:
  std::uint64_t state_;
};

}  // namespace kvgauge::testing
