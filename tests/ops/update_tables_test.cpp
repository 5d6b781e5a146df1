#include "cuda/update_tables.h"

#include "cuda/stream.h"
#include "ops_support.h"

namespace kvgauge::testing {
namespace {

class UpdateTables : public OnEveryExecutor {};

TEST_P(UpdateTables, ChangesTheNamedEntriesAndNoOther) {
  Random random(test_seed(111));
  const auto backend = backend_for(GetParam());  // makes the executor current
  const cuda::Stream stream;
  const cuda::Event done;
  constexpr std::int64_t kSlots = 37, kStride = 19;
  for (const std::int64_t count : {0, 1, 128, 129, 500}) {
    std::vector<std::int32_t> places(kSlots * kStride);
    std::iota(places.begin(), places.end(), 0);
    std::shuffle(places.begin(), places.end(), random);
    DeviceVector<std::int32_t> tables(kSlots * kStride, -7);
    auto want = tables;
    DeviceVector<cuda::TableEntry> entries;
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int32_t place = places[static_cast<std::size_t>(i)];
      const auto block = static_cast<std::int32_t>(random() % 1'000'000);
      entries.push_back({.slot = place / static_cast<std::int32_t>(kStride),
                         .index = place % static_cast<std::int32_t>(kStride),
                         .block = block});
      want[static_cast<std::size_t>(place)] = block;
    }
    cuda::launch_update_tables({.tables = tables.data(), .stride = kStride, .entries = entries.data(), .count = count},
                               stream.get());
    done.record(stream);
    done.wait();
    EXPECT_EQ(tables, want) << count << " entries";
  }
}

KVGAUGE_ON_EVERY_DEVICE(UpdateTables);

}  // namespace
}  // namespace kvgauge::testing
