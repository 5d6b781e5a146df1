#pragma once
#include <compare>
#include <cstdint>
#include <functional>
#include <map>

#include "cuda/stream.h"

struct CUgraphExec_st;

namespace kvgauge::cuda {

/// What a captured decode step depends on besides the contents of device memory.
struct GraphKey {
  std::int64_t rows = 0;        ///< padded batch
  std::int64_t context = 0;     ///< upper bound of every sequence's positions
  const void* pages = nullptr;  ///< the page view's base array: another cache is another graph
  auto operator<=>(const GraphKey&) const = default;
};

/// Captured steps. A replay costs one launch instead of some ten for every layer.
class GraphCache {
 public:
  explicit GraphCache(const Stream& stream) : stream_(stream) {}
  ~GraphCache();
  GraphCache(const GraphCache&) = delete;
  GraphCache& operator=(const GraphCache&) = delete;

  /// Launches the graph of `key`, capturing it from what `operations` puts on the stream if there is none yet.
  /// @throws DeviceError; a capture that failed leaves the stream usable
  void run(const GraphKey& key, const std::function<void()>& operations);

  /// Forgets all graphs: what they name has moved. None may be running.
  void clear();

 private:
  CUgraphExec_st* capture(const std::function<void()>& operations);

  const Stream& stream_;
  std::map<GraphKey, CUgraphExec_st*> graphs_;
};

}  // namespace kvgauge::cuda
