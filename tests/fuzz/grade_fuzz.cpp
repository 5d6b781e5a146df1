// Any bytes are graded, for every dataset, and equality does not depend on the order of the answers. The first byte
// chooses the dataset, the first line break separates the response from the gold answer.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "grade/grader.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using kvgauge::Dataset;
  if (size == 0) return 0;
  constexpr Dataset kAll[] = {Dataset::kExact, Dataset::kGsm8k, Dataset::kMath, Dataset::kTheoremqa, Dataset::kCsqa};
  const Dataset dataset = kAll[data[0] % 5];
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const std::size_t line = std::min(text.find('\n'), text.size());
  const std::string_view response = text.substr(0, line), gold = text.substr(std::min(line + 1, text.size()));
  const kvgauge::Grade g = kvgauge::grade(dataset, response, gold);
  if (!g.predicted && g.correct) std::abort();
  if (kvgauge::equivalent(dataset, response, gold) != kvgauge::equivalent(dataset, gold, response)) std::abort();
  return 0;
}
