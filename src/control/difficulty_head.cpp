#include "control/difficulty_head.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <span>
#include <utility>

#include "core/cat.h"
#include "core/check.h"
#include "core/mapped_file.h"
#include "core/output_file.h"
#include "core/printable.h"
#include "core/sha256.h"
#include "kvgauge/error.h"
#include "loader/safetensors.h"

namespace kvgauge {
namespace {

constexpr const char* kFormat = "kvgauge difficulty head";
constexpr const char* kVersion = "1";
constexpr std::int64_t kMostLayers = 4096, kMostFeatures = std::int64_t{1} << 20, kMostHidden = std::int64_t{1} << 20;
constexpr std::size_t kIdDigits = 12;

class Metadata {
 public:
  Metadata(const std::map<std::string, std::string>& values, std::string_view where) : values_(values), where_(where) {}

  const std::string* find(const char* key) const {
    const auto it = values_.find(key);
    return it == values_.end() ? nullptr : &it->second;
  }
  const std::string& text(const char* key) const {
    const std::string* const value = find(key);
    if (!value) throw FormatError(cat(where_, ": metadata '", key, "' is not there, a ", kFormat, " was needed"));
    return *value;
  }
  [[noreturn]] void refuse(const char* key, const std::string& needed) const {
    throw FormatError(cat(where_, ": metadata '", key, "' is '", printable(text(key)), "', ", needed, " was needed"));
  }
  std::int64_t count(const char* key, std::int64_t least, std::int64_t most) const {
    const auto value = parsed(text(key));
    if (!value || *value < least || *value > most) refuse(key, cat(least, " to ", most));
    return *value;
  }
  /// Whether it is the second of the two.
  bool second(const char* key, const char* first, const char* second) const {
    const std::string& value = text(key);
    if (value != first && value != second) refuse(key, cat(first, " or ", second));
    return value == second;
  }
  std::vector<std::int32_t> ascending(const char* key, std::int64_t below) const {
    std::vector<std::int32_t> numbers;
    const std::string& list = text(key);
    for (std::size_t begin = 0; begin <= list.size();) {
      const std::size_t end = std::min(list.find(',', begin), list.size());
      const auto number = parsed(std::string_view(list).substr(begin, end - begin));
      if (!number || *number >= below || (!numbers.empty() && *number <= numbers.back()))
        refuse(key, cat("ascending layers below ", below, " with commas between them"));
      numbers.push_back(static_cast<std::int32_t>(*number));
      begin = end + 1;
    }
    return numbers;
  }

 private:
  static std::optional<std::int64_t> parsed(std::string_view text) {
    std::int32_t value = 0;
    const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || rest != text.data() + text.size() || value < 0) return std::nullopt;
    return value;
  }

  const std::map<std::string, std::string>& values_;
  std::string_view where_;
};

WindowSpec read_window(const Metadata& metadata, std::int64_t model_layers) {
  WindowSpec window;
  const std::string& part = metadata.text("part");
  if (part != "kv" && part != "k" && part != "v") metadata.refuse("part", "kv, k or v");
  window.part = part == "kv" ? GaugePart::kKV : part == "k" ? GaugePart::kK : GaugePart::kV;
  window.layers = metadata.ascending("layers", model_layers);
  window.positions = metadata.count("window", 0, INT32_MAX);
  window.mean_over_positions = metadata.second("positions", "sum", "mean");
  window.mean_over_heads = metadata.second("heads", "flatten", "mean");
  window.mean_over_layers = metadata.second("over_layers", "sum", "mean");
  return window;
}

/// The tensors of a head by name, each read once.
class Tensors {
 public:
  Tensors(const std::vector<ShapedTensor>& tensors, std::string_view where) : where_(where) {
    static constexpr const char* kKnown[] = {"hidden.weight", "hidden.bias",  "output.weight",
                                             "output.bias",   "feature.mean", "feature.deviation"};
    for (const ShapedTensor& tensor : tensors) {
      if (std::find(std::begin(kKnown), std::end(kKnown), tensor.tensor.name) == std::end(kKnown))
        throw FormatError(cat(where, ": tensor '", printable(tensor.tensor.name), "' is not known, ",
                              join(kKnown, ", "), " were needed"));
      by_name_[tensor.tensor.name] = &tensor;
    }
  }

