#include "written_pages.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "core/cat.h"
#include "memory.h"

namespace kvgauge::cuda::emulator {
namespace {

constexpr std::size_t kPage = 4096;

WrittenPages* g_watching = nullptr;

// Not memcpy: pages hold bytes that the sanitizers guard, and these copies are nobody's accesses.
void copy_bytes(std::byte* to, const std::byte* from, std::size_t bytes) {
  asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

}  // namespace

WrittenPages::WrittenPages() {
  for (const MappedRange& mapped : mapped_ranges()) {
    Watched watched{mapped.range, mapped.begin, mapped.bytes, nullptr, {}, {}, {}};
    void* const before =
        mmap(nullptr, watched.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (before == MAP_FAILED) throw std::bad_alloc();
    watched.before = static_cast<std::byte*>(before);
    watched.written.assign((watched.bytes + kPage - 1) / kPage, 0);
    if (mapped.is_ours) {
      mprotect(watched.begin, watched.bytes, PROT_READ);
    } else {  // shares its pages with others: as if all of it were written
      copy_bytes(watched.before, watched.begin, watched.bytes);
      std::fill(watched.written.begin(), watched.written.end(), 1);
    }
    watched_.push_back(std::move(watched));
  }
  g_watching = this;
}

WrittenPages::~WrittenPages() {
  g_watching = nullptr;
  for (const Watched& watched : watched_) {
    if (watched.range.kind != RangeKind::kAdopted) mprotect(watched.begin, watched.bytes, PROT_READ | PROT_WRITE);
    munmap(watched.before, watched.bytes);
  }
}

bool WrittenPages::note(const void* address) {
  if (g_watching == nullptr) return false;
  const auto* const at = static_cast<const std::byte*>(address);
  for (Watched& watched : g_watching->watched_) {
    if (at < watched.begin || at >= watched.begin + watched.bytes) continue;
    const auto page = static_cast<std::size_t>(at - watched.begin) / kPage;
    if (watched.written[page] != 0) return false;
    copy_bytes(watched.before + page * kPage, watched.begin + page * kPage, kPage);
    watched.written[page] = 1;
    return mprotect(watched.begin + page * kPage, kPage, PROT_READ | PROT_WRITE) == 0;
  }
  return false;
}

void WrittenPages::keep() {
  for (Watched& watched : watched_) {
    watched.kept.clear();
    watched.places.clear();
    for (std::size_t page = 0; page < watched.written.size(); ++page) {
      if (watched.written[page] == 0) continue;
      const std::size_t offset = page * kPage, bytes = std::min(kPage, watched.bytes - offset);
      watched.places.push_back(offset);
      watched.kept.resize(watched.kept.size() + bytes);
      copy_bytes(watched.kept.data() + watched.kept.size() - bytes, watched.begin + offset, bytes);
    }
  }
}

void WrittenPages::rewind() const {
  for (const Watched& watched : watched_)
    for (std::size_t page = 0; page < watched.written.size(); ++page)
      if (watched.written[page] != 0)
        copy_bytes(watched.begin + page * kPage, watched.before + page * kPage,
                   std::min(kPage, watched.bytes - page * kPage));
}

std::string WrittenPages::first_difference() const {
  for (const Watched& watched : watched_) {
    std::size_t next = 0;
    for (std::size_t page = 0; page < watched.written.size(); ++page) {
      if (watched.written[page] == 0) continue;
      const std::size_t offset = page * kPage, bytes = std::min(kPage, watched.bytes - offset);
      const bool was_kept = next < watched.places.size() && watched.places[next] == offset;
      const std::byte* const want = was_kept ? watched.kept.data() + next * kPage : watched.before + offset;
      next += was_kept ? 1 : 0;
      std::byte now[kPage];
      copy_bytes(now, watched.begin + offset, bytes);
      if (std::memcmp(now, want, bytes) == 0) continue;
      const auto at = std::mismatch(now, now + bytes, want).first - now;
      return cat("byte ", watched.begin + offset + at - watched.range.begin, " of ", watched.range.name);
    }
  }
  return "";
}

}  // namespace kvgauge::cuda::emulator
