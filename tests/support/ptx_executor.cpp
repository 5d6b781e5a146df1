#include "support/ptx_executor.h"

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "core/cat.h"
#include "emulator_control.h"
#include "kvgauge/error.h"

namespace kvgauge::testing {
namespace {

namespace emulator = kvgauge::cuda::emulator;

/// The kernels in one folder for one architecture. Which file holds an entry is found by its text, so that only files
/// with a kernel that is launched are decoded.
class Kernels {
 public:
  static Kernels& of(const std::string& folder, int architecture) {
    static std::map<std::pair<std::string, int>, Kernels> known;
    const std::string path = folder.empty() ? KVGAUGE_PTX_FOLDER : folder;
    return known.try_emplace({path, architecture}, path, architecture).first->second;
  }

  Kernels(const std::string& folder, int architecture) : where_(cat(folder, "/*.sm", architecture, ".ptx")) {
    for (const auto& file : std::filesystem::directory_iterator(folder))
      if (file.path().native().ends_with(cat(".sm", architecture, ".ptx"))) list_entries(file.path());
  }

  const ptxsim::Module& module_of(const std::string& entry, std::size_t argument_bytes) {
    const auto file = file_of_.find(entry);
    if (file == file_of_.end())
      throw Error(cat(where_, ": none has kernel ", entry, ", its source must be among those compiled to PTX"));
    auto module = modules_.find(file->second);
    if (module == modules_.end()) {
      module = modules_.emplace(file->second, ptxsim::Module::from_file(file->second)).first;
      for (const ptxsim::Entry& found : module->second.entries()) parameters_[found.name] = found.params;
    }
    const auto& parameters = parameters_.at(entry);
    if (parameters.size() != 1 || parameters[0].size != argument_bytes)
      throw Error(cat(file->second, ": ", entry, " takes ", parameters.size(), " arguments, one of ", argument_bytes,
                      " bytes was needed"));
    return module->second;
  }

  std::vector<std::string> names() const {
    std::vector<std::string> names;
    for (const auto& [entry, file] : file_of_) names.push_back(emulator::demangled(entry.c_str()));
    return names;
  }

 private:
  void list_entries(const std::filesystem::path& path) {
    constexpr std::string_view kMark = ".entry ";
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
      const std::size_t at = line.find(kMark);
      if (at == std::string::npos) continue;
      const std::size_t begin = at + kMark.size();
      file_of_[line.substr(begin, line.find('(', begin) - begin)] = path.string();
    }
  }

  std::string where_;
  std::map<std::string, std::string> file_of_;                    // by mangled name
  std::map<std::string, ptxsim::Module> modules_;                 // by path
  std::map<std::string, std::vector<ptxsim::Param>> parameters_;  // by mangled name, of loaded modules
};

std::map<std::string, ptxsim::Stats>& all_stats() {
  static std::map<std::string, ptxsim::Stats> stats;
  return stats;
}

ptxsim::Dim3 dimensions(const dim3& size) { return {size.x, size.y, size.z}; }

void execute(int architecture, const PtxOptions& options, const emulator::Launch& launch) {
  if (launch.name.empty())
    throw Error("the program does not export the kernel's symbol, ENABLE_EXPORTS or -rdynamic was needed");
  const ptxsim::Module& module =
      Kernels::of(options.folder, architecture).module_of(launch.name, launch.argument_bytes);
  ptxsim::Memory memory;
  for (const emulator::DeviceRange& range : emulator::device_ranges())
    memory.register_range(range.begin, range.bytes, range.name);
  ptxsim::Launch shape{.grid = dimensions(launch.size.grid),
                       .block = dimensions(launch.size.block),
                       .shared_bytes = launch.size.shared_bytes,
                       .options = {}};
  shape.options.memory = &memory;
  shape.options.block_order = options.block_order;
  shape.options.warp_policy = options.warp_policy;
  shape.options.seed = options.seed;
  shape.options.races = options.races;
  shape.options.strict_barriers = true;
  shape.options.count_memory = options.count_sectors;
  shape.options.max_instructions = options.max_instructions;
  const void* const arguments[] = {launch.argument};
  all_stats()[emulator::demangled(launch.name.c_str())] += module.launch(launch.name, shape, arguments);
}

}  // namespace

std::string ptx_absence() { return ""; }

void run_kernels_on_ptxsim(int architecture, PtxOptions options) {
  if (architecture != 80 && architecture != 90)
    throw Error(cat("ptx: architecture ", architecture, " is not compiled, 80 or 90 was needed"));
  emulator::set_executor(cat("ptx sm_", architecture),
                         [architecture, options = std::move(options)](const emulator::Launch& launch) {
                           execute(architecture, options, launch);
                         });
}

const std::map<std::string, ptxsim::Stats>& ptx_stats() { return all_stats(); }
ptxsim::Stats ptx_stats(std::string_view part) {
  ptxsim::Stats sum;
  for (const auto& [kernel, stats] : all_stats())
    if (kernel.find(part) != std::string::npos) sum += stats;
  return sum;
}
void clear_ptx_stats() { all_stats().clear(); }

std::vector<std::string> ptx_kernels(int architecture) { return Kernels::of("", architecture).names(); }

}  // namespace kvgauge::testing
