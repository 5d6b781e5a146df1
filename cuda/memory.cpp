#include "cuda/memory.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <utility>

#include "core/cat.h"
#include "core/check.h"
#include "cuda/check.h"
#include "kvgauge/error.h"

namespace kvgauge::cuda {
namespace {

constexpr std::size_t kAlignment = 256;

std::size_t rounded(std::size_t bytes) {
  return (std::max<std::size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

DeviceArena::DeviceArena(std::size_t bytes) : bytes_(bytes / kAlignment * kAlignment) {
  void* memory = nullptr;
  if (const cudaError_t status = cudaMalloc(&memory, bytes_); status != cudaSuccess) {
    cudaGetLastError();  // the failure is told here; later calls must not find it
    throw DeviceError(cat("cuda: ", bytes_, " bytes of device memory were needed, ", device_memory_info().free,
                          " are free (", cudaGetErrorString(status), "); free the device or lower --kv-memory"));
  }
  base_ = static_cast<std::byte*>(memory);
  gaps_.emplace(0, bytes_);
}

DeviceArena::~DeviceArena() { cudaFree(base_); }

std::byte* DeviceArena::allocate(std::size_t bytes, const char* what) {
  const std::size_t need = rounded(bytes);
  const auto gap = std::find_if(gaps_.begin(), gaps_.end(), [need](const auto& g) { return g.second >= need; });
  if (gap == gaps_.end())
    throw DeviceError(cat(what, ": ", bytes, " bytes of device memory were needed, the largest gap of the ", bytes_,
                          " reserved has ", largest_gap(), "; lower --kv-memory, --max-batch or --max-model-len"));
  const auto [offset, size] = *gap;
  gaps_.erase(gap);
  if (size > need) gaps_.emplace(offset + need, size - need);
  blocks_.emplace(offset, need);
  return base_ + offset;
}

void DeviceArena::free(std::byte* memory) {
  const auto block = blocks_.find(static_cast<std::size_t>(memory - base_));
  KVGAUGE_CHECK(block != blocks_.end(), "a block that the arena did not give");
  auto [offset, size] = *block;
  blocks_.erase(block);
  auto next = gaps_.lower_bound(offset);
  if (next != gaps_.end() && next->first == offset + size) {
    size += next->second;
    next = gaps_.erase(next);
  }
  if (next != gaps_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == offset) {
      before->second += size;
      return;
    }
  }
  gaps_.emplace(offset, size);
}

std::size_t DeviceArena::largest_gap() const {
  std::size_t largest = 0;
  for (const auto& [offset, size] : gaps_) largest = std::max(largest, size);
  return largest;
}

PinnedMemory::PinnedMemory(std::size_t bytes) : bytes_(rounded(bytes)) {
  void* memory = nullptr;
  check_cuda(cudaMallocHost(&memory, bytes_), "page-locked memory");
  data_ = static_cast<std::byte*>(memory);
}
PinnedMemory::~PinnedMemory() {
  if (data_ != nullptr) cudaFreeHost(data_);
}
PinnedMemory::PinnedMemory(PinnedMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
PinnedMemory& PinnedMemory::operator=(PinnedMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

DeviceMemoryInfo device_memory_info() {
  DeviceMemoryInfo info;
  check_cuda(cudaMemGetInfo(&info.free, &info.total), "cudaMemGetInfo");
  return info;
}

}  // namespace kvgauge::cuda
