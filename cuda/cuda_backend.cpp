#include "cuda/cuda_backend.h"

#include <cuda_runtime_api.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/cat.h"
#include "core/ceil_div.h"
#include "core/check.h"
#include "core/trajectory_sums.h"
#include "cuda/backend.h"
#include "cuda/check.h"
#include "cuda/copy_pages.h"
#include "cuda/embed.h"
#include "cuda/kv_pool.h"
#include "cuda/layer_states.h"
#include "cuda/logits_stats.h"
#include "cuda/paged_attention.h"
#include "cuda/rms_norm.h"
#include "cuda/rope_append.h"
#include "cuda/sample.h"
#include "cuda/swiglu.h"
#include "cuda/unpack_weights.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace cuda {
namespace {

constexpr std::size_t kStagingBytes = std::size_t{1} << 20;
constexpr std::size_t kLoadBytes = std::size_t{16} << 20;  // of each of two buffers that weights pass through
constexpr std::int64_t kGraphRows = 256;                   // larger decode batches are limited by arithmetic, not by launches
constexpr std::int64_t kSmallestContext = 512;

std::string version(int number) { return cat(number / 1000, ".", number % 1000 / 10); }

const CudaOptions& selected(const CudaOptions& options) {
  if (const std::string reason = cuda_unavailable(); !reason.empty()) throw DeviceError(reason);
  int devices = 0;
  check_cuda(cudaGetDeviceCount(&devices), "cudaGetDeviceCount");
  if (options.device < 0 || options.device >= devices)
    throw DeviceError(cat("--device: cuda:", options.device, " is not there, this machine has ", devices,
                          devices == 1 ? " device (cuda:0)" : " devices"));
  check_cuda(cudaSetDevice(options.device), "cudaSetDevice");
  return options;
}

std::size_t memory_to_reserve(const CudaOptions& options) {
  if (options.memory > 0) return options.memory;
  return device_memory_info().free / 10 * 9;
}

std::string description(const CudaOptions& options) {
  cudaDeviceProp properties;
  check_cuda(cudaGetDeviceProperties(&properties, options.device), "cudaGetDeviceProperties");
  int driver = 0;
  check_cuda(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  return cat("cuda:", options.device, " ", properties.name, ", sm_", properties.major, properties.minor, ", ",
             properties.totalGlobalMem >> 20, " MiB, driver for CUDA ", version(driver));
}

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

DeviceTrajectory::DeviceTrajectory(DeviceArena& arena, std::int64_t values, std::int64_t capacity)
    : values(values),
      capacity(std::max<std::int64_t>(capacity, 1)),
      memory_(arena, static_cast<std::size_t>(3 * values + 2 * this->capacity) * sizeof(float), "trajectory") {}

DeviceTrajectoryItem DeviceTrajectory::item(const TrajectoryItem& item, const std::int32_t* device_blocks) const {
  return {.blocks = device_blocks,
          .begin = item.begin,
          .end = item.end,
          .points = points_,
          .first = first(),
          .previous = point(newest),
          .newest = point(1 - newest),
          .dr = dr(),
          .dtheta = dtheta()};
}

void DeviceTrajectory::extended(std::int64_t points) {
  points_ += points;
  newest = 1 - newest;
}

CudaBackend::CudaBackend(const CudaOptions& options)
    : options_(selected(options)),
      description_(description(options)),
      arena_(memory_to_reserve(options)),
      staging_(stream_, arena_, kStagingBytes),
      graphs_(stream_),
      ends_(std::make_unique<ArenaMemory>(arena_, 2 * sizeof(double), "trajectory")) {}

CudaBackend::~CudaBackend() {
  cudaStreamSynchronize(stream_.get());  // a failure was reported by the call that met it
}

void CudaBackend::start_after(void* stream) {
  foreign_.record(static_cast<StreamHandle>(stream));
  foreign_.hold(stream_.get());
}

void CudaBackend::finish_before(void* stream) {
  foreign_.record(stream_.get());
  foreign_.hold(static_cast<StreamHandle>(stream));
}

void CudaBackend::wait() {
  staging_.deliver();
  staging_.next_step();
}

// ---- memory and weights

std::unique_ptr<DeviceMemory> CudaBackend::allocate(std::size_t bytes) {
  auto memory = std::make_unique<ArenaMemory>(arena_, bytes, "device memory");
  stream_.fill_zero(memory->data(), bytes);
  wait();
  return memory;
}

void CudaBackend::upload(std::byte* device, const void* host, std::size_t bytes) {
  const auto* from = static_cast<const std::byte*>(host);
  for (std::size_t at = 0; at < bytes; at += kStagingBytes)
    staging_.upload_to(device + at, from + at, std::min(kStagingBytes, bytes - at));
  wait();
}

void CudaBackend::download(void* host, const std::byte* device, std::size_t bytes) {
  staging_.fetch(host, device, bytes);
}

PackedWeight CudaBackend::pack_weight(std::int64_t rows, std::int64_t columns, WeightSource& source) {
  KVGAUGE_CHECK(rows > 0 && columns > 0, "a weight of ", rows, " x ", columns);
  const std::size_t bytes = static_cast<std::size_t>(rows * columns) * size_of(options_.compute_dtype);
  Weight weight{std::make_unique<ArenaMemory>(arena_, bytes, "weights"), rows, columns};
  load_rows(rows, columns, source, weight.memory->data());
  packed_bytes_ += bytes;
  weights_.push_back(std::move(weight));
  return {.handle = static_cast<std::int64_t>(weights_.size()) - 1, .rows = rows, .columns = columns};
}

// Rows travel as the file stores them, a quarter of their size where they are quantized, and are unpacked on the
// device.
void CudaBackend::load_rows(std::int64_t rows, std::int64_t columns, WeightSource& source, std::byte* device) {
  const DType dtype = options_.compute_dtype;
  const std::size_t row_bytes = static_cast<std::size_t>(columns) * size_of(dtype);
  struct Slot {  // one is read from the file while the other travels
    std::optional<PinnedMemory> pinned;
    std::unique_ptr<ArenaMemory> packed;
    Event copied;
  };
  Slot slots[2];
  int turn = 0;
  for (std::int64_t first = 0; first < rows; turn = 1 - turn) {
    const auto [type, run] = source.stored(first);
    const std::size_t stored_row = stored_bytes(type, static_cast<std::uint64_t>(columns));
    const std::int64_t count = std::clamp<std::int64_t>(static_cast<std::int64_t>(kLoadBytes / stored_row), 1, run);
    const std::size_t bytes = static_cast<std::size_t>(count) * stored_row;
    std::byte* const to = device + static_cast<std::size_t>(first) * row_bytes;
    Slot& slot = slots[turn];
    if (slot.pinned) slot.copied.wait();
    if (!slot.pinned || slot.pinned->bytes() < bytes) slot.pinned.emplace(bytes);
    source.read_stored(first, count, slot.pinned->data());
    if (type == (dtype == DType::kBF16 ? StoredType::kBF16 : StoredType::kF32)) {
      stream_.copy_to_device(to, slot.pinned->data(), bytes);
    } else {
      const std::byte* const packed = scratch(slot.packed, bytes, "stored weights");
      stream_.copy_to_device(slot.packed->data(), slot.pinned->data(), bytes);
      launch_unpack_weights({.source = packed,
                             .type = type,
                             .out = {.data = to, .dtype = dtype, .rows = count, .columns = columns, .stride = columns}},
                            stream_.get());
    }
    slot.copied.record(stream_);
    first += count;
  }
  wait();
}

std::byte* CudaBackend::scratch(std::unique_ptr<ArenaMemory>& memory, std::size_t bytes, const char* what) {
  if (!memory || memory->bytes() < bytes) {
    if (memory) wait();  // what it was used for may still run
    memory.reset();
    memory = std::make_unique<ArenaMemory>(arena_, bytes, what);
  }
  return memory->data();
}

void CudaBackend::reserve_products(std::int64_t rows) {
  std::size_t tile = 1;
  for (const Weight& weight : weights_)
    tile = std::max(tile, Products::tile_bytes({.n = weight.rows, .k = weight.columns, .dtype = options_.compute_dtype}));
  const bool outgrown = options_.batch_invariant && product_tile_ && product_tile_->bytes() < tile;
  if (!products_ || outgrown) {
    products_.reset();
    scratch(workspace_, Products::kWorkspaceBytes, "workspace of products");
    if (options_.batch_invariant) scratch(product_tile_, tile, "tile of products");
    products_ = std::make_unique<Products>(
        ProductsConfig{.stream = stream_.get(),
                       .workspace = workspace_->data(),
                       .workspace_bytes = workspace_->bytes(),
                       .batch_invariant = options_.batch_invariant,
                       .tile = product_tile_ ? product_tile_->data() : nullptr,
                       .tile_bytes = product_tile_ ? product_tile_->bytes() : 0});
  }
  for (const Weight& weight : weights_) {
    const auto prepare = [&](std::int64_t features) {
      if (features > 0) products_->prepare({.n = features, .k = weight.columns, .dtype = options_.compute_dtype}, rows);
    };
    prepare(weight.rows);
    if (weight.rows <= kVocabTile) continue;  // whatever is as large as a head may be asked for in tiles
    prepare(kVocabTile);
    prepare(weight.rows % kVocabTile);
  }
}

void CudaBackend::warm_up(std::int64_t rows, std::int64_t max_context) {
  KVGAUGE_CHECK(rows > 0 && max_context > 0, "rows ", rows, ", context ", max_context);
  wait();
  graphs_.clear();  // the lists that they name move
  ran_a_step_ = false;
  step_rows_ = rows;
  max_context_ = max_context;
  reserve_products(rows);
  const auto count = static_cast<std::size_t>(rows);
  // Twice as many tables as a step has sequences: one that sits out a step keeps its place.
  const std::int64_t stride = max_context / kPageTokens + 2;
  tables_.emplace(arena_, 2 * rows, stride);
  // The most that a step sends: every table anew, and some hundred bytes for each row.
  staging_.reserve(kStagingBytes + static_cast<std::size_t>(rows) * (static_cast<std::size_t>(stride) * sizeof(TableEntry) + 512));
  step_image_.resize(count * (sizeof(DeviceSlice) + 2 * sizeof(std::int32_t)));
  scratch(step_lists_, step_image_.size(), "lists of a step");
  padded_ids_.reserve(count);
  padded_slices_.reserve(count);
  trajectory_items_.reserve(count);
  scratch(drawn_, count * sizeof(std::int32_t), "drawn tokens");
  scratch(statistics_, count * sizeof(TokenLogitStats), "statistics of logits");
  wait();
}

// ---- the lists of a step

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
    const std::int32_t* const blocks = tables_->place(slice.blocks, ceil_div(context_of(slice), batch.pages.page_tokens));
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

// The gauges' view: of our own pages, which the model's operations made known, or of a cache that another engine moves about.
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

// ---- operations

void CudaBackend::embed(const EmbedArgs& args) {
  KVGAUGE_CHECK(args.out.dtype == DType::kF32 && args.out.columns == args.hidden && args.out.rows >= std::ssize(args.ids),
                "out is ", args.out.rows, " x ", args.out.columns);
  const bool of_step = current_.ids != nullptr && args.ids.data() == current_.ids;
  launch_embed(args, of_step ? current_.device_ids : staging_.upload(args.ids), stream_.get());
}

void CudaBackend::rms_norm(const RmsNormArgs& args) { launch_rms_norm(args, stream_.get()); }
void CudaBackend::swiglu(const SwigluArgs& args) { launch_swiglu(args, stream_.get()); }

void CudaBackend::linear(const LinearArgs& args) {
  KVGAUGE_CHECK(args.weight.handle >= 0 && args.weight.handle < std::ssize(weights_), "weight ", args.weight.handle);
  KVGAUGE_CHECK(args.x.dtype == options_.compute_dtype && args.x.columns == args.weight.columns &&
                    args.out.rows >= args.x.rows,
                "x is ", name(args.x.dtype), " ", args.x.rows, " x ", args.x.columns);
  check_features(args);
  if (args.x.rows == 0) return;
  if (!products_) reserve_products(args.x.rows);
  const std::size_t skipped = static_cast<std::size_t>(args.first_feature * args.weight.columns) * size_of(options_.compute_dtype);
  products_->multiply(args.x, weights_[static_cast<std::size_t>(args.weight.handle)].memory->data() + skipped, args.out);
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
  auto* const out = reinterpret_cast<TokenLogitStats*>(
      scratch(statistics_, std::max<std::size_t>(bytes, 1), "statistics of logits"));
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
  KVGAUGE_CHECK(args.source.size() == args.target.size(), args.source.size(), " sources, ", args.target.size(), " targets");
  CopyPagesArgs device = args;
  device.pages = device_view(args.pages);
  launch_copy_pages(device, staging_.upload(args.source), staging_.upload(args.target), stream_.get());
}

void CudaBackend::kv_pool(const KvPoolArgs& args) {
  check_kv_pool(args);
  if (args.items.empty()) return;
  std::vector<PoolItem>& items = pool_items_;
  items.assign(args.items.begin(), args.items.end());
  for (PoolItem& item : items) item.blocks = device_blocks(item.blocks, ceil_div(item.end, args.pages.page_tokens));
  PoolTable table{.items = staging_.upload(std::span<const PoolItem>(items)),
                  .count = std::ssize(items),
                  .layers = args.spec.layers.empty() ? nullptr : staging_.upload(args.spec.layers),
                  .layer_count = args.spec.layers.empty() ? args.pages.layers : std::ssize(args.spec.layers)};
  KvPoolArgs device = args;
  device.pages = foreign_view(args.pages);
  auto* const out = reinterpret_cast<float*>(scratch(difficulties_, items.size() * sizeof(float), "difficulties"));
  launch_kv_pool(device, table, out, stream_.get());
  if (!args.out.empty()) staging_.fetch(args.out.data(), out, args.out.size_bytes());
}

void CudaBackend::layer_states(const LayerStatesArgs& args) {
  check_layer_states(args);
  if (args.items.empty()) return;
  // Every layer of a step names the same list, or a part of it.
  const LayerStatesItem* const known = current_.states.data();
  const bool of_step = known != nullptr && args.items.data() >= known && args.items.data() < known + current_.states.size();
  launch_layer_states(args, of_step ? current_.device_states + (args.items.data() - known) : staging_.upload(args.items),
                      stream_.get());
}

TrajectorySums CudaBackend::read_layer_states(const LayerSums& sums) {
  check_layer_sums(sums);
  std::vector<double> steps(static_cast<std::size_t>(2 * sums.states));
  const std::size_t bytes = steps.size() * sizeof(double);
  std::byte* const out = scratch(layer_steps_, bytes, "layer states");
  launch_layer_steps(sums, reinterpret_cast<double*>(out), stream_.get());
  staging_.fetch(steps.data(), out, bytes);
  wait();
  std::vector<double> dr, dtheta;
  for (std::size_t i = 0; i + 2 < steps.size(); i += 2) {
    dr.push_back(steps[i]);
    dtheta.push_back(steps[i + 1]);
  }
  return sum_trajectory<double>(dr, dtheta, steps[steps.size() - 2], steps[steps.size() - 1]);
}

// ---- trajectories

std::unique_ptr<TrajectoryState> CudaBackend::make_trajectory(std::int64_t values, std::int64_t capacity) {
  return std::make_unique<DeviceTrajectory>(arena_, values, capacity);
}

void CudaBackend::copy_trajectory(const TrajectoryState& from, TrajectoryState& to) {
  const auto& source = static_cast<const DeviceTrajectory&>(from);
  auto& target = static_cast<DeviceTrajectory&>(to);
  KVGAUGE_CHECK(target.values == source.values && target.capacity >= source.points() - 1, "a trajectory of ",
                target.values, " values and ", target.capacity, " points for one of ", source.values, " and ",
                source.points());
  target.restart();
  target.extended(source.points());
  target.newest = source.newest;
  if (source.points() == 0) return;
  stream_.copy_on_device(target.first(), source.first(), static_cast<std::size_t>(3 * source.values) * sizeof(float));
  const std::size_t steps = static_cast<std::size_t>(source.points() - 1) * sizeof(float);
  stream_.copy_on_device(target.dr(), source.dr(), steps);
  stream_.copy_on_device(target.dtheta(), source.dtheta(), steps);
}

void CudaBackend::kv_trajectory(const KvTrajectoryArgs& args) {
  check_kv_trajectory(args);
  const std::int64_t parts = args.spec.part == GaugePart::kKV ? 2 : 1;
  const std::int64_t values = parts * args.pages.kv_heads * args.pages.head_dim;
  TrajectoryTable table{.layer_count = args.spec.layers.empty() ? args.pages.layers : std::ssize(args.spec.layers)};
  trajectory_items_.clear();
  for (const TrajectoryItem& item : args.items) {
    if (item.end <= item.begin) continue;
    auto& state = static_cast<DeviceTrajectory&>(*item.state);
    KVGAUGE_CHECK(state.values == values && state.points() + item.end - item.begin <= state.capacity,
                  "a trajectory of ", state.values, " values and room for ", state.capacity, " points, pages give ", values,
                  " and the span ends at ", state.points() + item.end - item.begin);
    const std::int64_t blocks = ceil_div(item.end, args.pages.page_tokens);
    const bool kept = tables_ && tables_->fits(blocks);
    trajectory_items_.push_back(
        state.item(item, kept ? tables_->place(item.blocks, blocks) : device_blocks(item.blocks, blocks)));
    state.extended(item.end - item.begin);
    table.longest_span = std::max(table.longest_span, item.end - item.begin);
  }
  if (trajectory_items_.empty()) return;
  if (tables_) apply_table_changes();
  table.count = std::ssize(trajectory_items_);
  table.items = staging_.upload(std::span<const DeviceTrajectoryItem>(trajectory_items_));
  if (!args.spec.layers.empty()) table.layers = staging_.upload(args.spec.layers);
  KvTrajectoryArgs device = args;
  device.pages = foreign_view(args.pages);
  if (const std::span<const double> frequencies = args.spec.inverse_frequencies; !frequencies.empty())
    device.spec.inverse_frequencies = {
        reinterpret_cast<const double*>(constant_or_list(frequencies.data(), frequencies.size_bytes())), frequencies.size()};
  launch_kv_trajectory(device, table, stream_.get());
}

TrajectorySums CudaBackend::read_trajectory(const TrajectoryState& state) {
  if (state.points() == 0) return {.sum_m_cos_a = kUndefined, .sum_m_sin_a = kUndefined};
  const auto& trajectory = static_cast<const DeviceTrajectory&>(state);
  launch_trajectory_ends(trajectory.first(), trajectory.point(trajectory.newest), trajectory.values,
                         ends_->as<double>(), stream_.get());
  double ends[2];
  staging_.fetch(ends, ends_->data(), sizeof ends);
  const TrajectorySteps steps = read_steps(state);
  return sum_trajectory<float>(steps.dr, steps.dtheta, ends[0], ends[1]);
}

TrajectorySteps CudaBackend::read_steps(const TrajectoryState& state) {
  TrajectorySteps steps;
  if (state.points() > 1) {
    const auto& trajectory = static_cast<const DeviceTrajectory&>(state);
    const auto count = static_cast<std::size_t>(state.points() - 1);
    steps.dr.resize(count);
    steps.dtheta.resize(count);
    staging_.fetch(steps.dr.data(), trajectory.dr(), count * sizeof(float));
    staging_.fetch(steps.dtheta.data(), trajectory.dtheta(), count * sizeof(float));
  }
  wait();
  return steps;
}

}  // namespace cuda

std::string cuda_unavailable() {
  int driver = 0;
  if (cudaDriverGetVersion(&driver) != cudaSuccess || driver == 0) {
    cudaGetLastError();
    return "--device: cuda: no NVIDIA driver was found; install one or run with --device cpu";
  }
  int built = 0;
  cudaRuntimeGetVersion(&built);
  if (driver / 1000 < built / 1000)
    return cat("--device: cuda: the driver supports CUDA ", cuda::version(driver), ", ", cuda::version(built),
               " was needed; update the driver or run with --device cpu");
  int devices = 0;
  if (const cudaError_t status = cudaGetDeviceCount(&devices); status != cudaSuccess || devices == 0) {
    cudaGetLastError();
    return cat("--device: cuda: no device was found (", cudaGetErrorString(status), "); run with --device cpu");
  }
  return "";
}

int CurrentDevice::exchange(int device) {
  int before = 0;
  cuda::check_cuda(cudaGetDevice(&before), "cudaGetDevice");
  if (before != device) cuda::check_cuda(cudaSetDevice(device), "cudaSetDevice");
  return before;
}

void CurrentDevice::restore(int device) noexcept {
  int now = 0;
  if (cudaGetDevice(&now) == cudaSuccess && now != device) cudaSetDevice(device);
}

bool is_device_memory(const void* pointer) {
  cudaPointerAttributes attributes;
  if (cudaPointerGetAttributes(&attributes, pointer) != cudaSuccess) {
    cudaGetLastError();
    return false;
  }
  return attributes.type != cudaMemoryTypeUnregistered && attributes.devicePointer != nullptr;
}

std::unique_ptr<Backend> make_cuda_backend(const CudaOptions& options) {
  KVGAUGE_CHECK(options.compute_dtype != DType::kF16, "the CUDA back end computes in f32 or bf16");
  return std::make_unique<cuda::CudaBackend>(options);
}

}  // namespace kvgauge
