#pragma once
// Runs the emulated device's launches as what nvcc made of the kernels: the real PTX of one architecture, on ptxsim.
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ptxsim/ptxsim.h"

namespace kvgauge::testing {

struct PtxOptions {
  ptxsim::WarpPolicy warp_policy = ptxsim::WarpPolicy::greedy;
  ptxsim::Order block_order = ptxsim::Order::forward;
  std::uint64_t seed = 1;  ///< of random orders
  ptxsim::Races races = ptxsim::Races::block;
  bool count_sectors = false;  ///< also the sector and bank counters; the bytes are always counted
  /// Warp instructions of a block, after which a kernel counts as one that does not end.
  std::uint64_t max_instructions = 2'000'000'000;
  /// Of the .ptx files; "": those of the product's kernels.
  std::string folder;
};

/// Why this build has no PTX of the kernels: "no nvcc", "a build with sanitizers"; "" where it has.
std::string ptx_absence();

/// From now on launches on the emulated devices run as PTX (until emulator::set_executor takes another). Accesses must
/// stay in live device ranges (allocations and adopted memory), shared memory and the destinations of cp.async start as
/// NaN, threads must not race or leave before a barrier. A kernel's mistake breaks the emulated device with ptxsim's
/// text. Modules are decoded when first launched and kept.
/// @param architecture 80 or 90
/// @throws Error if the build has no PTX of it
void run_kernels_on_ptxsim(int architecture, PtxOptions options = {});

/// Counters of each kernel's completed launches as PTX since clear_ptx_stats(), by demangled name.
const std::map<std::string, ptxsim::Stats>& ptx_stats();
/// Their sum over the kernels whose demangled name contains `part`.
ptxsim::Stats ptx_stats(std::string_view part);
void clear_ptx_stats();

/// The demangled names of all kernels in PTX.
std::vector<std::string> ptx_kernels(int architecture);

}  // namespace kvgauge::testing
