#pragma once
#include <array>
#include <cstddef>
#include <cstdint>

namespace kvgauge::math {

/// A rational number modulo two primes of 61 bits: equal residues of numbers that people write are equal numbers (two
/// different ones agree with probability 2^-122), whatever their length.
inline constexpr std::array<std::uint64_t, 2> kPrimes = {2305843009213693951u,
                                                         2305843009213693921u};  // 2^61 - 1, 2^61 - 31

struct Residue {
  std::array<std::uint64_t, 2> of = {0, 0};
  friend bool operator==(const Residue&, const Residue&) = default;
};

inline std::uint64_t product_mod(std::uint64_t a, std::uint64_t b, std::uint64_t prime) {
  return static_cast<std::uint64_t>(static_cast<unsigned __int128>(a) * b % prime);
}

inline std::uint64_t power_mod(std::uint64_t base, std::uint64_t exponent, std::uint64_t prime) {
  std::uint64_t result = 1;
  for (; exponent > 0; exponent >>= 1) {
    if (exponent & 1) result = product_mod(result, base, prime);
    base = product_mod(base, base, prime);
  }
  return result;
}

template <class Operation>
Residue each_prime(Operation operation) {
  Residue out;
  for (std::size_t k = 0; k < 2; ++k) out.of[k] = operation(k, kPrimes[k]);
  return out;
}

inline Residue residue(std::int64_t n) {
  return each_prime([&](std::size_t, std::uint64_t prime) {
    const std::uint64_t magnitude = (n < 0 ? 0 - static_cast<std::uint64_t>(n) : static_cast<std::uint64_t>(n)) % prime;
    return n < 0 && magnitude > 0 ? prime - magnitude : magnitude;
  });
}
inline Residue operator+(const Residue& a, const Residue& b) {
  return each_prime([&](std::size_t k, std::uint64_t prime) { return (a.of[k] + b.of[k]) % prime; });
}
inline Residue operator-(const Residue& a) {
  return each_prime([&](std::size_t k, std::uint64_t prime) { return a.of[k] == 0 ? 0 : prime - a.of[k]; });
}
inline Residue operator*(const Residue& a, const Residue& b) {
  return each_prime([&](std::size_t k, std::uint64_t prime) { return product_mod(a.of[k], b.of[k], prime); });
}
inline Residue power(const Residue& a, std::uint64_t exponent) {
  return each_prime([&](std::size_t k, std::uint64_t prime) { return power_mod(a.of[k], exponent, prime); });
}
inline bool has_inverse(const Residue& a) { return a.of[0] != 0 && a.of[1] != 0; }
/// Fermat: a^(p-2). 0 where there is none.
inline Residue inverse(const Residue& a) {
  return each_prime([&](std::size_t k, std::uint64_t prime) { return power_mod(a.of[k], prime - 2, prime); });
}

}  // namespace kvgauge::math
