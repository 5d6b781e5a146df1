#pragma once
#include <array>
#include <cstdint>

namespace kvgauge {

/// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011): a counter-based generator.
/// The same (key, counter) gives the same four words on every machine, in any order of calls.
std::array<std::uint32_t, 4> philox(std::uint64_t key, std::uint64_t counter_low, std::uint64_t counter_high);

/// Uniform in [0, 1) with 53 bits for draw number `draw` of stream `stream` under `seed`.
/// The sampler uses stream = sequence of a row, draw = index of the sampled token, so a row never depends on its batch.
double uniform(std::uint64_t seed, std::uint64_t stream, std::uint64_t draw);

/// splitmix64: a 64-bit mix for hashes and derived seeds.
constexpr std::uint64_t mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ull;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

}  // namespace kvgauge
