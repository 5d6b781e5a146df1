#include "ops/copy_pages.h"

#include <cstring>

#include "core/check.h"
#include "cpu/backend.h"

namespace kvgauge::cpu {

void CpuBackend::copy_pages(const CopyPagesArgs& args) {
  const PagedKvView& pages = args.pages;
  KVGAUGE_CHECK(args.source.size() == args.target.size(), args.source.size(), " sources, ", args.target.size(),
                " targets");
  const std::size_t row_bytes = static_cast<std::size_t>(pages.head_dim) * size_of(pages.dtype);
  const bool tiles_are_dense = pages.token_stride == pages.head_dim;
  for (std::size_t i = 0; i < args.source.size(); ++i) {
    const std::int64_t source = args.source[i], target = args.target[i];
    for (int layer = 0; layer < pages.layers; ++layer) {
      for (int head = 0; head < pages.kv_heads; ++head) {
        if (tiles_are_dense) {
          std::memcpy(pages.k(layer, target, head, 0), pages.k(layer, source, head, 0), row_bytes * pages.page_tokens);
          std::memcpy(pages.v(layer, target, head, 0), pages.v(layer, source, head, 0), row_bytes * pages.page_tokens);
          continue;
        }
        for (int slot = 0; slot < pages.page_tokens; ++slot) {
          std::memcpy(pages.k(layer, target, head, slot), pages.k(layer, source, head, slot), row_bytes);
          std::memcpy(pages.v(layer, target, head, slot), pages.v(layer, source, head, slot), row_bytes);
        }
      }
    }
  }
}

}  // namespace kvgauge::cpu
