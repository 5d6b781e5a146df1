#include "fibre.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <new>

#include "sanitizers.h"

#if defined(KVGAUGE_EMULATOR_TSAN)
#include <sanitizer/tsan_interface.h>
#endif
#if defined(KVGAUGE_EMULATOR_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

// Saves the callee-saved registers on the old stack and takes those of the new one. Kernels leave the floating-point
// modes alone.
extern "C" void kvgauge_emulator_switch(void** from, void* to);
asm(R"(
.text
.globl kvgauge_emulator_switch
.type kvgauge_emulator_switch,@function
kvgauge_emulator_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size kvgauge_emulator_switch,.-kvgauge_emulator_switch
)");

namespace kvgauge::cuda::emulator {
namespace {

constexpr int kSavedRegisters = 6;

// The scheduler's side, one at a time: kernels run under the runtime's lock.
struct Scheduler {
  void* stack_pointer = nullptr;
  void* sanitizer_thread = nullptr;
  void* sanitizer_stack = nullptr;
  const void* stack_bottom = nullptr;
  std::size_t stack_bytes = 0;
} g_scheduler;

void (*g_entry)() = nullptr;

void begin() {
#if defined(KVGAUGE_EMULATOR_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, &g_scheduler.stack_bottom, &g_scheduler.stack_bytes);
#endif
  g_entry();
  __builtin_trap();
}

}  // namespace

void give_stack(Fibre& fibre, int number) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* const mapping =
      mmap(nullptr, kStackBytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED || mprotect(mapping, page, PROT_NONE) != 0) throw std::bad_alloc();
  fibre.stack = static_cast<std::byte*>(mapping) + page;
  fibre.colour = number % 61;
}

void restart(Fibre& fibre, void (*entry)()) {
  g_entry = entry;
  constexpr std::size_t kColourBytes = 192;
  auto** top = reinterpret_cast<void**>(fibre.stack + kStackBytes - 64 - fibre.colour * kColourBytes);
  *--top = nullptr;  // a return address for begin(), which never returns; leaves the stack aligned as at a call
  *--top = reinterpret_cast<void*>(&begin);
  for (int i = 0; i < kSavedRegisters; ++i) *--top = nullptr;
  fibre.stack_pointer = top;
#if defined(KVGAUGE_EMULATOR_TSAN)
  if (fibre.sanitizer_thread == nullptr) fibre.sanitizer_thread = __tsan_create_fiber(0);
#endif
}

void resume(Fibre& fibre) {
#if defined(KVGAUGE_EMULATOR_TSAN)
  g_scheduler.sanitizer_thread = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(fibre.sanitizer_thread, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(KVGAUGE_EMULATOR_ASAN)
  __sanitizer_start_switch_fiber(&g_scheduler.sanitizer_stack, fibre.stack, kStackBytes);
#endif
  kvgauge_emulator_switch(&g_scheduler.stack_pointer, fibre.stack_pointer);
#if defined(KVGAUGE_EMULATOR_ASAN)
  __sanitizer_finish_switch_fiber(g_scheduler.sanitizer_stack, nullptr, nullptr);
#endif
}

namespace {

void to_scheduler(Fibre& fibre, [[maybe_unused]] bool for_good) {
#if defined(KVGAUGE_EMULATOR_TSAN)
  __tsan_switch_to_fiber(g_scheduler.sanitizer_thread, __tsan_switch_to_fiber_no_sync);
#endif
#if defined(KVGAUGE_EMULATOR_ASAN)
  __sanitizer_start_switch_fiber(for_good ? nullptr : &fibre.sanitizer_stack, g_scheduler.stack_bottom,
                                 g_scheduler.stack_bytes);
#endif
  kvgauge_emulator_switch(&fibre.stack_pointer, g_scheduler.stack_pointer);
#if defined(KVGAUGE_EMULATOR_ASAN)
  __sanitizer_finish_switch_fiber(fibre.sanitizer_stack, &g_scheduler.stack_bottom, &g_scheduler.stack_bytes);
#endif
}

}  // namespace

void suspend(Fibre& fibre) { to_scheduler(fibre, false); }

void leave(Fibre& fibre) {
  to_scheduler(fibre, true);
  __builtin_trap();
}

void forget_frames([[maybe_unused]] Fibre& fibre) {
#if defined(KVGAUGE_EMULATOR_ASAN)
  __asan_unpoison_memory_region(fibre.stack, kStackBytes);
#endif
  end_sanitizer_thread(fibre);
}

bool below_stack(const Fibre& fibre, const void* address) {
  const auto at = reinterpret_cast<std::uintptr_t>(address), bottom = reinterpret_cast<std::uintptr_t>(fibre.stack);
  return at < bottom && at + static_cast<std::size_t>(sysconf(_SC_PAGESIZE)) >= bottom;
}

void order_release([[maybe_unused]] void* tag) {
#if defined(KVGAUGE_EMULATOR_TSAN)
  __tsan_release(tag);
#endif
}
void order_acquire([[maybe_unused]] void* tag) {
#if defined(KVGAUGE_EMULATOR_TSAN)
  __tsan_acquire(tag);
#endif
}
void end_sanitizer_thread([[maybe_unused]] Fibre& fibre) {
#if defined(KVGAUGE_EMULATOR_TSAN)
  if (fibre.sanitizer_thread != nullptr) __tsan_destroy_fiber(fibre.sanitizer_thread);
  fibre.sanitizer_thread = nullptr;
#endif
}

}  // namespace kvgauge::cuda::emulator
