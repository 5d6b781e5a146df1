#include <cstdio>
#include <string_view>

#include "capi/handles.h"
#include "core/device_name.h"
#include "core/printable.h"
#include "cpu/cpu_backend.h"
#if defined(KVGAUGE_CUDA) || defined(KVGAUGE_EMULATED)
#include "cuda/cuda_backend.h"
#endif

namespace kvgauge::capi {
namespace {

thread_local std::string last_error;

constexpr int kMostThreads = 4096;

#if defined(KVGAUGE_CUDA) || defined(KVGAUGE_EMULATED)
constexpr std::uint64_t kDeviceMemory = std::uint64_t{64} << 20;
constexpr std::uint64_t kLeastDeviceMemory = std::uint64_t{4} << 20;  // two sets of a call's lists
#endif

#if defined(KVGAUGE_CUDA)
constexpr const char* kDevices = "cpu|cuda|cuda:N";
#elif defined(KVGAUGE_EMULATED)
constexpr const char* kDevices = "cpu|emulated";
#else
constexpr const char* kDevices = "cpu";
#endif

/// The device that a name means in this build; nothing for one that is not among kDevices.
std::optional<int> device_index([[maybe_unused]] std::string_view device) {
#if defined(KVGAUGE_CUDA)
  return cuda_index(device);
#elif defined(KVGAUGE_EMULATED)
  return device == "emulated" ? std::optional(0) : std::nullopt;
#else
  return std::nullopt;
#endif
}

void open(Context& context, const kvgauge_context_options& options) {
  const std::string_view device = options.device == nullptr ? "cpu" : options.device;
  require(options.threads >= 0 && options.threads <= kMostThreads, "options.threads is ", options.threads, ", 0 to ",
          kMostThreads, " was needed");
  if (device == "cpu") {
    // Gauges read pages of any type on every processor; products, which bf16 would be for, are not computed here.
    context.backend =
        make_cpu_backend({.threads = options.threads, .compute_dtype = DType::kF32, .isa = {}, .onednn = false});
    return;
  }
  const std::optional<int> index = device_index(device);
  require(index.has_value(), "options.device is '", printable(device), "', one of ", kDevices, " was needed");
#if defined(KVGAUGE_CUDA) || defined(KVGAUGE_EMULATED)
  const std::uint64_t memory = options.device_memory == 0 ? kDeviceMemory : options.device_memory;
  require(memory >= kLeastDeviceMemory, "options.device_memory is ", memory, ", at least ", kLeastDeviceMemory,
          " was needed");
  const CurrentDevice current(*index);
  context.backend = make_cuda_backend({.device = *index, .compute_dtype = DType::kF32, .memory = memory});
  context.device = index;
  context.on_device = true;
#endif
}

}  // namespace

void set_last_error(const char* function, const char* message) noexcept {
  try {
    last_error = cat(function, ": ", message);
  } catch (...) {
    last_error.clear();
  }
}
void clear_last_error() noexcept { last_error.clear(); }

Turn::Turn(Context& context) : context_(context), lock_(context.turn) {
#if defined(KVGAUGE_CUDA) || defined(KVGAUGE_EMULATED)
  if (context_.device) device_before_ = CurrentDevice::exchange(*context_.device);
#endif
}

Turn::~Turn() {
#if defined(KVGAUGE_CUDA) || defined(KVGAUGE_EMULATED)
  if (context_.device) CurrentDevice::restore(device_before_);
#endif
}

GaugePart part_of(kvgauge_part part) {
  switch (part) {
    case KVGAUGE_V: return GaugePart::kV;
    case KVGAUGE_K: return GaugePart::kK;
    case KVGAUGE_KV: return GaugePart::kKV;
  }
  throw ArgumentError(
      cat("spec.part is ", static_cast<int>(part), ", one of KVGAUGE_V, KVGAUGE_K, KVGAUGE_KV was needed"));
}

std::vector<std::int32_t> layers_of(const std::int32_t* layers, std::size_t count) {
  require((layers == nullptr) == (count == 0), "spec.layers is ", layers == nullptr ? "NULL" : "given",
          ", spec.layer_count is ", count, "; both or neither was needed");
  for (std::size_t i = 0; i < count; ++i)
    require(layers[i] >= 0 && (i == 0 || layers[i - 1] < layers[i]), "spec.layers[", i, "] is ", layers[i],
            ", ascending indices from 0 were needed");
  return {layers, layers + count};
}

void check_layers(const std::vector<std::int32_t>& layers, const kvgauge_cache& cache) {
  require(layers.empty() || layers.back() < cache.view.layers, "spec.layers names layer ",
          layers.empty() ? 0 : layers.back(), ", the cache has ", cache.view.layers);
}

void check_shape(std::int64_t kv_heads, std::int64_t head_dim) {
  require(kv_heads > 0 && head_dim > 0 && kv_heads <= kMostValues && head_dim <= kMostValues &&
              2 * kv_heads * head_dim <= kMostValues,
          "kv_heads is ", kv_heads, " and head_dim ", head_dim,
          ", both at least 1 and 2 * kv_heads * head_dim at most ", kMostValues, " were needed");
}

void check_sequences(const kvgauge_cache& cache, const kvgauge_sequence* sequences, std::size_t count,
                     std::int64_t least) {
  require(sequences != nullptr || count == 0, "sequences is NULL, ", count, " were announced");
  for (std::size_t i = 0; i < count; ++i) {
    const kvgauge_sequence& s = sequences[i];
    require(s.begin >= 0 && s.end <= kMostPositions && s.end - s.begin >= least, "sequences[", i, "] is [", s.begin,
            ", ", s.end, "), ", least == 0 ? "0 <= begin <= end" : "0 <= begin < end", " was needed");
    if (s.end == s.begin) continue;
    const std::int64_t needed = (s.end - 1) / cache.view.page_tokens + 1;
    require(s.blocks != nullptr && s.block_count >= static_cast<std::size_t>(needed), "sequences[", i, "].blocks ",
            s.blocks == nullptr ? "is NULL" : cat("has ", s.block_count, " ids"), ", ", needed, " were needed for ",
            s.end, " positions in blocks of ", cache.view.page_tokens);
    // Blocks before `begin` are not read: an engine may have given them away.
    for (std::int64_t b = s.begin / cache.view.page_tokens; b < needed; ++b)
      require(s.blocks[b] >= 0 && s.blocks[b] < cache.blocks, "sequences[", i, "].blocks[", b, "] is ", s.blocks[b],
              ", 0 to ", cache.blocks - 1, " was needed");
  }
}

void check_place(const Context& context, const kvgauge_cache& cache, const void* stream) {
  if (!context.on_device) {
    require(stream == nullptr, "stream is given, NULL was needed on the processor");
    return;
  }
#if defined(KVGAUGE_CUDA) || defined(KVGAUGE_EMULATED)
  if (cache.readable_by.load() == &context) return;
  for (int layer = 0; layer < cache.view.layers; ++layer)
    for (const bool value : {false, true})
      require(is_device_memory((value ? cache.v : cache.k)[static_cast<std::size_t>(layer)]), "the cache's ",
              value ? "v[" : "k[", layer, "] is no memory that the context's device can read");
  cache.readable_by = &context;
#else
  static_cast<void>(cache);
#endif
}

std::size_t end_of_call(const Context& context, const kvgauge_cache& cache, const kvgauge_sequence* sequences,
                        std::size_t first, std::size_t count) {
  if (!context.on_device) return count;
  constexpr std::int64_t kMostIds = 128 * 1024;  // half of what a call of the CUDA back end may send
  constexpr std::size_t kMostSequences = 1024;
  std::int64_t ids = 0;
  std::size_t last = first;
  while (last < count && last - first < kMostSequences) {
    const std::int64_t more = (sequences[last].end + cache.view.page_tokens - 1) / cache.view.page_tokens;
    require(more <= kMostIds, "sequences[", last, "] ends in block ", more, ", at most ", kMostIds,
            " blocks of a sequence were needed on a device");
    ids += more + 32;  // lists are aligned
    if (last > first && ids > kMostIds) break;
    ++last;
  }
  return last;
}

}  // namespace kvgauge::capi

using namespace kvgauge::capi;

const char* kvgauge_version(void) { return KVGAUGE_VERSION; }
const char* kvgauge_last_error(void) { return last_error.c_str(); }
const char* kvgauge_devices(void) { return kDevices; }

kvgauge_status kvgauge_context_create(const kvgauge_context_options* options, kvgauge_context** context) {
  return guarded("kvgauge_context_create", [&] {
    require(context != nullptr, "context is NULL, a place for the handle was needed");
    *context = nullptr;
    auto made = std::make_unique<kvgauge_context>();
    made->context = std::make_shared<Context>();
    open(*made->context, options == nullptr ? kvgauge_context_options{} : *options);
    made->context->pooler.emplace(*made->context->backend);
    *context = made.release();
  });
}

void kvgauge_context_destroy(kvgauge_context* context) { delete context; }
