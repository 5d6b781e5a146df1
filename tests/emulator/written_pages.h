#pragma once
// Which pages of device memory a kernel writes, and what was in them: so that a kernel can run again from the same
// memory without copying all of it.
#include <cstddef>
#include <string>
#include <vector>

#include "emulator_control.h"

namespace kvgauge::cuda::emulator {

/// Watches all live ranges; one at a time. The first write to a page is a signal, which CatchSignals passes on to
/// note().
class WrittenPages {
 public:
  WrittenPages();
  ~WrittenPages();
  WrittenPages(const WrittenPages&) = delete;
  WrittenPages& operator=(const WrittenPages&) = delete;

  void keep();          ///< what is in memory now is what later runs are compared with
  void rewind() const;  ///< memory is again what it was at the start
  /// "byte 12 of cudaMalloc 3"; empty where memory is what it was at keep().
  std::string first_difference() const;

  /// From the signal handler: true if this was the first write to a watched page, which may be tried again now.
  static bool note(const void* address);

 private:
  struct Watched {
    DeviceRange range;
    std::byte* begin = nullptr;  ///< whole pages, but for adopted ranges
    std::size_t bytes = 0;
    std::byte* before = nullptr;      ///< as long; holds the pages that were written as they were before
    std::vector<char> written;        ///< by page
    std::vector<std::byte> kept;      ///< what was in the written pages, one after another
    std::vector<std::size_t> places;  ///< their offsets
  };
  std::vector<Watched> watched_;
};

}  // namespace kvgauge::cuda::emulator