  bool has(const std::string& name) const { return by_name_.contains(name); }
  const std::vector<std::uint64_t>& shape(const std::string& name) const { return get(name).shape; }
  std::vector<float> read(const std::string& name, const std::vector<std::uint64_t>& shape) const {
    const ShapedTensor& tensor = get(name);
    if (tensor.tensor.type != StoredType::kF32 || tensor.shape != shape)
      throw FormatError(cat(where_, ": tensor '", name, "': found ", kvgauge::name(tensor.tensor.type), "[",
                            join(tensor.shape), "], F32[", join(shape), "] was needed"));
    std::vector<float> values(tensor.tensor.data.size() / sizeof(float));
    if (!values.empty()) std::memcpy(values.data(), tensor.tensor.data.data(), tensor.tensor.data.size());
    for (std::size_t i = 0; i < values.size(); ++i)
      if (!std::isfinite(values[i]))
        throw FormatError(
            cat(where_, ": tensor '", name, "': found ", values[i], " at ", i, ", finite numbers were needed"));
    return values;
  }

 private:
  const ShapedTensor& get(const std::string& name) const {
    const auto it = by_name_.find(name);
    if (it == by_name_.end())
      throw FormatError(cat(where_, ": tensor '", name, "' is not there, a ", kFormat, " was needed"));
    return *it->second;
  }

  std::string_view where_;
  std::map<std::string, const ShapedTensor*> by_name_;
};

void read_weights(const Tensors& tensors, DifficultyHead& head, std::string_view where) {
  const std::int64_t features = head.features();
  const auto& shape = tensors.shape("hidden.weight");
  if (shape.size() != 2 || shape[0] == 0 || shape[0] > static_cast<std::uint64_t>(kMostHidden))
    throw FormatError(cat(where, ": tensor 'hidden.weight': found the shape [", join(shape), "], [hidden, ", features,
                          "] with hidden of 1 to ", kMostHidden, " was needed"));
  const auto rows = shape[0], columns = static_cast<std::uint64_t>(features);
  head.hidden = static_cast<std::int64_t>(rows);
  head.w1 = tensors.read("hidden.weight", {rows, columns});
  head.b1 = tensors.read("hidden.bias", {rows});
  head.w2 = tensors.read("output.weight", {1, rows});
  head.b2 = tensors.read("output.bias", {1});
  if (!tensors.has("feature.mean") && !tensors.has("feature.deviation")) return;
  head.mean = tensors.read("feature.mean", {columns});
  head.deviation = tensors.read("feature.deviation", {columns});
  for (std::size_t i = 0; i < head.deviation.size(); ++i)
    if (!(head.deviation[i] > 0))
      throw FormatError(cat(where, ": tensor 'feature.deviation': found ", head.deviation[i], " at ", i,
                            ", numbers above 0 were needed"));
}

void check(const DifficultyHead& head) {
  const auto features = static_cast<std::size_t>(head.features()), hidden = static_cast<std::size_t>(head.hidden);
  KVGAUGE_CHECK(!head.window.layers.empty());
  KVGAUGE_CHECK(head.w1.size() == hidden * features && head.b1.size() == hidden && head.w2.size() == hidden &&
                head.b2.size() == 1);
  KVGAUGE_CHECK(head.mean.size() == head.deviation.size() && (head.mean.empty() || head.mean.size() == features));
}

}  // namespace

