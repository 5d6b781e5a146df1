// How a step reaches the device: its lists in one copy, block tables by their changes, operations replayed from a
// graph.
#include "cuda/backend.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/ceil_div.h"
#include "core/check.h"
#include "cuda/update_tables.h"

namespace kvgauge::cuda {
namespace {

constexpr std::int64_t kSmallestContext = 512;

/// The next power of two, in steps fine enough that padding costs little: 1, 2, 4, 8, 16, 24, 32, ...
std::int64_t padded_batch(std::int64_t rows) {
  if (rows <= 16) return static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(rows)));
  return (rows + 7) / 8 * 8;
}

std::int64_t context_bucket(std::int64_t context) {
  return std::max(kSmallestContext, static_cast<std::int64_t>(std::bit_ceil(static_cast<std::uint64_t>(context))));
}

std::int64_t context_of(const SequenceSlice& slice) { return slice.first_position + slice.rows; }

/// Slice `number` of a table as the device sees it; its rows and bounds are entered in `slice_of_row` and `table`.
DeviceSlice entered(const SequenceSlice& slice, const std::int32_t* device_blocks, std::size_t number,
                    std::int32_t* slice_of_row, SliceTable& table) {
  std::fill_n(slice_of_row + slice.first_row, slice.rows, static_cast<std::int32_t>(number));
  table.longest_rows = std::max(table.longest_rows, slice.rows);
  table.longest_context = std::max(table.longest_context, context_of(slice));
  return {.first_row = slice.first_row,
          .rows = slice.rows,
          .first_position = slice.first_position,
          .blocks = device_blocks};
}

}  // namespace

// Fixed layout for a padded batch: slices, ids, slice of each row. One copy sends it.
void CudaBackend::stage_step(const StepBatch& batch, std::int64_t padded_rows, std::int64_t context_bound) {
  const auto rows = static_cast<std::size_t>(padded_rows);
  const auto sequences = padded_rows > std::ssize(batch.ids) ? rows : batch.sequences.size();
  auto* const slices = reinterpret_cast<DeviceSlice*>(step_image_.data());
  auto* const ids = reinterpret_cast<std::int32_t*>(slices + sequences);
  auto* const slice_of_row = ids + rows;
  std::fill_n(slices, sequences, DeviceSlice{});
  std::fill_n(ids, rows, 0);
  std::fill_n(slice_of_row, rows, -1);
  std::copy(batch.ids.begin(), batch.ids.end(), ids);

  tables_->begin_step();
  SliceTable table{.count = static_cast<std::int64_t>(sequences), .rows = padded_rows};
  for (std::size_t s = 0; s < batch.sequences.size(); ++s) {
    const SequenceSlice& slice = batch.sequences[s];
    const std::int32_t* const blocks =
        tables_->place(slice.blocks, ceil_div(context_of(slice), batch.pages.page_tokens));
    slices[s] = entered(slice, blocks, s, slice_of_row, table);
  }
  table.longest_context = std::max(table.longest_context, context_bound);
  apply_table_changes();
  std::byte* const device = step_lists_->data();
  const std::size_t bytes = sequences * sizeof(DeviceSlice) + 2 * rows * sizeof(std::int32_t);
  staging_.upload_to(device, step_image_.data(), bytes);
  table.slices = reinterpret_cast<const DeviceSlice*>(device);
  current_.device_ids = reinterpret_cast<const std::int32_t*>(device + sequences * sizeof(DeviceSlice));
  table.slice_of_row = current_.device_ids + rows;
  current_.table = table;
}

void CudaBackend::apply_table_changes() {
  std::vector<TableEntry>& changes = tables_->changes();
  if (changes.empty()) return;
  launch_update_tables({.tables = tables_->device(),
                        .stride = tables_->stride(),
                        .entries = staging_.upload(std::span<const TableEntry>(changes)),
                        .count = std::ssize(changes)},
                       stream_.get());
  changes.clear();
}

void CudaBackend::run_step(const StepBatch& batch, const std::function<void(const StepBatch&)>& operations) {
  const std::int64_t rows = std::ssize(batch.ids);
  std::int64_t context = 0;
  bool decode = batch.states.empty() && batch.tapped.empty();
  for (const SequenceSlice& slice : batch.sequences) {
    context = std::max(context, context_of(slice));
    decode = decode && slice.rows == 1;
  }
  if (!tables_ || rows > step_rows_ || !tables_->fits(ceil_div(context, batch.pages.page_tokens))) {
    operations(batch);
    return;
  }
  // The first step runs by itself: what its operations reserve must not be reserved inside a capture.
  const bool graph = decode && options_.graphs && rows <= kGraphRows && ran_a_step_;
  const std::int64_t padded = graph ? std::min(padded_batch(rows), step_rows_) : rows;
  const std::int64_t bound = graph ? std::min(context_bucket(context), std::max(max_context_, context)) : 0;
  stage_step(batch, padded, bound);
  ran_a_step_ = true;
  if (!graph) {
    current_.ids = batch.ids.data();
    current_.sequences = batch.sequences.data();
    current_.states = batch.states;
    if (!batch.states.empty()) current_.device_states = staging_.upload(batch.states);
    operations(batch);
  } else {
    device_view(batch.pages);  // the same for a cache that is new
    padded_ids_.assign(static_cast<std::size_t>(padded), 0);
    padded_slices_.assign(static_cast<std::size_t>(padded), {});
    current_.ids = padded_ids_.data();
    current_.sequences = padded_slices_.data();
    graphs_.run({.rows = padded, .context = bound, .pages = batch.pages.k_base},
                [&] { operations({.ids = padded_ids_, .sequences = padded_slices_, .pages = batch.pages}); });
  }
  current_.ids = nullptr;
  current_.sequences = nullptr;
  current_.states = {};
}

