#pragma once
#include <cstdint>
#include <vector>

#include "kvgauge/scores.h"

namespace kvgauge {

/// How the positions of a span become one.
enum class EmbeddingPositions : std::uint8_t { kMean, kLast, kFirst, kSum };
/// How the heads of a layer become one vector: their mean, or one head after another.
enum class EmbeddingHeads : std::uint8_t { kMean, kFlatten };
/// How the chosen layers become one vector: their mean or sum, the last of them alone, or one layer after another.
enum class EmbeddingLayers : std::uint8_t { kMean, kSum, kLast, kFlatten };
const char* name(EmbeddingPositions positions);
const char* name(EmbeddingHeads heads);
const char* name(EmbeddingLayers layers);

/// What of the KV cache becomes the embedding of a text; METHOD.md E. Values run from the outermost to the innermost:
/// layer (kFlatten), head (kFlatten), K before V (part kv), element of the head. Keys are taken as they are cached,
/// after RoPE.
struct EmbeddingSpec {
  GaugePart part = GaugePart::kKV;
  std::vector<std::int32_t> layers = {};  ///< ascending; empty: all of the model
  EmbeddingPositions positions = EmbeddingPositions::kMean;
  EmbeddingHeads heads = EmbeddingHeads::kMean;
  EmbeddingLayers aggregate = EmbeddingLayers::kMean;
  bool normalize = false;            ///< divided by its Euclidean length; zero stays zero
  GaugeSpan span = GaugeSpan::kAll;  ///< which positions

  bool operator==(const EmbeddingSpec&) const = default;
};

/// Length of the vector for a model of `model_layers` layers with `kv_heads` KV heads of `head_dim`.
std::int64_t embedding_values(const EmbeddingSpec& spec, std::int64_t model_layers, std::int64_t kv_heads,
                              std::int64_t head_dim);

/// The last `count` of `model_layers` layers (all if there are fewer): the released code's choice is 4 (METHOD.md D18).
std::vector<std::int32_t> last_layers(std::int64_t count, std::int64_t model_layers);

}  // namespace kvgauge
