// Of builds that have no PTX of the kernels: without nvcc, or with sanitizers.
#include "kvgauge/error.h"
#include "support/ptx_executor.h"

namespace kvgauge::testing {

bool ptx_available(int) { return false; }

void run_kernels_on_ptxsim(int, PtxOptions) {
  throw Error("ptx: this build has no PTX of the kernels, one with nvcc and without sanitizers was needed");
}

const std::map<std::string, ptxsim::Stats>& ptx_stats() {
  static const std::map<std::string, ptxsim::Stats> none;
  return none;
}
ptxsim::Stats ptx_stats(std::string_view) { return {}; }
void clear_ptx_stats() {}

std::vector<std::string> ptx_kernels(int) { return {}; }

}  // namespace kvgauge::testing
