#include <cstddef>
#include <cstdint>
#include <string_view>

#include "core/check.h"
#include "kvgauge/error.h"
#include "report/label_row.h"

// Any JSON as a row of a labels file: one whose checkpoints lie in its slow generation, or an error.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const kvgauge::LabelRow row =
        kvgauge::read_label_row(kvgauge::parse_ordered_json({reinterpret_cast<const char*>(data), size}, "fuzz"));
    KVGAUGE_CHECK(!row.prompt_ids.empty() && !row.slow.empty() && row.slow.size() == row.fast.size());
    KVGAUGE_CHECK(row.label >= 0 && row.label <= 100);
    std::int64_t before = -1;
    for (const auto& checkpoint : row.checkpoints) {
      KVGAUGE_CHECK(checkpoint.at > before && checkpoint.at < std::ssize(row.slow.front().output_ids));
      before = checkpoint.at;
    }
    const double label = kvgauge::label_of(row, {});
    KVGAUGE_CHECK(label >= 0 && label <= 100);
  } catch (const kvgauge::Error&) {
  }
  return 0;
}
