#pragma once
#include <cmath>
#include <cstddef>
#include <vector>

namespace kvgauge::testing {

/// A vector with the sizes of what it was summed from: rounding is relative to them, not to the sums.
struct PoolReference {
  std::vector<double> features, magnitudes;
};

/// @param rows [layer][position of the window], each the part's values: heads one after another, K before V
/// @param head_dim, heads of a part; the rows hold one part or two
inline PoolReference reference_kv_pool(const std::vector<std::vector<std::vector<double>>>& rows, int heads,
                                       int head_dim, bool mean_over_positions, bool mean_over_heads,
                                       bool mean_over_layers = true) {
  PoolReference out;
  const std::size_t parts = rows[0][0].size() / static_cast<std::size_t>(heads * head_dim);
  for (std::size_t part = 0; part < parts; ++part) {
    for (int first_head = 0; first_head < (mean_over_heads ? 1 : heads); ++first_head) {
      for (int j = 0; j < head_dim; ++j) {
        double sum = 0, magnitude = 0;
        for (const auto& layer : rows) {
          for (const auto& row : layer) {
            for (int head = first_head; head < (mean_over_heads ? heads : first_head + 1); ++head) {
              const double x = row[part * static_cast<std::size_t>(heads * head_dim) +
                                   static_cast<std::size_t>(head * head_dim + j)];
              sum += x;
              magnitude += std::abs(x);
            }
          }
        }
        double by = mean_over_layers ? static_cast<double>(rows.size()) : 1;
        if (mean_over_positions) by *= static_cast<double>(rows[0].size());
        if (mean_over_heads) by *= heads;
        out.features.push_back(sum / by);
        out.magnitudes.push_back(magnitude / by);
      }
    }
  }
  return out;
}

struct HeadReference {
  double d, magnitude;
};

/// d = w2 . relu(W1 x + b1) + b2. @param w1 [hidden, features] row-major
inline HeadReference reference_pool_head(const std::vector<double>& x, const std::vector<double>& magnitudes,
                                         const std::vector<float>& w1, const std::vector<float>& b1,
                                         const std::vector<float>& w2, float b2) {
  HeadReference out{b2, std::abs(double{b2})};
  for (std::size_t h = 0; h < b1.size(); ++h) {
    double sum = b1[h], magnitude = std::abs(double{b1[h]});
    for (std::size_t c = 0; c < x.size(); ++c) {
      sum += double{w1[h * x.size() + c]} * x[c];
      magnitude += std::abs(double{w1[h * x.size() + c]}) * magnitudes[c];
    }
    out.d += double{w2[h]} * std::max(sum, 0.0);
    out.magnitude += std::abs(double{w2[h]}) * magnitude;
  }
  return out;
}

}  // namespace kvgauge::testing
