// The vendor's interface as emulated: memory, streams that run only when waited for, errors, counters.
#include "emulator_test.h"

#include <filesystem>
#include <fstream>
#include <numeric>
#include <sstream>
#include <thread>

namespace kvgauge::cuda {

struct AddArgs {
  int* values;
  int count;
  int add;
};
__global__ void add_kernel(AddArgs args) {
  const auto i = global_thread_index();
  if (i < args.count) args.values[i] += args.add;
}

__global__ void last_writer_kernel(AddArgs args) {
  args.values[static_cast<int>(threadIdx.x) % args.count] = static_cast<int>(threadIdx.x) / args.add;
}

}  // namespace kvgauge::cuda

namespace kvgauge::testing {
namespace {

using cuda::launch;

void add(cudaStream_t stream, int* values, int count, int much) {
  launch(stream, {dim3(static_cast<unsigned>(count + 31) / 32), dim3(32)}, cuda::add_kernel, {values, count, much});
}

class Runtime : public EmulatorTest {};

TEST_F(Runtime, MemoryIsLimitedUndefinedAndCounted) {
  emulator::set_memory_limit(1 << 20);
  std::size_t free = 0, total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT_EQ(free, 1u << 20);
  EXPECT_EQ(total, 1u << 20);
  std::uint32_t* memory = nullptr;
  void* more = &memory;
  ASSERT_EQ(cudaMalloc(&memory, 1000), cudaSuccess);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % 256, 0u);
  EXPECT_EQ(cudaMalloc(&more, (1 << 20) - 999), cudaErrorMemoryAllocation);
  EXPECT_EQ(more, nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  std::uint32_t word = 0;
  ASSERT_EQ(cudaMemcpy(&word, memory + 249, 4, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(word, 0xffffffffu);
  EXPECT_EQ(emulator::live_allocations(), 1u);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaErrorInvalidValue);
  EXPECT_EQ(emulator::live_allocations(), 0u);
  emulator::set_memory_limit(std::size_t{1} << 30);
}

TEST_F(Runtime, CopiesMustLieInMemoryOfTheirDirection) {
  const DeviceArray<int> memory(16);
  std::vector<int> host(32);
  EXPECT_EQ(cudaMemcpy(memory.data(), host.data(), 65, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_NE(emulator::last_fault()->text.find("65 bytes of the device's memory were needed"), std::string::npos);
  EXPECT_EQ(cudaMemcpy(memory.data() + 1, host.data(), 64, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(host.data(), host.data() + 16, 64, cudaMemcpyDeviceToHost), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(memory.data(), memory.data(), 4, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(memory.data() + 8, 0, 33), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(memory.data(), host.data(), 64, cudaMemcpyHostToDevice), cudaSuccess);
  EXPECT_EQ(cudaMemcpy(host.data(), memory.data(), 64, cudaMemcpyDefault), cudaSuccess);
}

TEST_F(Runtime, AdoptedMemoryCountsAsTheDevices) {
  std::vector<int> host(64, 1);
  emulator::adopt(host.data(), 256, "activations");
  add(nullptr, host.data(), 64, 2);
  EXPECT_EQ(cudaMemset(host.data() + 63, 0, 4), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(host[62], 3);
  EXPECT_EQ(host[63], 0);
  ASSERT_EQ(emulator::device_ranges().size(), 1u);
  EXPECT_EQ(emulator::device_ranges()[0].name, "activations");
  emulator::release(host.data());
  EXPECT_TRUE(emulator::device_ranges().empty());
}

TEST_F(Runtime, EveryOrderBeginsWithTheSameMemory) {
  emulator::set_every_order(true);
  constexpr int kCount = 300'000;  // over a mebibyte, which is undefined by sharing pages
  const DeviceArray<int> large(kCount);
  std::vector<int> host(100, 5);
  emulator::adopt(host.data(), 400);
  for (const auto& [values, count] : {std::pair{large.data(), kCount}, std::pair{host.data(), 100}}) {
    ASSERT_EQ(cudaMemset(values, 0, static_cast<std::size_t>(count) * 2), cudaSuccess);  // the first half
    add(nullptr, values, count, 3);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess) << emulator::last_fault()->text;
    EXPECT_EQ(values[count / 2 - 1], 3);
    EXPECT_EQ(values[count - 1], values == large.data() ? 2 : 8);  // -1 before, as all that is undefined
  }
  emulator::release(host.data());
}

TEST_F(Runtime, WhatTheLastWriterDecidesIsAFault) {
  if (kRacesAreReported) GTEST_SKIP() << "seen by emulator_races";
  emulator::set_every_order(true);
  const DeviceArray<int> large(300'000);
  launch(nullptr, {dim3(1), dim3(64)}, cuda::last_writer_kernel, {large.data(), 32, 1000});  // all write the same
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  launch(nullptr, {dim3(1), dim3(64)}, cuda::last_writer_kernel, {large.data() + 250'000, 32, 1});
  expect_fault(emulator::FaultKind::kOrderDependent, {"last_writer_kernel", "byte 1000000 of cudaMalloc 1", "reverse"});
}

TEST_F(Runtime, WorkIsDoneWhenItIsWaitedForAndNotBefore) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  int *memory = nullptr, *host = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 4), cudaSuccess);
  ASSERT_EQ(cudaMallocHost(&host, 8), cudaSuccess);
  host[0] = 5, host[1] = 0;
  cudaMemcpyAsync(memory, host, 4, cudaMemcpyHostToDevice, stream);
  add(stream, memory, 1, 10);
  cudaMemcpyAsync(host + 1, memory, 4, cudaMemcpyDeviceToHost, stream);
  EXPECT_EQ(host[1], 0) << "nobody has waited";
  host[0] = 7;  // too early: the copy has not happened
  EXPECT_EQ(cudaStreamQuery(stream), cudaErrorNotReady);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(host[1], 17);
  EXPECT_EQ(emulator::counters().pageable_copies, 0);
  EXPECT_EQ(emulator::counters().host_to_device_bytes, 4);
  EXPECT_EQ(emulator::counters().device_to_host_bytes, 4);
  EXPECT_EQ(emulator::counters().synchronizations, 1);
  cudaFree(memory);
  cudaFreeHost(host);
  cudaStreamDestroy(stream);
  EXPECT_EQ(emulator::live_handles(), 0u);
}

TEST_F(Runtime, AnAsynchronousCopyOfPageableMemoryIsCountedAndWaits) {
  const DeviceArray<int> memory(1);
  int host = 3;
  EXPECT_EQ(cudaMemcpyAsync(memory.data(), &host, 4, cudaMemcpyHostToDevice), cudaSuccess);
  host = 4;
  EXPECT_EQ(emulator::counters().pageable_copies, 1);
  EXPECT_EQ(memory.values()[0], 3);
}

TEST_F(Runtime, AStreamWaitsForTheEventsItIsToldOf) {
  cudaStream_t first = nullptr, second = nullptr;
  cudaEvent_t event = nullptr, late = nullptr;
  cudaStreamCreateWithFlags(&first, cudaStreamNonBlocking);
  cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking);
  cudaEventCreate(&event);
  cudaEventCreate(&late);
  DeviceArray<int> memory(std::vector<int>{1});
  add(first, memory.data(), 1, 10);
  EXPECT_EQ(cudaEventRecord(event, first), cudaSuccess);
  add(first, memory.data(), 1, 100);
  EXPECT_EQ(cudaStreamWaitEvent(second, event), cudaSuccess);
  add(second, memory.data(), 1, 1000);
  cudaEventRecord(late, second);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  EXPECT_EQ(cudaEventSynchronize(late), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
  EXPECT_EQ(*memory.data(), 1011) << "the second stream's work and what it waits for, no more";
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(*memory.data(), 1111);
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, event, late), cudaSuccess);
  EXPECT_GE(milliseconds, 0);
  for (const cudaStream_t stream : {first, second}) cudaStreamDestroy(stream);
  for (const cudaEvent_t each : {event, late}) cudaEventDestroy(each);
}

TEST_F(Runtime, TheDefaultStreamAndBlockingStreamsWaitForEachOther) {
  cudaStream_t stream = nullptr;
  cudaStreamCreate(&stream);
  DeviceArray<int> memory(std::vector<int>{1});
  add(stream, memory.data(), 1, 1);
  cudaMemsetAsync(memory.data(), 0, 4, nullptr);
  add(stream, memory.data(), 1, 5);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(*memory.data(), 5);
  cudaStreamDestroy(stream);
}

TEST_F(Runtime, InjectedFailuresHitTheNthCall) {
  DeviceArray<int> memory(std::vector<int>{1});
  emulator::fail_call("cudaLaunchKernel", 2, cudaErrorLaunchOutOfResources);
  add(nullptr, memory.data(), 1, 1);
  EXPECT_THROW(add(nullptr, memory.data(), 1, 1), DeviceError);
  add(nullptr, memory.data(), 1, 1);
  EXPECT_EQ(memory.values()[0], 3);
  emulator::fault_kernel("add_kernel", 2);
  add(nullptr, memory.data(), 1, 1);
  add(nullptr, memory.data(), 1, 1);
  expect_fault(emulator::FaultKind::kOutOfBounds, {"add_kernel"});
  EXPECT_NE(std::string(cudaGetErrorString(cudaPeekAtLastError())).find("add_kernel"), std::string::npos);
  void* more = nullptr;
  EXPECT_EQ(cudaMalloc(&more, 4), cudaErrorIllegalAddress);
  emulator::reset();
  EXPECT_EQ(cudaMalloc(&more, 4), cudaSuccess);
  emulator::reset();
}

TEST_F(Runtime, DevicesAreApartAndMayBeAbsent) {
  emulator::set_device_count(2);
  int count = 0, device = -1;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 2);
  EXPECT_EQ(cudaSetDevice(2), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaSetDevice(1), cudaSuccess);
  std::thread([] {
    int other = -1;
    cudaGetDevice(&other);
    EXPECT_EQ(other, 0) << "a thread begins with device 0";
  }).join();
  EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
  EXPECT_EQ(device, 1);
  cudaDeviceProp properties;
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 1), cudaSuccess);
  EXPECT_EQ(properties.major, 9);
  EXPECT_EQ(properties.multiProcessorCount, 132);
  emulator::fault_kernel("add_kernel", 1);
  add(nullptr, nullptr, 0 + 1, 1);
  EXPECT_NE(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess) << "only device 1 is broken";
  emulator::set_device_count(0);
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  emulator::set_device_count(1);
  emulator::set_driver_version(11080);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 4), cudaErrorInsufficientDriver);
  emulator::set_driver_version(13000);
}

