// Brings the device's block tables up to date: a decoding sequence gets a new page every 32 tokens, so sending what
// changed costs a few bytes a step where sending the tables would cost hundreds per sequence. One thread per entry; 12
// bytes read and 4 written each.
#include "cuda/update_tables.h"

#include "cuda/device.cuh"

namespace kvgauge::cuda {

__global__ void update_tables_kernel(UpdateTablesArgs a) {
  const std::int64_t i = global_thread_index();
  if (i >= a.count) return;  // no barrier follows
  const TableEntry entry = a.entries[i];
  a.tables[entry.slot * a.stride + entry.index] = entry.block;
}

void launch_update_tables(const UpdateTablesArgs& args, StreamHandle stream) {
  constexpr unsigned kThreads = 128;
  if (args.count == 0) return;
  const LaunchShape shape{.grid = dim3(static_cast<unsigned>(ceil_div(args.count, kThreads))), .block = dim3(kThreads)};
  launch(stream, shape, update_tables_kernel, args);
}

}  // namespace kvgauge::cuda
