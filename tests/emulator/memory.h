#pragma once
// What kernels and copies may touch. Allocations lie between pages that must not be touched, with marked bytes where
// alignment leaves room.
#include <cstddef>
#include <string>
#include <vector>

#include "emulator_control.h"

namespace kvgauge::cuda::emulator {

/// nullptr: beyond the limit of the device (only device and managed memory count). Filled with 0xff bytes.
void* allocate(std::size_t bytes, RangeKind kind, int device, const char* call);
/// The live range that begins at the pointer, or nullptr.
const DeviceRange* range_at(const void* begin);
/// The live range that holds all the bytes, or nullptr.
const DeviceRange* range_of(const void* pointer, std::size_t bytes);
bool overlaps_range(const void* pointer, std::size_t bytes);
/// @throws FaultError if its marked bytes were overwritten; it is freed all the same
void free_range(const void* begin);
void add_range(const DeviceRange& range);
void drop_range(const void* begin);
std::size_t used_bytes(int device);
void free_all();

/// A live range and, where the memory is ours, its whole pages with the marked bytes.
struct MappedRange {
  DeviceRange range;
  std::byte* begin;
  std::size_t bytes;
  bool is_ours;
};
/// All that kernels may write; memory that the host registered is left out.
std::vector<MappedRange> mapped_ranges();

/// "12 bytes behind cudaMalloc 3 of 100 bytes" or "in no allocation"
std::string describe_address(const void* address);
/// @throws FaultError if marked bytes of any allocation were overwritten. @param culprit "kernel f(Args)"
void check_canaries(const std::string& culprit);

}  // namespace kvgauge::cuda::emulator
