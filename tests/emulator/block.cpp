#include "block.h"

#include <algorithm>
#include <numeric>

#include "core/cat.h"
#include "signals.h"

uint3 threadIdx{}, blockIdx{};
dim3 blockDim, gridDim;

// The section of all static shared arrays of the program; absent where no kernel has one.
extern "C" {
extern char __start_kvgauge_shared[] __attribute__((weak));
extern char __stop_kvgauge_shared[] __attribute__((weak));
}

namespace kvgauge::cuda::emulator {

Block g_block;

namespace {

Order g_order = Order::kForward;
std::uint64_t g_seed = 1;

constexpr int kUndefined = 0xff;  // all bytes: NaN as any float type, -1 as an integer

struct Running {
  const void* symbol;
  const void* argument;
  Entry entry;
};
Running g_running;
char g_grid_tag, g_block_tags[2];
std::uint64_t g_blocks_begun = 0;

class Random {  // xorshift64*
 public:
  explicit Random(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15u | 1) {}
  std::uint64_t below(std::uint64_t n) {
    state_ ^= state_ >> 12, state_ ^= state_ << 25, state_ ^= state_ >> 27;
    return (state_ * 0x2545f4914f6cdd1du >> 11) % n;
  }

 private:
  std::uint64_t state_;
};

template <class T>
void arrange(std::vector<T>& items, Random& random) {
  if (g_order == Order::kReverse) std::reverse(items.begin(), items.end());
  if (g_order == Order::kRandom)
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.below(i)]);
}

void fill_undefined(void* to, std::size_t bytes) {  // not memset: the sanitizers would take it for a thread's write
  asm volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(kUndefined) : "memory");
}

void run_thread() {
  order_acquire(&g_grid_tag);
  order_acquire(&g_block_tags[(g_blocks_begun - 1) & 1]);
  try {
    g_running.entry(g_running.symbol, g_running.argument);
  } catch (const FaultError& fault) {
    record_fault(fault);
  }
  order_release(&g_block_tags[g_blocks_begun & 1]);
  g_block.current->state = State::kEnded;
  leave(g_block.current->fibre);
}

void step(Thread& thread) {
  g_block.current = &thread;
  threadIdx = thread.index;
  resume(thread.fibre);
  g_block.current = nullptr;
  if (!g_block.faulted) return;
  order_acquire(&g_block.faulted);
  throw FaultError(g_block.fault_kind, g_block.fault_text);
}

std::string waiting_threads(State state, const char* what) {
  int count = 0;
  for (int i = 0; i < g_block.size; ++i) count += g_block.threads[i].state == state;
  return count == 0 ? "" : cat(", ", count, " ", what);
}

// Every warp is at a barrier, has ended, or is stuck. @return false: all have ended
bool pass_barrier() {
  Thread* first = nullptr;
  int waiting = 0, ended = 0;
  for (int i = 0; i < g_block.size; ++i) {
    Thread& thread = g_block.threads[i];
    if (thread.state == State::kEnded) ++ended;
    if (thread.state == State::kAtCollective) {
      g_block.current = &thread;
      const unsigned missing = thread.mask & ~g_block.warps[thread.warp()].arrived;
      raise_fault(
          FaultKind::kAbsentLanes,
          cat(thread.operation, " at ", describe(thread.site), " waits for lanes 0x", fmt::format("{:x}", missing),
              " of mask 0x", fmt::format("{:x}", thread.mask), ", which have ended or wait elsewhere"));
    }
    if (thread.state != State::kAtBarrier) continue;
    ++waiting;
    if (first == nullptr) first = &thread;
    if (first->site.line != thread.site.line || std::strcmp(first->site.file, thread.site.file) != 0) {
      g_block.current = &thread;
      raise_fault(FaultKind::kDivergentBarrier, cat("divergent barrier: waits at ", describe(thread.site), ", thread ",
                                                    first->number, " at ", describe(first->site)));
    }
  }
  if (waiting == 0) return false;
  if (ended != 0) {
    g_block.current = first;
    raise_fault(FaultKind::kDivergentBarrier,
                cat("divergent barrier at ", describe(first->site), ": ", waiting, " of ", g_block.size,
                    " threads wait", waiting_threads(State::kEnded, "have ended")));
  }
  for (int i = 0; i < g_block.size; ++i) g_block.threads[i].state = State::kReady;
  return true;
}

void run_block(const std::vector<int>& warps, const std::vector<int>& lanes) {
  const dim3 shape = blockDim;
  for (int i = 0; i < g_block.size; ++i) {
    Thread& thread = g_block.threads[i];
    const auto number = static_cast<unsigned>(i);
    thread.index = {number % shape.x, number / shape.x % shape.y, number / (shape.x * shape.y)};
    thread.number = i;
    thread.state = State::kReady;
    thread.barriers = thread.warp_barriers = thread.groups = 0;
    thread.copies.clear();
    restart(thread.fibre, run_thread);
  }
  for (Warp& warp : g_block.warps) warp.arrived = 0;
  do {
    for (const int warp : warps) {
      for (bool any = true; any;) {
        any = false;
        for (const int lane : lanes) {
          const int number = warp * kLanes + lane;
          if (number >= g_block.size || g_block.threads[number].state != State::kReady) continue;
          any = true;
          step(g_block.threads[number]);
        }
      }
    }
  } while (pass_barrier());
  for (int i = 0; i < g_block.size; ++i) {
    if (g_block.threads[i].copies.empty()) continue;
    g_block.current = &g_block.threads[i];
    raise_fault(FaultKind::kTrap,
                cat("ended with ", g_block.threads[i].copies.size(), " copies of cp.async not waited for"));
  }
}

