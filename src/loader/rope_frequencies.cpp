#include <cmath>
#include <numbers>

#include "core/check.h"
#include "loader/model_config.h"

namespace kvgauge {
namespace {

// Llama 3.1: wavelengths longer than original/low are stretched by `factor`, those shorter than original/high are left,
// and between them the two are blended linearly in original/wavelength.
double llama3_frequency(double frequency, const Llama3RopeScaling& scaling) {
  const double wavelength = 2 * std::numbers::pi / frequency;
  const auto original = static_cast<double>(scaling.original_max_position);
  if (wavelength > original / scaling.low_freq_factor) return frequency / scaling.factor;
  if (wavelength < original / scaling.high_freq_factor) return frequency;
  const double smooth =
      (original / wavelength - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return (1 - smooth) * frequency / scaling.factor + smooth * frequency;
}

}  // namespace

std::vector<double> rope_inverse_frequencies(const ModelConfig& config) {
  const auto pairs = static_cast<std::size_t>(config.head_dim / 2);
  KVGAUGE_CHECK(config.rope_factors.empty() || config.rope_factors.size() == pairs, config.rope_factors.size(),
                " rope factors");
  std::vector<double> frequencies(pairs);
  for (std::size_t i = 0; i < pairs; ++i) {
    double f = std::pow(config.rope_theta, -2.0 * static_cast<double>(i) / static_cast<double>(config.head_dim));
    if (config.rope_scaling) f = llama3_frequency(f, *config.rope_scaling);
    if (!config.rope_factors.empty()) f /= static_cast<double>(config.rope_factors[i]);
    frequencies[i] = f;
  }
  return frequencies;
}

}  // namespace kvgauge
