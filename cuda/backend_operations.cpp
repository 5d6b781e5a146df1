// The operations of a decoder step: arguments made the device's, launcher called.
#include "cuda/backend.h"

#include <algorithm>

#include "core/check.h"
#include "cuda/copy_pages.h"
#include "cuda/embed.h"
#include "cuda/logits_stats.h"
#include "cuda/paged_attention.h"
#include "cuda/rms_norm.h"
#include "cuda/rope_append.h"
#include "cuda/sample.h"
#include "cuda/swiglu.h"

namespace kvgauge::cuda {

void CudaBackend::embed(const EmbedArgs& args) {
  KVGAUGE_CHECK(
      args.out.dtype == DType::kF32 && args.out.columns == args.hidden && args.out.rows >= std::ssize(args.ids),
      "out is ", args.out.rows, " x ", args.out.columns);
  const bool of_step = current_.ids != nullptr && args.ids.data() == current_.ids;
  launch_embed(args, of_step ? current_.device_ids : staging_.upload(args.ids), stream_.get());
}

void CudaBackend::rms_norm(const RmsNormArgs& args) { launch_rms_norm(args, stream_.get()); }
void CudaBackend::swiglu(const SwigluArgs& args) { launch_swiglu(args, stream_.get()); }

void CudaBackend::linear(const LinearArgs& args) {
  KVGAUGE_CHECK(args.weight.handle >= 0 && args.weight.handle < std::ssize(weights_), "weight ", args.weight.handle);
  KVGAUGE_CHECK(
      args.x.dtype == options_.compute_dtype && args.x.columns == args.weight.columns && args.out.rows >= args.x.rows,
      "x is ", name(args.x.dtype), " ", args.x.rows, " x ", args.x.columns);
  check_features(args);
  if (args.x.rows == 0) return;
  if (!products_) reserve_products(args.x.rows);
  const std::size_t skipped =
      static_cast<std::size_t>(args.first_feature * args.weight.columns) * size_of(options_.compute_dtype);
  products_->multiply(args.x, weights_[static_cast<std::size_t>(args.weight.handle)].memory->data() + skipped,
                      args.out);
}

void CudaBackend::rope_append(const RopeAppendArgs& args) {
  const SliceTable table = slice_table(args.sequences, args.pages.page_tokens);
  RopeAppendArgs device = args;
  device.pages = device_view(args.pages);
  device.inverse_frequencies = device_frequencies(args.inverse_frequencies, args.head_dim / 2);
  launch_rope_append(device, table, stream_.get());
}

void CudaBackend::paged_attention(const PagedAttentionArgs& args) {
  const SliceTable table = slice_table(args.sequences, args.pages.page_tokens);
  PagedAttentionArgs device = args;
  device.pages = device_view(args.pages);
  const std::size_t bytes = paged_attention_scratch_bytes(
      std::max(table.rows, step_rows_), std::max(table.count, std::min(step_rows_, kGraphRows)),
      std::max(table.longest_context, max_context_), args.heads, args.pages.head_dim);
  launch_paged_attention(device, table, scratch(attention_scratch_, std::max<std::size_t>(bytes, 1), "attention"),
                         stream_.get());
}

void CudaBackend::sample(const SampleArgs& args) {
  KVGAUGE_CHECK(args.logits.dtype == DType::kF32 && args.logits.columns > 0, "logits are ", name(args.logits.dtype));
  KVGAUGE_CHECK(args.requests.size() == args.out.size(), args.requests.size(), " requests, ", args.out.size(), " out");
  for (const SampleRequest& request : args.requests)
    KVGAUGE_CHECK(request.row >= 0 && request.row < args.logits.rows, "row ", request.row, " of ", args.logits.rows);
  const std::size_t bytes = args.out.size_bytes();
  auto* const drawn = reinterpret_cast<std::int32_t*>(scratch(drawn_, std::max<std::size_t>(bytes, 1), "drawn tokens"));
  launch_sample(args, staging_.upload(args.requests), drawn, stream_.get());
  staging_.fetch(args.out.data(), drawn, bytes);
}

void CudaBackend::logits_stats(const LogitsStatsArgs& args) {
  check_logits_stats(args);
  const std::size_t bytes = args.out.size_bytes();
  auto* const out =
      reinterpret_cast<TokenLogitStats*>(scratch(statistics_, std::max<std::size_t>(bytes, 1), "statistics of logits"));
  const bool whole = args.first_token == 0 && args.is_last_tile();
  launch_logits_stats(args,
                      {.rows = staging_.upload(args.rows),
                       .chosen = staging_.upload(args.chosen),
                       .draws = args.draws.empty() ? nullptr : staging_.upload(args.draws),
                       .drawn = drawn_ ? drawn_->as<std::int32_t>() : nullptr,
                       .out = out,
                       .parts = whole ? nullptr
                                      : scratch(statistics_parts_, logits_stats_part_bytes(std::ssize(args.rows)),
                                                "statistics of tiles of logits"),
                       .count = std::ssize(args.rows)},
                      stream_.get());
  if (args.is_last_tile()) staging_.fetch(args.out.data(), out, bytes);
}

void CudaBackend::copy_pages(const CopyPagesArgs& args) {
  KVGAUGE_CHECK(args.source.size() == args.target.size(), args.source.size(), " sources, ", args.target.size(),
                " targets");
  CopyPagesArgs device = args;
  device.pages = device_view(args.pages);
  launch_copy_pages(device, staging_.upload(args.source), staging_.upload(args.target), stream_.get());
}

}  // namespace kvgauge::cuda
