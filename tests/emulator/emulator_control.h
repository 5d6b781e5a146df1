#pragma once
// What tests, other executors and emulated libraries ask of the emulated devices beside the vendor's interface.
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "cuda_runtime_api.h"
#include "launch_size.h"

namespace kvgauge::cuda::emulator {

/// Blocks, warps of a block and lanes of a warp run in this order. Warps are greedy: one runs until it is at a block
/// barrier or has ended.
enum class Order { kForward, kReverse, kRandom };
void set_order(Order order, std::uint64_t seed = 1);
Order order();
const char* name(Order order);
/// Every kernel runs three times, once in each order, each time from the same memory: what it leaves in device memory
/// must be the same bit for bit, or the launch is a fault (kOrderDependent). For tests of operations: it copies the
/// device's memory for every launch.
void set_every_order(bool on);

enum class FaultKind {
  kOutOfBounds,          ///< a write beside an allocation, or an access to memory that is not mapped
  kMisaligned,           ///< an address of ldmatrix or cp.async
  kDivergentBarrier,     ///< threads wait at different barriers, or some have ended
  kDivergentCollective,  ///< lanes are at different warp operations, or name different masks
  kLaneOutsideMask,      ///< the caller, or the lane that a shuffle reads, is not in the mask
  kAbsentLanes,          ///< the mask names lanes that have ended, wait elsewhere, or that the block does not have
  kOrderDependent,       ///< set_every_order(): the threads' order decides what is in memory afterwards
  kTrap,                 ///< __trap, integer division by zero
  kStackOverflow,
  kExecutor,  ///< thrown by the executor that replaces the fibres, or by queued work of an emulated library
  kBadCall    ///< an argument of the vendor's interface that it refuses; does not break the device
};
struct Fault {
  FaultKind kind;
  std::string text;  ///< "kernel f(Args), block (1,0,0), thread (5,0,0): what was found, what was needed"
};
/// What broke the device, or what was last refused. Calls return an error until reset(); cudaGetErrorString repeats the
/// text.
std::optional<Fault> last_fault();

/// Every device as after the program's start: queued work, streams, events, graphs and allocations dropped, errors,
/// injected failures and counters cleared. Adopted ranges, the order, the executor, limits and the device count stay.
/// All handles become invalid.
void reset();

/// 1 unless set; 0 makes calls fail with cudaErrorNoDevice. Implies reset().
void set_device_count(int devices);
/// Of each device; 1 GiB unless set. Allocations beyond it fail with cudaErrorMemoryAllocation.
void set_memory_limit(std::size_t bytes);
/// As cudaDriverGetVersion reports it; 0: no driver. Calls that need the driver fail with cudaErrorInsufficientDriver
/// below the runtime's.
void set_driver_version(int version);

/// Lets memory of the host count as device memory, until release().
void adopt(const void* pointer, std::size_t bytes, std::string name = "adopted");
void release(const void* pointer);

enum class RangeKind { kDevice, kPinned, kManaged, kAdopted };
struct DeviceRange {
  std::byte* begin;
  std::size_t bytes;
  RangeKind kind;
  int device;
  std::string name;  ///< "cudaMalloc 12", numbered from the last reset()
};
/// Live ranges that kernels may touch, by address.
std::vector<DeviceRange> device_ranges();
/// Whether all of it lies in one live range.
bool is_device_memory(const void* pointer, std::size_t bytes);
/// Live allocations (not adopted ranges), all devices: 0 after a program that frees what it takes.
std::size_t live_allocations();
std::size_t live_handles();  ///< streams, events, graphs, instantiated graphs

struct Launch {
  const void* symbol = nullptr;
  std::string name;  ///< mangled; "" where the program does not export it (link with ENABLE_EXPORTS)
  LaunchSize size;
  const void* argument = nullptr;  ///< of the kernel's only parameter; bytes copied when it was queued
  std::size_t argument_bytes = 0;
};
/// Replaces the fibres for kernels; an empty function brings them back. What it throws becomes a fault with its text.
/// @param name in records and messages, e.g. "ptx sm_80"; fibres are "emulated"
void set_executor(std::string name, std::function<void(const Launch&)> execute);
/// Appends a line "<mangled name>\t<executor>\t<order>\n" for each distinct kernel executed from now on; an empty path
/// stops it.
void record_launches(const std::string& path);

/// The nth (from 1) call from now of the named function ("cudaMalloc"; "cudaLaunchKernel" for launches) returns `error`
/// and does nothing.
void fail_call(const std::string& function, int nth, cudaError_t error);
/// The nth execution from now of a kernel whose demangled name contains `part` breaks the device as an illegal address
/// does.
void fault_kernel(const std::string& part, int nth);

struct Counters {
  std::map<std::string, std::int64_t> launches;  ///< executed, by demangled name
  std::map<std::string, std::int64_t> calls;     ///< of the vendor's functions
  std::int64_t host_to_device_bytes = 0, device_to_host_bytes = 0, device_to_device_bytes = 0;
  std::int64_t pageable_copies =
      0;  ///< asynchronous by name, but the runtime waits because the host's memory is not pinned
  std::int64_t synchronizations =
      0;  ///< calls that made the host wait: stream, event and device, blocking copies, cudaFree
  std::int64_t graph_launches = 0;
};
const Counters& counters();
void reset_counters();

/// For emulated libraries: queues `work` in stream order, or captures it. Arguments must be copied into `work`.
/// @param call counted, and the name for fail_call; @return as a launch would
cudaError_t enqueue(cudaStream_t stream, const char* call, std::function<void()> work);
/// In queued work: ends it with a fault.
[[noreturn]] void raise_fault(FaultKind kind, std::string text);

std::string demangled(const char* mangled);

}  // namespace kvgauge::cuda::emulator