TEST_F(Runtime, AnExecutorReplacesTheFibresAndIsRecorded) {
  const auto path = std::filesystem::temp_directory_path() / ("kvgauge_launches_" + std::to_string(::getpid()));
  emulator::record_launches(path.string());
  DeviceArray<int> memory(std::vector<int>{1, 2, 3});
  add(nullptr, memory.data(), 3, 1);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  std::string name;
  emulator::set_executor("ten times", [&](const emulator::Launch& launched) {
    name = emulator::demangled(launched.name.c_str());
    const auto& args = *static_cast<const cuda::AddArgs*>(launched.argument);
    EXPECT_EQ(launched.argument_bytes, sizeof(args));
    for (int i = 0; i < args.count; ++i) args.values[i] *= 10;
  });
  for (int i = 0; i < 2; ++i) add(nullptr, memory.data(), 3, 1);
  EXPECT_EQ(memory.values(), (std::vector<int>{200, 300, 400}));
  EXPECT_EQ(name, "kvgauge::cuda::add_kernel(kvgauge::cuda::AddArgs)");
  EXPECT_EQ(emulator::counters().launches.at(name), 3);
  emulator::set_executor("broken",
                         [](const emulator::Launch&) { throw std::runtime_error("line 12: unknown opcode"); });
  add(nullptr, memory.data(), 3, 1);
  expect_fault(emulator::FaultKind::kExecutor, {"add_kernel", "broken", "line 12: unknown opcode"});
  emulator::record_launches("");
  std::stringstream recorded;
  recorded << std::ifstream(path).rdbuf();
  std::filesystem::remove(path);
  const std::string symbol = "_ZN7kvgauge4cuda10add_kernelENS0_7AddArgsE";
  EXPECT_EQ(recorded.str(), symbol + "\temulated\tforward\n" + symbol + "\tten times\t-\n" + symbol + "\tbroken\t-\n");
}

}  // namespace
}  // namespace kvgauge::testing
