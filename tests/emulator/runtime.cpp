#include "runtime.h"

#include <cxxabi.h>

#include <cstdlib>

#include "memory.h"

namespace kvgauge::cuda::emulator {
namespace {

thread_local int t_device = 0;
thread_local cudaError_t t_last_error = cudaSuccess;

void make_devices(Runtime& state, int count) {
  state.devices.clear();
  for (int i = 0; i < count; ++i) {
    state.devices.push_back(std::make_unique<Device>());
    state.devices.back()->default_stream.device = i;
  }
}

template <class Handles>
void delete_all(Handles& handles) {
  for (auto* const handle : handles) delete handle;
  handles.clear();
}

void reset(Runtime& state, int devices) {
  for (const auto& device : state.devices) device->default_stream.items.clear();
  delete_all(state.streams);
  delete_all(state.events);
  delete_all(state.graphs);
  delete_all(state.execs);
  state.captures.clear();
  state.fault.reset();
  state.counters = {};
  state.failures.clear();
  state.kernel_faults.clear();
  free_all();
  make_devices(state, devices);
  t_device = 0;
  t_last_error = cudaSuccess;
}

bool needs_device(const std::string& function) {
  return function != "cudaGetDeviceCount" && function != "cudaDriverGetVersion" &&
         function != "cudaRuntimeGetVersion" && function != "cudaHostRegister" && function != "cudaHostUnregister";
}

}  // namespace

Runtime::Runtime() { make_devices(*this, 1); }

Runtime& runtime() {
  static Runtime& state = *new Runtime;  // outlives the handles that other statics may hold
  return state;
}

int current_device() { return t_device; }
void set_current_device(int device) { t_device = device; }

cudaError_t set_last_error(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) t_last_error = error;
  return error;
}

cudaError_t refuse(cudaError_t error, const std::string& why) {
  runtime().fault = Fault{FaultKind::kBadCall, why};
  return error;
}

cudaError_t break_device(int device, const FaultError& fault) {
  Runtime& state = runtime();
  const cudaError_t error = fault.kind() == FaultKind::kOutOfBounds  ? cudaErrorIllegalAddress
                            : fault.kind() == FaultKind::kMisaligned ? cudaErrorMisalignedAddress
                                                                     : cudaErrorLaunchFailure;
  state.devices[static_cast<std::size_t>(device)]->broken = error;
  state.fault = Fault{fault.kind(), fault.what()};
  return error;
}

cudaError_t enter(const char* function) {
  Runtime& state = runtime();
  ++state.counters.calls[function];
  const auto [begin, end] = state.failures.equal_range(function);
  for (auto at = begin; at != end; ++at) {
    if (--at->second.left > 0) continue;
    const cudaError_t error = at->second.error;
    state.failures.erase(at);
    return error;
  }
  if (!needs_device(function)) return cudaSuccess;
  if (state.driver_version < CUDART_VERSION) return cudaErrorInsufficientDriver;
  if (state.devices.empty()) return cudaErrorNoDevice;
  return state.devices[static_cast<std::size_t>(t_device)]->broken;
}

std::optional<Fault> last_fault() {
  const std::lock_guard lock(runtime().mutex);
  return runtime().fault;
}
void reset() {
  const std::lock_guard lock(runtime().mutex);
  reset(runtime(), static_cast<int>(runtime().devices.size()));
}
void set_device_count(int devices) {
  const std::lock_guard lock(runtime().mutex);
  reset(runtime(), devices);
}
void set_memory_limit(std::size_t bytes) { runtime().memory_limit = bytes; }
void set_driver_version(int version) { runtime().driver_version = version; }
void fail_call(const std::string& function, int nth, cudaError_t error) {
  const std::lock_guard lock(runtime().mutex);
  runtime().failures.insert({function, {nth, error}});
}
void fault_kernel(const std::string& part, int nth) {
  const std::lock_guard lock(runtime().mutex);
  runtime().kernel_faults.insert({part, nth});
}
const Counters& counters() { return runtime().counters; }
void reset_counters() {
  const std::lock_guard lock(runtime().mutex);
  runtime().counters = {};
}
std::size_t live_handles() {
  const Runtime& state = runtime();
  return state.streams.size() + state.events.size() + state.graphs.size() + state.execs.size();
}

cudaError_t last_error(bool clear) {
  const std::lock_guard lock(runtime().mutex);
  const auto& devices = runtime().devices;
  const auto device = static_cast<std::size_t>(t_device);
  const cudaError_t error =
      device < devices.size() && devices[device]->broken != cudaSuccess ? devices[device]->broken : t_last_error;
  if (clear) t_last_error = cudaSuccess;
  return error;
}

std::string demangled(const char* mangled) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> text(abi::__cxa_demangle(mangled, nullptr, nullptr, &status),
                                                         std::free);
  return status == 0 ? text.get() : mangled;
}

}  // namespace kvgauge::cuda::emulator

extern "C" {

cudaError_t cudaGetLastError() { return kvgauge::cuda::emulator::last_error(true); }
cudaError_t cudaPeekAtLastError() { return kvgauge::cuda::emulator::last_error(false); }

}  // extern "C"
