#pragma once
#include <cstdint>
#include <memory>

namespace kvgauge::cpu {

/// bf16 products by oneDNN over our own panels: [n/64][k/2][64][2] with k padded to 32 is its blocked layout
/// BA16a64b2a, so one packed copy of a weight serves our kernels and its AMX kernels.
class OneDnnProducts {
 public:
  /// True where its kernels outrun ours: on processors with AMX. Without, ours are level at many rows and ahead at few.
  static bool preferred();
  /// The least rows for which that holds.
  static constexpr std::int64_t kLeastRows = 8;

  explicit OneDnnProducts(int threads);
  ~OneDnnProducts();

  /// Makes the primitives of a shape for blocks of up to `rows` rows.
  void prepare(std::int64_t columns, std::int64_t depth, std::int64_t rows);
  /// Computes the first rows of out[r, n] = sum_k x[r, k] w[n, k], as many as the largest primitive takes.
  /// @param x bf16 [rows, depth] dense, @param out f32 [rows, columns] dense
  /// @return how many rows were computed, 0 if there is no primitive for so few
  std::int64_t run(const void* x, std::int64_t rows, const void* panels, std::int64_t columns, std::int64_t depth,
                   float* out);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kvgauge::cpu
