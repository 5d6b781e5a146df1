// Of builds that have no PTX of the kernels: without nvcc, or with sanitizers.
#include "kvgauge/error.h"
#include "support/ptx_executor.h"

namespace kvgauge::testing {

std::string ptx_absence() { return KVGAUGE_PTX_ABSENCE; }

void run_kernels_on_ptxsim(int, PtxOptions) {
  throw Error("ptx: " KVGAUGE_PTX_ABSENCE ", kernels compiled to PTX were needed");
}

const std::map<std::string, ptxsim::Stats>& ptx_stats() {
  static const std::map<std::string, ptxsim::Stats> none;
  return none;
}
ptxsim::Stats ptx_stats(std::string_view) { return {}; }
void clear_ptx_stats() {}

std::vector<std::string> ptx_kernels(int) { return {}; }

}  // namespace kvgauge::testing
