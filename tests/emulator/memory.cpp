#include "memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <new>

#include "block.h"
#include "core/cat.h"

#if defined(KVGAUGE_EMULATOR_ASAN)
#include <sanitizer/asan_interface.h>
#endif

namespace kvgauge::cuda::emulator {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kGuard =
    std::size_t{16} << 20;  // of address space on either side, so that a wild index rarely meets other memory
constexpr std::size_t kAlignment = 256;  // of the vendor's allocations
constexpr int kUndefined = 0xff;
constexpr int kMark = 0xa5;

struct Allocation {
  DeviceRange range;
  std::byte* mapping = nullptr;  ///< nullptr: adopted or registered
  std::size_t mapping_bytes = 0;

  std::byte* first() const { return mapping + kGuard; }                 ///< marked bytes [first, range.begin)
  std::byte* last() const { return mapping + mapping_bytes - kGuard; }  ///< and [range.begin + bytes, last)
};

std::map<std::uintptr_t, Allocation> g_allocations;
std::map<int, std::size_t> g_used;
int g_next_number = 1;

std::uintptr_t key(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer); }

std::size_t round_up(std::size_t bytes, std::size_t unit) { return (bytes + unit - 1) / unit * unit; }

void poison(const Allocation& a) {
#if defined(KVGAUGE_EMULATOR_ASAN)
  __asan_poison_memory_region(a.first(), static_cast<std::size_t>(a.range.begin - a.first()));
  __asan_poison_memory_region(a.range.begin + a.range.bytes,
                              static_cast<std::size_t>(a.last() - a.range.begin) - a.range.bytes);
#else
  (void)a;
#endif
}

void unpoison(const Allocation& a) {
#if defined(KVGAUGE_EMULATOR_ASAN)
  __asan_unpoison_memory_region(a.first(), static_cast<std::size_t>(a.last() - a.first()));
#else
  (void)a;
#endif
}

/// First overwritten byte of [begin, end), or nullptr.
[[maybe_unused]] const std::byte* first_changed(const std::byte* begin, const std::byte* end) {
  for (const std::byte* at = begin; at != end; ++at)
    if (*at != std::byte{kMark}) return at;
  return nullptr;
}

/// Whole pages of large allocations are copies of one undefined page range, so that memory nobody writes takes none.
void make_undefined(const Allocation& a) {
  constexpr std::size_t kShared = std::size_t{1} << 20;
  static const int undefined = [] {
    const int file = memfd_create("undefined", MFD_CLOEXEC);
    const std::vector<std::byte> bytes(kShared, std::byte{kUndefined});
    return file >= 0 && write(file, bytes.data(), kShared) == static_cast<ssize_t>(kShared) ? file : -1;
  }();
  std::byte* at = a.first();
  for (; undefined >= 0 && static_cast<std::size_t>(a.last() - at) >= kShared; at += kShared)
    if (mmap(at, kShared, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, undefined, 0) == MAP_FAILED)
      throw std::bad_alloc();
  std::memset(at, kUndefined, static_cast<std::size_t>(a.last() - at));
}

bool counts(RangeKind kind) { return kind == RangeKind::kDevice || kind == RangeKind::kManaged; }

/// @return the first overwritten byte beside the allocation
const std::byte* damage([[maybe_unused]] const Allocation& a) {
#if defined(KVGAUGE_EMULATOR_ASAN)
  return nullptr;  // poisoned instead
#else
  if (a.mapping == nullptr) return nullptr;
  const std::byte* const before = first_changed(a.first(), a.range.begin);
  return before != nullptr ? before : first_changed(a.range.begin + a.range.bytes, a.last());
#endif
}

void mark(const Allocation& a) {
  std::memset(a.first(), kMark, static_cast<std::size_t>(a.range.begin - a.first()));
  std::memset(a.range.begin + a.range.bytes, kMark, static_cast<std::size_t>(a.last() - a.range.begin) - a.range.bytes);
}

}  // namespace

void* allocate(std::size_t bytes, RangeKind kind, int device, const char* call) {
  const std::size_t inner = round_up(round_up(bytes, kAlignment), kPage);
  Allocation a;
  a.mapping_bytes = inner + 2 * kGuard;
  void* const mapping = mmap(nullptr, a.mapping_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) return nullptr;
  a.mapping = static_cast<std::byte*>(mapping);
  if (mprotect(a.first(), inner, PROT_READ | PROT_WRITE) != 0) {
    munmap(mapping, a.mapping_bytes);
    return nullptr;
  }
  a.range = {a.last() - round_up(bytes, kAlignment), bytes, kind, device, cat(call, " ", g_next_number++)};
  make_undefined(a);
  mark(a);
  poison(a);
  if (counts(kind)) g_used[device] += bytes;
  g_allocations[key(a.range.begin)] = a;
  return a.range.begin;
}