DifficultyHead parse_difficulty_head(std::span<const std::byte> file, std::string_view where) {
  const SafetensorsContents contents = read_safetensors(file, where);
  const Metadata metadata(contents.metadata, where);
  if (metadata.text("format") != kFormat) metadata.refuse("format", kFormat);
  if (metadata.text("version") != kVersion) metadata.refuse("version", kVersion);
  DifficultyHead head;
  head.model_layers = metadata.count("model_layers", 1, kMostLayers);
  head.kv_heads = metadata.count("kv_heads", 1, kMostFeatures);
  head.head_dim = metadata.count("head_dim", 1, kMostFeatures);
  if (2 * head.kv_heads * head.head_dim > kMostFeatures)
    metadata.refuse("head_dim", cat("2 * kv_heads * head_dim of at most ", kMostFeatures));
  head.window = read_window(metadata, head.model_layers);
  head.model_hash = metadata.text("model_hash");
  head.template_set = metadata.text("template_set");
  head.training_data = metadata.text("training_data");
  if (const std::string* const recipe = metadata.find("recipe")) head.recipe = *recipe;
  read_weights(Tensors(contents.tensors, where), head, where);
  head.id = sha256_hex({reinterpret_cast<const char*>(file.data()), file.size()}).substr(0, kIdDigits);
  return head;
}

DifficultyHead read_difficulty_head(const std::filesystem::path& path) {
  const MappedFile file(path);
  return parse_difficulty_head(file.bytes(), path.string());
}

void write_difficulty_head(const std::filesystem::path& path, const DifficultyHead& head) {
  check(head);
  const WindowSpec& window = head.window;
  std::vector<WrittenTensor> tensors = {{"hidden.weight", {head.hidden, head.features()}},
                                        {"hidden.bias", {head.hidden}},
                                        {"output.weight", {1, head.hidden}},
                                        {"output.bias", {1}}};
  if (!head.mean.empty()) {
    tensors.push_back({"feature.mean", {head.features()}});
    tensors.push_back({"feature.deviation", {head.features()}});
  }
  std::string bytes = safetensors_header(tensors, {{"format", kFormat},
                                                   {"version", kVersion},
                                                   {"part", window.part == GaugePart::kKV  ? "kv"
                                                            : window.part == GaugePart::kK ? "k"
                                                                                           : "v"},
                                                   {"layers", join(window.layers)},
                                                   {"window", cat(window.positions)},
                                                   {"positions", window.mean_over_positions ? "mean" : "sum"},
                                                   {"heads", window.mean_over_heads ? "mean" : "flatten"},
                                                   {"over_layers", window.mean_over_layers ? "mean" : "sum"},
                                                   {"model_layers", cat(head.model_layers)},
                                                   {"kv_heads", cat(head.kv_heads)},
                                                   {"head_dim", cat(head.head_dim)},
                                                   {"model_hash", head.model_hash},
                                                   {"template_set", head.template_set},
                                                   {"training_data", head.training_data},
                                                   {"recipe", head.recipe}});
  for (const auto* const values : {&head.w1, &head.b1, &head.w2, &head.b2, &head.mean, &head.deviation})
    bytes.append(reinterpret_cast<const char*>(values->data()), values->size() * sizeof(float));
  write_file_atomically(path.string(), bytes);
}

void pin_to_model(DifficultyHead& head, const ModelConfig& config, std::string model_hash) {
  head.model_layers = config.layers;
  head.kv_heads = config.kv_heads;
  head.head_dim = config.head_dim;
  head.model_hash = std::move(model_hash);
}

std::string reason_to_refuse(const DifficultyHead& head, const ModelConfig& config, const std::string& model_hash) {
  const auto differs = [](const char* what, const auto& then, const auto& now) {
    return cat(what, ": the head was made for ", then, ", this model has ", now);
  };
  if (head.model_layers != config.layers) return differs("layers", head.model_layers, config.layers);
  if (head.kv_heads != config.kv_heads) return differs("KV heads", head.kv_heads, config.kv_heads);
  if (head.head_dim != config.head_dim) return differs("head dim", head.head_dim, config.head_dim);
  if (head.model_hash != model_hash)
    return differs("model hash", printable(head.model_hash).substr(0, kIdDigits), model_hash.substr(0, kIdDigits));
  return {};
}

}  // namespace kvgauge
