#include "core/stored_type.h"

#include <array>
#include <cstddef>

#include "core/check.h"

namespace kvgauge {
namespace {

struct Layout {
  const char* name;
  std::int64_t elements;  // of one block
  std::uint64_t bytes;    // of one block
};

const Layout& layout(StoredType type) {
  static constexpr std::array<Layout, 11> kLayouts{{{"F32", 1, 4},
                                                    {"F16", 1, 2},
                                                    {"BF16", 1, 2},
                                                    {"Q8_0", 32, 34},
                                                    {"Q4_0", 32, 18},
                                                    {"Q4_1", 32, 20},
                                                    {"Q5_0", 32, 22},
                                                    {"Q5_1", 32, 24},
                                                    {"Q4_K", 256, 144},
                                                    {"Q5_K", 256, 176},
                                                    {"Q6_K", 256, 210}}};
  const auto index = static_cast<std::size_t>(type);
  KVGAUGE_CHECK(index < kLayouts.size(), "stored type ", index);
  return kLayouts[index];
}

}  // namespace

const char* name(StoredType type) { return layout(type).name; }
std::int64_t block_elements(StoredType type) { return layout(type).elements; }

std::uint64_t stored_bytes(StoredType type, std::uint64_t elements) {
  const Layout& shape = layout(type);
  KVGAUGE_CHECK(elements % static_cast<std::uint64_t>(shape.elements) == 0, elements, " elements of ", shape.name);
  return elements / static_cast<std::uint64_t>(shape.elements) * shape.bytes;
}

}  // namespace kvgauge
