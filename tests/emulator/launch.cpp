// Launches: shapes that a device refuses, the queue, and who executes.
#include <dlfcn.h>

#include <fstream>
#include <set>
#include <unordered_map>

#include "core/cat.h"
#include "memory.h"
#include "runtime.h"
#include "written_pages.h"

namespace kvgauge::cuda::emulator {
namespace {

constexpr unsigned kSharedLimit = 227 << 10;

struct Executor {
  std::string name = "emulated";
  std::function<void(const Launch&)> execute;
} g_executor;

bool g_every_order = false;

struct Record {
  std::string path;
  std::set<std::string> lines;
} g_record;

struct Names {
  std::string mangled, demangled;
};

const Names& names_of(const void* symbol) {
  static auto& known = *new std::unordered_map<const void*, Names>;
  const auto [at, is_new] = known.try_emplace(symbol);
  if (!is_new) return at->second;
  Dl_info info{};
  if (dladdr(symbol, &info) != 0 && info.dli_sname != nullptr && info.dli_saddr == symbol) {
    at->second = {info.dli_sname, demangled(info.dli_sname)};
  } else {
    at->second = {"", cat("at ", fmt::ptr(symbol))};
  }
  return at->second;
}

std::string refused_shape(const LaunchSize& size) {
  const dim3 grid = size.grid, block = size.block;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    return cat("grid (", grid.x, ",", grid.y, ",", grid.z, "), 1 to (2147483647,65535,65535) was needed");
  if (block.x == 0 || block.y == 0 || block.z == 0 || block.x > 1024 || block.y > 1024 || block.z > 64 ||
      block.x * block.y * block.z > 1024)
    return cat("block (", block.x, ",", block.y, ",", block.z, "), 1 to 1024 threads were needed");
  if (size.shared_bytes > kSharedLimit)
    return cat(size.shared_bytes, " bytes of dynamic shared memory, at most ", kSharedLimit, " were needed");
  return "";
}

void append_record(const std::string& mangled, const char* in_order) {
  if (g_record.path.empty()) return;
  const std::string line = cat(mangled, '\t', g_executor.name, '\t', in_order, '\n');
  if (!g_record.lines.insert(line).second) return;
  std::ofstream(g_record.path, std::ios::app) << line;
}

void fault_if_asked(const std::string& kernel) {
  auto& faults = runtime().kernel_faults;
  for (auto at = faults.begin(); at != faults.end(); ++at) {
    if (kernel.find(at->first) == std::string::npos || --at->second > 0) continue;
    faults.erase(at);
    throw FaultError(FaultKind::kOutOfBounds, cat("kernel ", kernel, ": broken by request"));
  }
}

struct KeepOrder {
  ~KeepOrder() { set_order(before); }
  const Order before = order();
};

/// A queued launch; the argument has the alignment of any type.
struct Queued {
  LaunchSize size;
  const void* symbol;
  Entry entry;
  std::shared_ptr<std::byte[]> argument;
  std::size_t bytes;

  void run() const {
    const Names& names = names_of(symbol);
    ++runtime().counters.launches[names.demangled];
    fault_if_asked(names.demangled);
    if (g_executor.execute) {
      append_record(names.mangled, "-");
      try {
        g_executor.execute({symbol, names.mangled, size, argument.get(), bytes});
      } catch (const std::exception& error) {
        throw FaultError(FaultKind::kExecutor,
                         cat("kernel ", names.demangled, " on ", g_executor.name, ": ", error.what()));
      }
    } else if (g_every_order) {
      run_in_every_order(names);
    } else {
      run_in(order(), names);
    }
    check_canaries(cat("kernel ", names.demangled));
  }

  void run_in(Order in_order, const Names& names) const {
    append_record(names.mangled, name(in_order));
    run_grid(size, names.demangled, symbol, argument.get(), entry);
  }

  void run_in_every_order(const Names& names) const {
    const KeepOrder keep_order;
    std::string difference;
    WrittenPages pages;
    for (const Order each : {Order::kForward, Order::kReverse, Order::kRandom}) {
      if (each != Order::kForward) pages.rewind();
      set_order(each);
      run_in(each, names);
      if (each == Order::kForward) pages.keep();
      difference = pages.first_difference();
      if (difference.empty()) continue;
      throw FaultError(FaultKind::kOrderDependent, cat("kernel ", names.demangled, ": ", difference,
                                                       " differs between the thread orders forward and ", name(each),
                                                       ", the same bits were needed"));
    }
  }
};

std::shared_ptr<std::byte[]> copy_of(const void* argument, std::size_t bytes) {
  constexpr std::align_val_t kAlignment{64};
  std::shared_ptr<std::byte[]> copy(static_cast<std::byte*>(::operator new(bytes, kAlignment)),
                                    [](std::byte* memory) { ::operator delete (memory, std::align_val_t{64}); });
  std::memcpy(copy.get(), argument, bytes);
  return copy;
}

}  // namespace

cudaError_t launch(const LaunchSize& size, cudaStream_t handle, const void* symbol, const void* argument,
                   std::size_t bytes, Entry entry) {
  return call("cudaLaunchKernel", [&] {
    const std::string wrong = refused_shape(size);
    if (!wrong.empty())
      return refuse(cudaErrorInvalidConfiguration, cat("launch of kernel ", names_of(symbol).demangled, ": ", wrong));
    const cudaStream_t stream = resolve(handle);
    if (stream == nullptr)
      return refuse(cudaErrorInvalidResourceHandle,
                    cat("launch of kernel ", names_of(symbol).demangled, ": the stream is not a live one"));
    const Queued queued{size, symbol, entry, copy_of(argument, bytes), bytes};
    return submit(stream, {names_of(symbol).demangled, [queued] { queued.run(); }});
  });
}

void set_executor(std::string name, std::function<void(const Launch&)> execute) {
  g_executor = {execute ? std::move(name) : "emulated", std::move(execute)};
}

void set_every_order(bool on) { g_every_order = on; }

void record_launches(const std::string& path) { g_record = {path, {}}; }

}  // namespace kvgauge::cuda::emulator

using namespace kvgauge::cuda::emulator;

extern "C" {

cudaError_t cudaFuncSetAttribute(const void*, cudaFuncAttribute attribute, int value) {
  return call("cudaFuncSetAttribute", [&] {
    const bool fits = attribute != cudaFuncAttributeMaxDynamicSharedMemorySize ||
                      (value >= 0 && value <= static_cast<int>(kSharedLimit));
    return fits ? cudaSuccess : cudaErrorInvalidValue;
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void*) {
  return call("cudaFuncGetAttributes", [&] {
    *attributes = {};
    attributes->maxThreadsPerBlock = 1024;
    attributes->ptxVersion = attributes->binaryVersion = 90;
    attributes->maxDynamicSharedSizeBytes = static_cast<int>(kSharedLimit);
    return cudaSuccess;
  });
}

cudaError_t cudaFuncGetName(const char** name, const void* function) {
  return call("cudaFuncGetName", [&] {
    *name = names_of(function).mangled.c_str();
    return **name == '\0' ? cudaErrorInvalidDeviceFunction : cudaSuccess;
  });
}

}  // extern "C"
