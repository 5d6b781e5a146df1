#include <cstddef>
#include <cstdint>
#include <span>

#include "core/check.h"
#include "kvgauge/error.h"
#include "loader/npy.h"

// Any bytes as a .npy file: a matrix with all its values, or an error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const kvgauge::NpyMatrix matrix = kvgauge::parse_npy(std::as_bytes(std::span(data, size)), "fuzz");
    KVGAUGE_CHECK(matrix.rows >= 0 && matrix.columns >= 0 &&
                  static_cast<std::size_t>(matrix.rows * matrix.columns) == matrix.values.size());
  } catch (const kvgauge::Error&) {
  }
  return 0;
}
