#include "metrics/numpy_random.h"

#include <bit>
#include <utility>

namespace kvgauge {

std::uint32_t NumpyRandomState::at_most(std::uint32_t last) {
  if (last == 0) return 0;  // without a draw, as numpy does
  const std::uint32_t mask = ~std::uint32_t{0} >> std::countl_zero(last);
  std::uint32_t value = 0;
  do value = next() & mask;
  while (value > last);
  return value;
}

void NumpyRandomState::shuffle(std::span<std::int32_t> values) {
  for (std::size_t i = values.size(); i > 1; --i)
    std::swap(values[i - 1], values[at_most(static_cast<std::uint32_t>(i - 1))]);
}

}  // namespace kvgauge
