#pragma once

namespace kvgauge::cli {

/// SIGINT and SIGTERM: outside a job the process ends at once with kInterrupted; within one, the first signal asks the
/// job to finish what it is writing and the second ends the process at once. SIGPIPE and SIGXFSZ become errors of the
/// write.
void install_signal_handlers();

/// While it lives, signals ask instead of ending.
class GracefulInterruption {
 public:
  GracefulInterruption();
  ~GracefulInterruption();
  GracefulInterruption(const GracefulInterruption&) = delete;
  GracefulInterruption& operator=(const GracefulInterruption&) = delete;
  bool requested() const;
  bool terminated() const;  ///< by SIGTERM, which asks for the end of everything
  /// A SIGINT so far has been dealt with: the next one asks again.
  void forget();
};

}  // namespace kvgauge::cli
