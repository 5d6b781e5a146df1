#include "cuda/cuda_backend.h"

#include <cuda_runtime_api.h>

#include <algorithm>

#include "core/cat.h"
#include "core/check.h"
#include "cuda/backend.h"
#include "cuda/check.h"
#include "cuda/unpack_weights.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace cuda {
namespace {

constexpr std::size_t kStagingBytes = std::size_t{1} << 20;
constexpr std::size_t kLoadBytes = std::size_t{16} << 20;  // of each of two buffers that weights pass through

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

}  // namespace

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
    tile =
        std::max(tile, Products::tile_bytes({.n = weight.rows, .k = weight.columns, .dtype = options_.compute_dtype}));
  const bool outgrown = options_.batch_invariant && product_tile_ && product_tile_->bytes() < tile;
  if (!products_ || outgrown) {
    products_.reset();
    scratch(workspace_, Products::kWorkspaceBytes, "workspace of products");
    if (options_.batch_invariant) scratch(product_tile_, tile, "tile of products");
    products_ = std::make_unique<Products>(ProductsConfig{.stream = stream_.get(),
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
  staging_.reserve(kStagingBytes +
                   static_cast<std::size_t>(rows) * (static_cast<std::size_t>(stride) * sizeof(TableEntry) + 512));
  step_image_.resize(count * (sizeof(DeviceSlice) + 2 * sizeof(std::int32_t)));
  scratch(step_lists_, step_image_.size(), "lists of a step");
  padded_ids_.reserve(count);
  padded_slices_.reserve(count);
  trajectory_items_.reserve(count);
  scratch(drawn_, count * sizeof(std::int32_t), "drawn tokens");
  scratch(statistics_, count * sizeof(TokenLogitStats), "statistics of logits");
  wait();
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
