#include "support/kernel_records.h"

#include <fstream>

#include "core/cat.h"
#include "emulator_control.h"

namespace kvgauge::testing {

void record_kernels() { cuda::emulator::record_launches(KVGAUGE_BUILD_DIR "/kernel_records.txt"); }

void record_kernel_bytes(std::string_view kernel, std::string_view executor, std::string_view what, std::uint64_t moved,
                         std::uint64_t minimum) {
  // One write of one line: tests run side by side.
  std::ofstream(KVGAUGE_BUILD_DIR "/kernel_bytes.txt", std::ios::app)
      << cat(kernel, '\t', executor, '\t', what, '\t', moved, '\t', minimum, '\n') << std::flush;
}

}  // namespace kvgauge::testing
