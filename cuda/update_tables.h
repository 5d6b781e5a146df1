#pragma once
#include <cstdint>

#include "cuda/stream_handle.h"

namespace kvgauge::cuda {

/// One entry of a block table that changed.
struct TableEntry {
  std::int32_t slot = 0, index = 0, block = 0;
};

/// tables[entry.slot * stride + entry.index] = entry.block for every entry; the entries name different places.
struct UpdateTablesArgs {
  std::int32_t* tables = nullptr;  ///< device [slots, stride]
  std::int64_t stride = 0;
  const TableEntry* entries = nullptr;  ///< device [count]
  std::int64_t count = 0;
};
void launch_update_tables(const UpdateTablesArgs& args, StreamHandle stream);

}  // namespace kvgauge::cuda
