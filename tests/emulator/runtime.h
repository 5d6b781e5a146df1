#pragma once
// State behind the vendor's interface: devices, errors, streams of queued work. Internal to the emulator; all of it
// under one lock.
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "block.h"
#include "emulator_control.h"

namespace kvgauge::cuda::emulator {

struct Capture;

/// The first `number` items of a stream's life.
struct Position {
  cudaStream_t stream = nullptr;
  std::uint64_t number = 0;
};

struct Work {
  std::string what;  ///< for messages
  std::function<void()> run;
};

struct QueuedWork {
  Work work;
  std::vector<Position> after;
};

}  // namespace kvgauge::cuda::emulator

/// Work is done when somebody waits for it, as late as the vendor's rules allow: what the host reads without waiting is
/// still old.
struct CUstream_st {
  int device = 0;
  bool blocking = true;  ///< ordered with the default stream
  std::uint64_t queued = 0, done = 0;
  std::deque<kvgauge::cuda::emulator::QueuedWork> items;
  std::vector<kvgauge::cuda::emulator::Position> next_after;  ///< what the next item waits for
  std::shared_ptr<kvgauge::cuda::emulator::Capture> capture;
};

struct CUevent_st {
  int device = 0;
  bool timed = true;
  bool recorded = false;
  kvgauge::cuda::emulator::Position position;
  std::shared_ptr<std::int64_t> nanoseconds;                ///< when it happened; -1 before
  std::weak_ptr<kvgauge::cuda::emulator::Capture> capture;  ///< recorded while this was captured
  std::map<cudaStream_t, std::size_t> seen;                 ///< nodes of each stream that come before it
};

struct CUgraph_st {
  std::vector<kvgauge::cuda::emulator::Work> nodes;  ///< in an order that respects all dependencies
};
struct CUgraphExec_st {
  std::vector<kvgauge::cuda::emulator::Work> nodes;
};

namespace kvgauge::cuda::emulator {

/// What a capture has seen so far. Nodes are kept in the order of the calls, which respects every dependency.
struct Capture {
  cudaStream_t origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeGlobal;
  bool invalid = false;
  std::vector<Work> nodes;
  std::map<cudaStream_t, std::size_t> nodes_of;                         ///< by stream that takes part
  std::map<cudaStream_t, std::map<cudaStream_t, std::size_t>> seen_by;  ///< what comes before a stream's next node
};

struct Device {
  CUstream_st default_stream;
  cudaError_t broken = cudaSuccess;  ///< what every call returns after a fault
};

struct Runtime {
  std::recursive_mutex mutex;
  std::vector<std::unique_ptr<Device>> devices;
  std::set<cudaStream_t> streams;
  std::set<cudaEvent_t> events;
  std::set<cudaGraph_t> graphs;
  std::set<cudaGraphExec_t> execs;
  std::vector<std::shared_ptr<Capture>> captures;  ///< under way
  std::optional<Fault> fault;
  std::size_t memory_limit = std::size_t{1} << 30;
  int driver_version = CUDART_VERSION;
  Counters counters;
  struct Injected {
    int left;
    cudaError_t error;
  };
  std::multimap<std::string, Injected> failures;  ///< by function
  std::multimap<std::string, int> kernel_faults;  ///< by part of the kernel's name
  Runtime();
};
Runtime& runtime();
int current_device();
void set_current_device(int device);

/// What the thread's next cudaGetLastError returns. @return error
cudaError_t set_last_error(cudaError_t error);
cudaError_t last_error(bool clear);
cudaError_t refuse(cudaError_t error, const std::string& why);  ///< a call's argument; recorded as kBadCall
cudaError_t break_device(int device, const FaultError& fault);
/// Counts the call. @return an injected failure, "no driver", "no device" or what broke the current device;
/// cudaSuccess: go on
cudaError_t enter(const char* function);

/// Frame of every function of the vendor's interface.
template <class Body>
cudaError_t call(const char* function, Body body) {
  const std::lock_guard lock(runtime().mutex);
  const cudaError_t before = enter(function);
  return set_last_error(before != cudaSuccess ? before : body());
}

/// nullptr is the current device's default stream. @return nullptr if the handle is no live stream
cudaStream_t resolve(cudaStream_t stream);
/// Appends to the stream's queue or to its capture.
cudaError_t submit(cudaStream_t stream, Work work);
/// Does the first `number` items. @return what broke a device on the way
cudaError_t run_until(const Position& position);
cudaError_t run_all(int device);
/// One more item, if there is one: how time passes for those who poll.
cudaError_t run_some(cudaStream_t stream);
void order_after(cudaStream_t stream, const Position& position);

/// For calls that a capture forbids: invalidates it. @param stream nullptr: any capture that forbids unsafe calls
cudaError_t refuse_in_capture(cudaStream_t stream, const char* function);
void drop_all_work();

}  // namespace kvgauge::cuda::emulator
