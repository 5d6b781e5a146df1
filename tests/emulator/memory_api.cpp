// Allocation and copies of the vendor's interface.
#include <cstring>

#include "core/cat.h"
#include "memory.h"
#include "runtime.h"

using namespace kvgauge::cuda::emulator;
using kvgauge::cat;

namespace {

bool on_device(const DeviceRange* range) { return range != nullptr && range->kind != RangeKind::kPinned; }
bool on_host(const DeviceRange* range) {
  return range == nullptr || range->kind == RangeKind::kPinned || range->kind == RangeKind::kManaged;
}

cudaError_t allocate_for(const char* function, void** pointer, std::size_t bytes, RangeKind kind) {
  return call(function, [&] {
    if (pointer == nullptr) return cudaErrorInvalidValue;
    *pointer = nullptr;
    if (const cudaError_t error = refuse_in_capture(nullptr, function); error != cudaSuccess) return error;
    if (bytes == 0) return kind == RangeKind::kManaged ? cudaErrorInvalidValue : cudaSuccess;
    const std::size_t used = used_bytes(current_device()), limit = runtime().memory_limit;
    if (kind != RangeKind::kPinned && (used > limit || bytes > limit - used)) return cudaErrorMemoryAllocation;
    *pointer = allocate(bytes, kind, current_device(), function);
    return *pointer == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
  });
}

cudaError_t free_for(const char* function, void* pointer, bool pinned) {
  return call(function, [&] {
    if (pointer == nullptr) return cudaSuccess;
    if (const cudaError_t error = refuse_in_capture(nullptr, function); error != cudaSuccess) return error;
    const DeviceRange* const range = range_at(pointer);
    if (range == nullptr || range->kind == RangeKind::kAdopted || (range->kind == RangeKind::kPinned) != pinned)
      return refuse(cudaErrorInvalidValue, cat(function, ": ", fmt::ptr(pointer), " is ", describe_address(pointer),
                                               ", the begin of a live allocation was needed"));
    const int device = range->device;
    ++runtime().counters.synchronizations;
    const cudaError_t error = run_all(device);
    try {
      free_range(pointer);
    } catch (const FaultError& fault) {
      return break_device(device, fault);
    }
    return error;
  });
}

/// One side of a copy: the whole of it must lie where the direction says. @return "" or what is wrong
std::string check_side(const char* side, const void* pointer, std::size_t bytes, bool device) {
  const DeviceRange* const range = range_of(pointer, bytes);
  if (device ? on_device(range) : on_host(range) && (range != nullptr || !overlaps_range(pointer, bytes))) return "";
  return cat(side, " ", fmt::ptr(pointer), " is ", describe_address(pointer), ", ", bytes, " bytes of the ",
             device ? "device's" : "host's", " memory were needed");
}

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
  bool to_device = false, from_device = false;
  bool pageable = false;

  void run() const {
    Counters& counters = runtime().counters;
    const auto counted = static_cast<std::int64_t>(bytes);
    if (to_device && from_device) counters.device_to_device_bytes += counted;
    if (to_device && !from_device) counters.host_to_device_bytes += counted;
    if (!to_device && from_device) counters.device_to_host_bytes += counted;
    std::memmove(to, from, bytes);
  }
};

/// Fills in which sides are the device's. @return "" or what is wrong
std::string classify(Copy& copy, cudaMemcpyKind kind) {
  const DeviceRange* const to = range_of(copy.to, copy.bytes);
  const DeviceRange* const from = range_of(copy.from, copy.bytes);
  copy.to_device =
      kind == cudaMemcpyDefault ? on_device(to) : kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  copy.from_device =
      kind == cudaMemcpyDefault ? on_device(from) : kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  copy.pageable = (!copy.to_device && to == nullptr) || (!copy.from_device && from == nullptr);
  const std::string wrong = check_side("target", copy.to, copy.bytes, copy.to_device);
  return wrong.empty() ? check_side("source", copy.from, copy.bytes, copy.from_device) : wrong;
}

