#pragma once
// Runs a grid: blocks one after another, the threads of a block as fibres. Internal to the emulator.
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuda_emulator.h"
#include "emulator_control.h"
#include "fibre.h"

namespace kvgauge::cuda::emulator {

/// What raise_fault() throws. A fibre's is caught where the fibre began, and thrown again by run_grid().
class FaultError : public std::runtime_error {
 public:
  FaultError(FaultKind kind, const std::string& text) : std::runtime_error(text), kind_(kind) {}
  FaultKind kind() const { return kind_; }

 private:
  FaultKind kind_;
};

inline constexpr int kLanes = 32;

enum class State : std::uint8_t { kReady, kAtBarrier, kAtCollective, kEnded };

/// A copy that was started and not waited for.
struct StartedCopy {
  PendingCopy copy;
  int group;
};

struct Thread {
  Fibre fibre;
  uint3 index{};
  int number = 0;
  State state = State::kEnded;
  Site site{};
  // of the warp operation it waits in
  const char* operation = nullptr;
  unsigned mask = 0;
  std::uint64_t operand = 0, result = 0;
  int source = 0;
  const void* input = nullptr;
  void* output = nullptr;
  int barriers = 0, warp_barriers = 0;  ///< passed in this block; their parity picks the tag
  std::vector<StartedCopy> copies;
  int groups = 0;

  int lane() const { return number % kLanes; }
  int warp() const { return number / kLanes; }
};

struct Warp {
  unsigned arrived = 0;  ///< lanes that wait in a collective
  char tags[2] = {};
};

/// The block that runs now.
struct Block {
  std::vector<Thread> threads;  ///< pooled: never fewer than a launch has had
  std::vector<Warp> warps;
  int size = 0;
  Thread* current = nullptr;  ///< nullptr in the scheduler
  std::vector<std::byte> shared;
  std::byte* dynamic = nullptr;
  bool faulted = false;
  FaultKind fault_kind{};
  std::string fault_text;
  std::string kernel;  ///< demangled, for messages
};
extern Block g_block;

/// What ends the grid when the current fibre has left.
void record_fault(const FaultError& fault);

/// Runs all blocks. @throws FaultError with the kernel, block and thread in its text
void run_grid(const LaunchSize& size, const std::string& kernel, const void* symbol, const void* argument, Entry entry);

std::string describe(Site site);

}  // namespace kvgauge::cuda::emulator