const DeviceRange* range_at(const void* begin) {
  const auto found = g_allocations.find(key(begin));
  return found == g_allocations.end() ? nullptr : &found->second.range;
}

const DeviceRange* range_of(const void* pointer, std::size_t bytes) {
  auto after = g_allocations.upper_bound(key(pointer));
  if (after == g_allocations.begin()) return nullptr;
  const DeviceRange& range = std::prev(after)->second.range;
  const std::size_t offset = key(pointer) - key(range.begin);
  return offset <= range.bytes && bytes <= range.bytes - offset ? &range : nullptr;
}

bool overlaps_range(const void* pointer, std::size_t bytes) {
  auto after = g_allocations.lower_bound(key(pointer) + bytes);
  if (after == g_allocations.begin()) return false;
  const DeviceRange& range = std::prev(after)->second.range;
  return key(range.begin) + range.bytes > key(pointer);
}

void free_range(const void* begin) {
  const auto found = g_allocations.find(key(begin));
  const Allocation a = found->second;
  g_allocations.erase(found);
  const std::byte* const changed = damage(a);
  if (counts(a.range.kind)) g_used[a.range.device] -= a.range.bytes;
  unpoison(a);
  munmap(a.mapping, a.mapping_bytes);
  if (changed != nullptr)
    throw FaultError(FaultKind::kOutOfBounds,
                     cat(a.range.name, ": bytes beside its ", a.range.bytes, " were overwritten"));
}

void add_range(const DeviceRange& range) { g_allocations[key(range.begin)] = {range, nullptr, 0}; }
void drop_range(const void* begin) { g_allocations.erase(key(begin)); }

std::size_t used_bytes(int device) { return g_used[device]; }

void free_all() {
  for (auto at = g_allocations.begin(); at != g_allocations.end();) {
    const Allocation& a = at->second;
    if (a.range.kind == RangeKind::kAdopted) {
      ++at;
      continue;
    }
    if (a.mapping != nullptr) {
      unpoison(a);
      munmap(a.mapping, a.mapping_bytes);
    }
    at = g_allocations.erase(at);
  }
  g_used.clear();
  g_next_number = 1;
}

std::vector<MappedRange> mapped_ranges() {
  std::vector<MappedRange> ranges;
  for (const auto& [begin, a] : g_allocations) {
    if (a.mapping != nullptr)
      ranges.push_back({a.range, a.first(), static_cast<std::size_t>(a.last() - a.first()), true});
    if (a.mapping == nullptr && a.range.kind == RangeKind::kAdopted)
      ranges.push_back({a.range, a.range.begin, a.range.bytes, false});
  }
  return ranges;
}

std::string describe_address(const void* address) {
  const std::uintptr_t at = key(address);
  const auto after = g_allocations.upper_bound(at);
  std::string best = "in no allocation";
  std::uintptr_t distance = kGuard;  // farther is nobody's neighbour
  if (after != g_allocations.begin()) {
    const DeviceRange& range = std::prev(after)->second.range;
    const std::uintptr_t offset = at - key(range.begin);
    if (offset < range.bytes) return cat("byte ", offset, " of ", range.name, " of ", range.bytes, " bytes");
    if (offset - range.bytes < distance) {
      distance = offset - range.bytes;
      best = cat(distance, " bytes behind ", range.name, " of ", range.bytes, " bytes");
    }
  }
  if (after != g_allocations.end() && after->first - at < distance)
    best =
        cat(after->first - at, " bytes before ", after->second.range.name, " of ", after->second.range.bytes, " bytes");
  return best;
}

void check_canaries(const std::string& culprit) {
  for (const auto& [begin, a] : g_allocations) {
    const std::byte* const changed = damage(a);
    if (changed == nullptr) continue;
    mark(a);
    throw FaultError(FaultKind::kOutOfBounds,
                     cat(culprit, ": wrote ", fmt::ptr(changed), ", which is ", describe_address(changed)));
  }
}

void adopt(const void* pointer, std::size_t bytes, std::string name) {
  add_range({static_cast<std::byte*>(const_cast<void*>(pointer)), bytes, RangeKind::kAdopted, 0, std::move(name)});
}
void release(const void* pointer) {
  const DeviceRange* const range = range_at(pointer);
  if (range != nullptr && range->kind == RangeKind::kAdopted) drop_range(pointer);
}

std::vector<DeviceRange> device_ranges() {
  std::vector<DeviceRange> ranges;
  for (const auto& [begin, a] : g_allocations) ranges.push_back(a.range);
  return ranges;
}
bool is_device_memory(const void* pointer, std::size_t bytes) { return range_of(pointer, bytes) != nullptr; }
std::size_t live_allocations() {
  std::size_t count = 0;
  for (const auto& [begin, a] : g_allocations) count += a.range.kind != RangeKind::kAdopted;
  return count;
}

}  // namespace kvgauge::cuda::emulator
