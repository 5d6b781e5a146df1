#pragma once

namespace kvgauge::cuda::emulator {

/// While it lives, SIGSEGV, SIGBUS and SIGFPE inside a fibre become faults of its thread; elsewhere they do what they
/// did before.
class CatchSignals {
 public:
  CatchSignals();
  ~CatchSignals();
  CatchSignals(const CatchSignals&) = delete;
  CatchSignals& operator=(const CatchSignals&) = delete;
};

}  // namespace kvgauge::cuda::emulator
