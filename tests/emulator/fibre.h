#pragma once
// One stack and the switch to and from it (x86-64, System V). The sanitizers are told of every switch; the thread
// sanitizer's are unordered, so that only barriers (order_*) make one thread's writes visible to another.
#include <cstddef>

namespace kvgauge::cuda::emulator {

inline constexpr std::size_t kStackBytes = 128 << 10;

struct Fibre {
  void* stack_pointer = nullptr;
  std::byte* stack = nullptr;  ///< kStackBytes, above a page that must not be touched
  int colour = 0;              ///< shifts the top of the stack, so that all tops do not fall into the same cache sets
  void* sanitizer_thread = nullptr;
  void* sanitizer_stack = nullptr;
};

/// Takes a stack from the pool's end or the system; it is kept for the process's life.
void give_stack(Fibre& fibre, int number);
/// The next resume() enters `entry` at the top of the fibre's stack.
void restart(Fibre& fibre, void (*entry)());
/// From the scheduler: runs the fibre until it suspends or leaves.
void resume(Fibre& fibre);
void suspend(Fibre& fibre);
[[noreturn]] void leave(Fibre& fibre);  ///< the stack holds nothing any more
/// After fibres were left in the middle of calls.
void forget_frames(Fibre& fibre);
/// Whether the address lies in the page below the fibre's stack.
bool below_stack(const Fibre& fibre, const void* address);

// What the thread sanitizer is told: all that happened before `release` of a tag happened before a later `acquire` of
// it.
void order_release(void* tag);
void order_acquire(void* tag);
void end_sanitizer_thread(Fibre& fibre);

}  // namespace kvgauge::cuda::emulator