const std::int32_t* CudaBackend::device_table(const std::int32_t* blocks, std::int64_t count) {
  return tables_ && tables_->fits(count) ? tables_->place(blocks, count) : device_blocks(blocks, count);
}

const std::int32_t* CudaBackend::device_blocks(const std::int32_t* blocks, std::int64_t count) {
  return staging_.upload(std::span<const std::int32_t>(blocks, static_cast<std::size_t>(count)));
}

SliceTable CudaBackend::slice_table(std::span<const SequenceSlice> sequences, int page_tokens) {
  if (current_.sequences != nullptr && sequences.data() == current_.sequences) return current_.table;
  SliceTable table{.count = std::ssize(sequences)};
  std::vector<DeviceSlice> slices;
  std::vector<std::int32_t> slice_of_row;
  for (const SequenceSlice& slice : sequences) {
    KVGAUGE_CHECK(slice.rows >= 1, "a slice of ", slice.rows, " rows");
    const std::int64_t end = slice.first_row + slice.rows;
    if (std::ssize(slice_of_row) < end) slice_of_row.resize(static_cast<std::size_t>(end), -1);
    const std::int32_t* const blocks = device_blocks(slice.blocks, ceil_div(context_of(slice), page_tokens));
    slices.push_back(entered(slice, blocks, slices.size(), slice_of_row.data(), table));
  }
  table.rows = std::ssize(slice_of_row);
  table.slices = staging_.upload(std::span<const DeviceSlice>(slices));
  table.slice_of_row = staging_.upload(std::span<const std::int32_t>(slice_of_row));
  return table;
}

const CudaBackend::Constant* CudaBackend::known_constant(const void* data, std::size_t bytes) const {
  for (const Constant& known : constants_)
    if (known.bytes.size() == bytes && std::memcmp(known.bytes.data(), data, bytes) == 0) return &known;
  return nullptr;
}

const std::byte* CudaBackend::constant(const void* data, std::size_t bytes) {
  if (const Constant* const known = known_constant(data, bytes)) return known->memory->data();
  Constant made{{static_cast<const std::byte*>(data), static_cast<const std::byte*>(data) + bytes},
                std::make_unique<ArenaMemory>(arena_, bytes, "constants")};
  staging_.upload_to(made.memory->data(), data, bytes);
  constants_.push_back(std::move(made));
  return constants_.back().memory->data();
}

const std::byte* CudaBackend::constant_or_list(const void* data, std::size_t bytes) {
  if (const Constant* const known = known_constant(data, bytes)) return known->memory->data();
  return reinterpret_cast<const std::byte*>(
      staging_.upload(std::span<const std::byte>(static_cast<const std::byte*>(data), bytes)));
}

// The gauges' view: of our own pages, which the model's operations made known, or of a cache that another engine moves
// about.
PagedKvView CudaBackend::foreign_view(const PagedKvView& pages) {
  const std::size_t bytes = static_cast<std::size_t>(pages.layers) * sizeof(std::byte*);
  PagedKvView view = pages;
  view.k_base = reinterpret_cast<std::byte* const*>(constant_or_list(pages.k_base, bytes));
  view.v_base = reinterpret_cast<std::byte* const*>(constant_or_list(pages.v_base, bytes));
  return view;
}

PagedKvView CudaBackend::device_view(const PagedKvView& pages) {
  const std::size_t bytes = static_cast<std::size_t>(pages.layers) * sizeof(std::byte*);
  PagedKvView view = pages;
  view.k_base = reinterpret_cast<std::byte* const*>(constant(pages.k_base, bytes));
  view.v_base = reinterpret_cast<std::byte* const*>(constant(pages.v_base, bytes));
  return view;
}

const double* CudaBackend::device_frequencies(const double* frequencies, std::int64_t count) {
  return reinterpret_cast<const double*>(constant(frequencies, static_cast<std::size_t>(count) * sizeof(double)));
}

}  // namespace kvgauge::cuda