void undefine_shared(const LaunchSize& size) {
  if (size.shared_bytes != 0) fill_undefined(g_block.dynamic, size.shared_bytes);
  if (__start_kvgauge_shared != nullptr)
    fill_undefined(__start_kvgauge_shared, static_cast<std::size_t>(__stop_kvgauge_shared - __start_kvgauge_shared));
}

// Exactly as many bytes as the kernel asked for, from the heap, so that the address sanitizer sees accesses beside
// them.
struct DynamicShared {
  explicit DynamicShared(std::size_t bytes)
      : memory(bytes == 0 ? nullptr : static_cast<std::byte*>(::operator new (bytes, std::align_val_t{16}))) {
    g_block.dynamic = memory;
  }
  ~DynamicShared() {
    g_block.dynamic = nullptr;
    if (memory != nullptr) ::operator delete (memory, std::align_val_t{16});
  }
  std::byte* const memory;
};

void run_blocks(const LaunchSize& size) {
  Random random(g_seed);
  const auto count = static_cast<std::int64_t>(size.grid.x) * size.grid.y * size.grid.z;
  std::vector<std::int64_t> blocks(static_cast<std::size_t>(count));
  std::iota(blocks.begin(), blocks.end(), 0);
  arrange(blocks, random);
  std::vector<int> warps(g_block.warps.size()), lanes(kLanes);
  std::iota(warps.begin(), warps.end(), 0);
  std::iota(lanes.begin(), lanes.end(), 0);
  arrange(warps, random);
  arrange(lanes, random);
  for (const std::int64_t block : blocks) {
    const std::int64_t row = block / size.grid.x;
    blockIdx = {static_cast<unsigned>(block % size.grid.x), static_cast<unsigned>(row % size.grid.y),
                static_cast<unsigned>(row / size.grid.y)};
    undefine_shared(size);
    ++g_blocks_begun;
    run_block(warps, lanes);
  }
}

}  // namespace

void set_order(Order order, std::uint64_t seed) {
  g_order = order;
  g_seed = seed;
}
Order order() { return g_order; }
const char* name(Order order) {
  return order == Order::kForward ? "forward" : order == Order::kReverse ? "reverse" : "random";
}

std::string describe(Site site) {
  const std::string file = site.file;
  const std::size_t slash = file.rfind('/');
  return cat(slash == std::string::npos ? file : file.substr(slash + 1), ":", site.line);
}

void run_grid(const LaunchSize& size, const std::string& kernel, const void* symbol, const void* argument,
              Entry entry) {
  g_block.size = static_cast<int>(size.block.x * size.block.y * size.block.z);
  g_block.kernel = kernel;
  g_block.faulted = false;
  while (static_cast<int>(g_block.threads.size()) < g_block.size) {
    Thread thread;
    give_stack(thread.fibre, static_cast<int>(g_block.threads.size()));
    g_block.threads.push_back(std::move(thread));
  }
  g_block.warps.assign(static_cast<std::size_t>((g_block.size + kLanes - 1) / kLanes), {});
  gridDim = size.grid;
  blockDim = size.block;
  g_running = {symbol, argument, entry};
  const DynamicShared shared(size.shared_bytes);
  const CatchSignals signals;
  order_release(&g_grid_tag);
  const auto finish = [](bool forget) {
    g_block.current = nullptr;
    for (Thread& thread : g_block.threads) {
      thread.copies.clear();
      if (forget) forget_frames(thread.fibre);
    }
    for (char& tag : g_block_tags) order_acquire(&tag);
  };
  try {
    run_blocks(size);
  } catch (...) {
    finish(true);
    throw;
  }
  finish(false);
}

void* dynamic_shared() {
  if (g_block.dynamic == nullptr)
    raise_fault(FaultKind::kOutOfBounds, "shared<T>() in a launch with 0 bytes of dynamic shared memory");
  return g_block.dynamic;
}

void block_barrier(Site site) {
  Thread& thread = *g_block.current;
  thread.state = State::kAtBarrier;
  thread.site = site;
  static char tags[2];
  char* const tag = &tags[thread.barriers++ & 1];
  order_release(tag);
  suspend(thread.fibre);
  order_acquire(tag);
}

void trap(const char* what) { raise_fault(FaultKind::kTrap, what); }

void raise_fault(FaultKind kind, std::string text) {
  const Thread* const thread = g_block.current;
  if (thread == nullptr) throw FaultError(kind, text);
  throw FaultError(kind, cat("kernel ", g_block.kernel, ", block (", blockIdx.x, ",", blockIdx.y, ",", blockIdx.z,
                             "), thread (", thread->index.x, ",", thread->index.y, ",", thread->index.z, "): ", text));
}

void record_fault(const FaultError& fault) {
  g_block.faulted = true;
  g_block.fault_kind = fault.kind();
  g_block.fault_text = fault.what();
  order_release(&g_block.faulted);
}

}  // namespace kvgauge::cuda::emulator
