#include "core/buffer.h"

#include <sys/mman.h>

#include <cerrno>
#include <cstring>

#include "core/cat.h"
#include "kvgauge/error.h"

namespace kvgauge {

Buffer::Buffer(std::size_t bytes) : size_(bytes) {
  if (bytes == 0) return;
  void* const map = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED)
    throw DeviceError(cat("memory: ", bytes, " bytes were refused by the system: ", std::strerror(errno)));
  data_ = static_cast<std::byte*>(map);
  constexpr std::size_t kHugePage = std::size_t{2} << 20;
  if (bytes >= kHugePage) ::madvise(map, bytes, MADV_HUGEPAGE);
}

Buffer::~Buffer() {
  if (data_) ::munmap(data_, size_);
}

}  // namespace kvgauge
