#include "report/build_info.h"

#include <array>
#include <fstream>
#include <set>
#include <sstream>

namespace kvgauge {

const BuildInfo& build_info() {
  static const BuildInfo info{.version = KVGAUGE_VERSION,
                              .commit = KVGAUGE_COMMIT,
                              .options = KVGAUGE_BUILD_OPTIONS,
                              .source = KVGAUGE_SOURCE_DIR};
  return info;
}

std::string cpu_features() {
  std::ifstream file("/proc/cpuinfo");
  std::string line;
  while (std::getline(file, line) && !line.starts_with("flags")) {
  }
  std::istringstream words(line);
  std::set<std::string> flags;
  for (std::string word; words >> word;) flags.insert(word);
  std::string found;
  for (const char* const name :
       {"avx2", "fma", "f16c", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16"})
    if (flags.contains(name)) found.append(found.empty() ? "" : " ").append(name);
  return found.empty() ? "unknown" : found;
}

}  // namespace kvgauge
