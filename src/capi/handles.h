#pragma once
// What the handles of the C API are.
#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "capi/boundary.h"
#include "gauge/embedding.h"
#include "ops/backend.h"

namespace kvgauge::capi {

inline constexpr std::int64_t kMostValues = std::int64_t{1} << 20;  ///< of one position: 2 * kv_heads * head_dim
inline constexpr std::int64_t kMostPositions = std::int64_t{1} << 40;

/// A back end that calls on its handles share, one at a time.
struct Context {
  std::unique_ptr<Backend> backend;
  std::optional<EmbeddingPooler> pooler;
  std::optional<int> device;  ///< a CUDA device's index
  bool on_device = false;     ///< pointers are the device's
  std::mutex turn;
  std::unique_ptr<DeviceMemory> features;  ///< of windows, grows
};

/// A call's turn on a context: its lock, its device being the thread's current one, and, where there is a stream, the
/// order of the work against that stream.
class Turn {
 public:
  explicit Turn(Context& context);
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  Backend& backend() const { return *context_.backend; }

 private:
  Context& context_;
  std::lock_guard<std::mutex> lock_;
  int device_before_ = 0;
};

/// What a spec says, with memory of its own.
struct TrajectorySettings {
  GaugePart part = GaugePart::kV;
  std::vector<std::int32_t> layers;
  std::vector<double> inverse_frequencies;
  bool operator==(const TrajectorySettings&) const = default;
};

}  // namespace kvgauge::capi

struct kvgauge_context {
  std::shared_ptr<kvgauge::capi::Context> context;
};

struct kvgauge_cache {
  std::vector<std::byte*> k, v;
  kvgauge::PagedKvView view;  ///< its bases are k and v
  std::int64_t blocks = 0;
  mutable std::atomic<const void*> readable_by = nullptr;  ///< the latest context that was seen to read the bases
};

struct kvgauge_trajectory {
  std::shared_ptr<kvgauge::capi::Context> context;
  kvgauge::capi::TrajectorySettings settings;
  int kv_heads = 0, head_dim = 0;
  std::int64_t capacity = 0, next = 0;              ///< position behind the last one seen
  std::unique_ptr<kvgauge::TrajectoryState> state;  ///< ends before its context
};

struct kvgauge_head {
  std::shared_ptr<kvgauge::capi::Context> context;
  std::int64_t features = 0;
  std::unique_ptr<kvgauge::DeviceMemory> memory;
  kvgauge::PoolHead view;
};

namespace kvgauge::capi {

/// Checks that are the same for several functions. All throw ArgumentError.
GaugePart part_of(kvgauge_part part);
std::vector<std::int32_t> layers_of(const std::int32_t* layers, std::size_t count);
void check_layers(const std::vector<std::int32_t>& layers, const kvgauge_cache& cache);
void check_shape(std::int64_t kv_heads, std::int64_t head_dim);
/// @param least positions that a sequence must have
void check_sequences(const kvgauge_cache& cache, const kvgauge_sequence* sequences, std::size_t count,
                     std::int64_t least);
/// The stream belongs to a device, and the cache's memory is where the context computes.
void check_place(const Context& context, const kvgauge_cache& cache, const void* stream);

/// Sequences [first, last) of `count` whose block tables the back end takes in one call.
std::size_t end_of_call(const Context& context, const kvgauge_cache& cache, const kvgauge_sequence* sequences,
                        std::size_t first, std::size_t count);

}  // namespace kvgauge::capi
