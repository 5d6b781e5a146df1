#pragma once
#include <cstdint>
#include <random>
#include <span>

namespace kvgauge {

/// numpy.random.RandomState(seed): the generator whose streams numpy keeps for ever. Its core is the MT19937 of the C++
/// standard with the same seeding; how numbers below a bound are drawn from it is numpy's own.
class NumpyRandomState {
 public:
  explicit NumpyRandomState(std::uint32_t seed) : generator_(seed) {}

  std::uint32_t next() { return static_cast<std::uint32_t>(generator_()); }
  /// Uniform over 0..last: bits under the smallest mask that holds `last`, drawn again while they exceed it.
  std::uint32_t at_most(std::uint32_t last);
  /// RandomState.shuffle: from the last element down, each changes places with one of those up to itself.
  void shuffle(std::span<std::int32_t> values);

 private:
  std::mt19937 generator_;
};

}  // namespace kvgauge
