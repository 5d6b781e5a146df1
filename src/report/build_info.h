#pragma once
#include <string>

namespace kvgauge {

/// What this binary was made from; fixed at configure time.
struct BuildInfo {
  std::string version;  ///< "0.1.0"
  std::string commit;   ///< of git, "-dirty" appended if files differ from it; "unknown" outside a checkout
  std::string options;  ///< compiler, build type, sanitizers, back ends
  std::string source;   ///< the folder it was built from: the last place to look for the embedded model
};
const BuildInfo& build_info();

/// The instruction sets of this machine that matter to the CPU back end, e.g. "avx2 avx512f avx512_bf16"; "unknown" if
/// the system does not tell.
std::string cpu_features();

}  // namespace kvgauge