cudaError_t copy_for(const char* function, void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                     cudaStream_t handle, bool waits) {
  return call(function, [&] {
    if (kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;
    const cudaStream_t stream = resolve(handle);
    if (stream == nullptr)
      return refuse(cudaErrorInvalidResourceHandle, cat(function, ": the stream is not a live one"));
    if (bytes == 0) return cudaSuccess;
    Copy copy{to, from, bytes};
    if (const std::string wrong = classify(copy, kind); !wrong.empty())
      return refuse(cudaErrorInvalidValue, cat(function, ": ", wrong));
    if (waits) {
      if (const cudaError_t error = refuse_in_capture(nullptr, function); error != cudaSuccess) return error;
    }
    const cudaError_t error = submit(stream, {function, [copy] { copy.run(); }});
    if (error != cudaSuccess) return error;
    if (waits) {
      ++runtime().counters.synchronizations;
    } else if (copy.pageable) {
      ++runtime().counters.pageable_copies;
    }
    return stream->capture == nullptr && (waits || copy.pageable) ? run_until({stream, stream->queued}) : cudaSuccess;
  });
}

cudaError_t set_for(const char* function, void* to, int value, std::size_t bytes, cudaStream_t handle) {
  return call(function, [&] {
    const cudaStream_t stream = resolve(handle);
    if (stream == nullptr)
      return refuse(cudaErrorInvalidResourceHandle, cat(function, ": the stream is not a live one"));
    if (bytes == 0) return cudaSuccess;
    if (range_of(to, bytes) == nullptr)
      return refuse(cudaErrorInvalidValue, cat(function, ": ", check_side("target", to, bytes, true)));
    return submit(stream, {function, [=] { std::memset(to, value, bytes); }});
  });
}

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  return allocate_for("cudaMalloc", pointer, bytes, RangeKind::kDevice);
}
cudaError_t cudaMallocManaged(void** pointer, std::size_t bytes, unsigned) {
  return allocate_for("cudaMallocManaged", pointer, bytes, RangeKind::kManaged);
}
cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return allocate_for("cudaMallocHost", pointer, bytes, RangeKind::kPinned);
}
cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned) {
  return allocate_for("cudaHostAlloc", pointer, bytes, RangeKind::kPinned);
}
cudaError_t cudaFree(void* pointer) { return free_for("cudaFree", pointer, false); }
cudaError_t cudaFreeHost(void* pointer) { return free_for("cudaFreeHost", pointer, true); }

cudaError_t cudaHostRegister(void* pointer, std::size_t bytes, unsigned) {
  return call("cudaHostRegister", [&] {
    if (pointer == nullptr || bytes == 0) return cudaErrorInvalidValue;
    if (overlaps_range(pointer, bytes)) return cudaErrorHostMemoryAlreadyRegistered;
    add_range({static_cast<std::byte*>(pointer), bytes, RangeKind::kPinned, current_device(), "cudaHostRegister"});
    return cudaSuccess;
  });
}
cudaError_t cudaHostUnregister(void* pointer) {
  return call("cudaHostUnregister", [&] {
    const DeviceRange* const range = range_at(pointer);
    if (range == nullptr || range->name != "cudaHostRegister") return cudaErrorHostMemoryNotRegistered;
    drop_range(pointer);
    return cudaSuccess;
  });
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return call("cudaMemGetInfo", [&] {
    const std::size_t used = used_bytes(current_device()), limit = runtime().memory_limit;
    *total = limit;
    *free = used < limit ? limit - used : 0;
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return call("cudaPointerGetAttributes", [&] {
    const DeviceRange* const range = range_of(pointer, 0);
    void* const itself = const_cast<void*>(pointer);
    *attributes = {cudaMemoryTypeUnregistered, current_device(), nullptr, itself};
    if (range == nullptr) return cudaSuccess;
    *attributes = {range->kind == RangeKind::kPinned    ? cudaMemoryTypeHost
                   : range->kind == RangeKind::kManaged ? cudaMemoryTypeManaged
                                                        : cudaMemoryTypeDevice,
                   range->device, itself, on_host(range) ? itself : nullptr};
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return copy_for("cudaMemcpy", to, from, bytes, kind, nullptr, true);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return copy_for("cudaMemcpyAsync", to, from, bytes, kind, stream, false);
}
cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  return set_for("cudaMemset", to, value, bytes, nullptr);
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  return set_for("cudaMemsetAsync", to, value, bytes, stream);
}

}  // extern "C"
