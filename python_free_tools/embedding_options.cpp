#include "embedding_options.h"

#include <algorithm>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "option_values.h"

namespace kvgauge::cli {
namespace {

constexpr std::int64_t kMostLayers = 1 << 20;

// "0,3,8-11" as ascending numbers.
std::vector<std::int32_t> layer_list(const std::string& flag, const std::string& text) {
  std::vector<std::int32_t> layers;
  for (const std::string& part : split_list(text)) {
    const std::size_t dash = part.find('-');
    const auto number = [&](const std::string& digits) {
      return static_cast<std::int32_t>(parse_count(flag, digits, 0, kMostLayers));
    };
    const std::int32_t first = number(part.substr(0, dash)),
                       last = dash == std::string::npos ? first : number(part.substr(dash + 1));
    if (last < first || (!layers.empty() && first <= layers.back()))
      throw UsageError(cat(flag, ": found '", printable(text), "', ascending layers such as 0,3,8-11 were needed"));
    for (std::int32_t layer = first; layer <= last; ++layer) layers.push_back(layer);
  }
  return layers;
}

bool is_named(const std::string& layers) { return layers == "all" || layers == "last4"; }

}  // namespace

void add_embedding_options(CLI::App& app, EmbeddingOptions& o, const std::string& prefix) {
  add_choice(app, prefix + "part", o.part, {"v", "k", "kv"}, "what of the cache is pooled; kv: K, then V (kv)");
  add_text(app, prefix + "layers", o.layers, "last4|all|LIST", "which layers, e.g. 0,3,8-11 (last4)");
  add_choice(app, prefix + "across-layers", o.across_layers, {"mean", "sum", "last", "flatten"},
             "how layers become one vector; flatten: one after another (mean)");
  add_choice(app, prefix + "pos", o.positions, {"mean", "last", "first", "sum"}, "how positions become one (mean)");
  add_choice(app, prefix + "heads", o.heads, {"mean", "flatten"}, "how the heads of a layer become one vector (mean)");
  app.add_flag(prefix + "normalize", o.normalize, "divide the vector by its Euclidean length");
}

std::string first_given(const EmbeddingOptions& o) {
  const EmbeddingOptions defaults;
  if (o.part != defaults.part) return "part";
  if (o.layers != defaults.layers) return "layers";
  if (o.across_layers != defaults.across_layers) return "across-layers";
  if (o.positions != defaults.positions) return "pos";
  if (o.heads != defaults.heads) return "heads";
  return o.normalize ? "normalize" : "";
}

void check_embedding(const EmbeddingOptions& o, const std::string& prefix) {
  if (!is_named(o.layers)) layer_list(prefix + "layers", o.layers);
}

EmbeddingSpec embedding_spec(const EmbeddingOptions& o, const std::string& prefix, std::int64_t model_layers) {
  EmbeddingSpec spec;
  spec.part = o.part == "v" ? GaugePart::kV : o.part == "k" ? GaugePart::kK : GaugePart::kKV;
  if (o.layers == "last4") spec.layers = last_layers(4, model_layers);
  if (!is_named(o.layers)) spec.layers = layer_list(prefix + "layers", o.layers);
  if (!spec.layers.empty() && spec.layers.back() >= model_layers)
    throw UsageError(
        cat(prefix, "layers: layer ", spec.layers.back(), " was asked for, the model has 0 to ", model_layers - 1));
  for (const auto mode :
       {EmbeddingLayers::kMean, EmbeddingLayers::kSum, EmbeddingLayers::kLast, EmbeddingLayers::kFlatten})
    if (o.across_layers == name(mode)) spec.aggregate = mode;
  for (const auto mode :
       {EmbeddingPositions::kMean, EmbeddingPositions::kLast, EmbeddingPositions::kFirst, EmbeddingPositions::kSum})
    if (o.positions == name(mode)) spec.positions = mode;
  spec.heads = o.heads == "mean" ? EmbeddingHeads::kMean : EmbeddingHeads::kFlatten;
  spec.normalize = o.normalize;
  return spec;
}

void put_settings(OrderedJson& to, const EmbeddingOptions& o, const std::string& prefix) {
  const std::string names = prefix.substr(2);  // without the dashes
  to[names + "part"] = o.part;
  to[names + "layers"] = o.layers;
  to[names + "across-layers"] = o.across_layers;
  to[names + "pos"] = o.positions;
  to[names + "heads"] = o.heads;
  to[names + "normalize"] = o.normalize;
}

}  // namespace kvgauge::cli
