#include "signals.h"

#include <ucontext.h>
#include <csignal>
#include <memory>

#include "block.h"
#include "core/cat.h"
#include "memory.h"
#include "written_pages.h"

namespace kvgauge::cuda::emulator {
namespace {

constexpr int kSignals[] = {SIGSEGV, SIGBUS, SIGFPE};
constexpr std::size_t kStackForSignals = 64 << 10;
struct sigaction g_before[std::size(kSignals)];
int g_signal = 0;
const void* g_address = nullptr;
alignas(64) std::byte g_landing_stack[256 << 10];  // for a fibre whose own is exhausted

void raise() {
  if (g_signal == SIGFPE) raise_fault(FaultKind::kTrap, "integer division by zero");
  if (below_stack(g_block.current->fibre, g_address))
    raise_fault(FaultKind::kStackOverflow, cat("needs more than ", kStackBytes, " bytes of stack"));
  raise_fault(FaultKind::kOutOfBounds,
              cat("touches ", fmt::ptr(g_address), ", which is ", describe_address(g_address)));
}

/// Where the interrupted fibre goes on. The frames above cannot be unwound: it may have been interrupted anywhere.
[[noreturn]] void land() {
  try {
    raise();
  } catch (const FaultError& fault) {
    record_fault(fault);
  }
  leave(g_block.current->fibre);
}

void handle(int signal, siginfo_t* info, void* context) {
  if (g_block.current == nullptr) {  // not ours: happens again, under the handler of before
    for (std::size_t i = 0; i < std::size(kSignals); ++i)
      if (kSignals[i] == signal) sigaction(signal, &g_before[i], nullptr);
    return;
  }
  if (signal == SIGSEGV && WrittenPages::note(info->si_addr)) return;
  g_signal = signal;
  g_address = info->si_addr;
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  constexpr greg_t kBelowLeafFrames = 128;  // of the calling convention
  greg_t stack = (registers[REG_RSP] - kBelowLeafFrames) & ~greg_t{63};
  if (below_stack(g_block.current->fibre, g_address))
    stack = reinterpret_cast<greg_t>(g_landing_stack + sizeof(g_landing_stack));
  registers[REG_RSP] = stack - 8;  // aligned as after a call
  registers[REG_RIP] = reinterpret_cast<greg_t>(&land);
}

/// A stack of this thread on which handlers run, because a fibre's may be exhausted.
void give_signal_stack() {
  thread_local std::unique_ptr<std::byte[]> memory;
  if (memory != nullptr) return;
  memory = std::make_unique<std::byte[]>(kStackForSignals);
  stack_t stack{};
  stack.ss_sp = memory.get();
  stack.ss_size = kStackForSignals;
  sigaltstack(&stack, nullptr);
}

}  // namespace

CatchSignals::CatchSignals() {
  give_signal_stack();
  struct sigaction action {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigemptyset(&action.sa_mask);
  for (std::size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &action, &g_before[i]);
}

CatchSignals::~CatchSignals() {
  for (std::size_t i = 0; i < std::size(kSignals); ++i) sigaction(kSignals[i], &g_before[i], nullptr);
}

}  // namespace kvgauge::cuda::emulator
