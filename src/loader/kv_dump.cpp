#include "loader/kv_dump.h"

#include <charconv>
#include <cstring>
#include <limits>

#include "core/cat.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "loader/safetensors.h"

namespace kvgauge {
namespace {

constexpr std::string_view kPrefix = "layers.";
constexpr const char* kFrequencies = "inverse_frequencies";
constexpr std::size_t kMostLayers = 4096;
constexpr std::uint64_t kMostValues = std::uint64_t{1} << 20;  ///< of one position: 2 * kv heads * head dim

std::string tensor_name(std::size_t layer, bool value) { return cat(kPrefix, layer, value ? ".v" : ".k"); }

/// The whole text as a count below 2^31.
std::optional<std::int64_t> count_of(std::string_view text) {
  std::int32_t count = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || rest != text.data() + text.size() || count < 0 || text.empty()) return std::nullopt;
  return count;
}

DType dtype_of(StoredType type) {
  return type == StoredType::kF32 ? DType::kF32 : type == StoredType::kF16 ? DType::kF16 : DType::kBF16;
}

/// layer and whether it is V, of a name that is "layers.N.k" or "layers.N.v".
std::optional<std::pair<std::size_t, bool>> place_of(std::string_view name) {
  if (!name.starts_with(kPrefix) || name.size() < kPrefix.size() + 3) return std::nullopt;
  const std::string_view end = name.substr(name.size() - 2);
  const std::string_view digits = name.substr(kPrefix.size(), name.size() - kPrefix.size() - 2);
  const auto layer = count_of(digits);
  if ((end != ".k" && end != ".v") || !layer || *layer >= static_cast<std::int64_t>(kMostLayers) ||
      cat(*layer) != digits)  // one spelling of each number
    return std::nullopt;
  return std::pair(static_cast<std::size_t>(*layer), end == ".v");
}

struct Shape {
  std::uint64_t kv_heads = 0, positions = 0, head_dim = 0;
  friend bool operator==(const Shape&, const Shape&) = default;
};
std::string text(const Shape& shape) {
  return cat("[", shape.kv_heads, ", ", shape.positions, ", ", shape.head_dim, "]");
}

Shape shape_of(const ShapedTensor& tensor, std::string_view where) {
  std::span<const std::uint64_t> dims = tensor.shape;
  if (dims.size() == 4 && dims[0] == 1) dims = dims.subspan(1);
  constexpr std::uint64_t kMost = std::numeric_limits<std::int32_t>::max();
  const auto fits = [](std::uint64_t count) { return count > 0 && count <= kMost; };
  if (dims.size() != 3 || !fits(dims[0]) || !fits(dims[1]) || !fits(dims[2]) || 2 * dims[0] * dims[2] > kMostValues)
    throw FormatError(cat(where, ": tensor '", tensor.tensor.name, "': found [", join(tensor.shape, ", "),
                          "], [kv heads, positions, head dim] with 2 * kv heads * head dim of at most ", kMostValues,
                          " was needed"));
  return {dims[0], dims[1], dims[2]};
}

/// The tensors of all layers, K and V, by 2 * layer + value. Every layer is there and they are alike.
std::vector<const ShapedTensor*> tensors_in_order(const std::vector<ShapedTensor>& tensors, std::string_view where) {
  std::vector<const ShapedTensor*> found;
  for (const ShapedTensor& tensor : tensors) {
    if (tensor.tensor.name == kFrequencies) continue;
    const auto place = place_of(tensor.tensor.name);
    if (!place)
      throw FormatError(cat(where, ": tensor '", printable(tensor.tensor.name), "' with shape [",
                            join(tensor.shape, ", "), "] is not known, layers.N.k, layers.N.v and ", kFrequencies,
                            " were needed"));
    const std::size_t at = 2 * place->first + (place->second ? 1 : 0);
    if (found.size() <= at) found.resize(at + 1, nullptr);
    found[at] = &tensor;
  }
  if (found.empty())
    throw FormatError(cat(where, ": found no tensors layers.N.k and layers.N.v, a dump of a KV cache was needed"));
  if (found.size() % 2 == 1) found.push_back(nullptr);
  for (std::size_t at = 0; at < found.size(); ++at)
    if (found[at] == nullptr)
      throw FormatError(cat(where, ": tensor '", tensor_name(at / 2, at % 2 == 1),
                            "' is not there, K and V of layers 0 to ", found.size() / 2 - 1, " were needed"));
  const ShapedTensor& first = *found.front();
  const Shape want = shape_of(first, where);
  for (const ShapedTensor* tensor : found) {
    const Shape shape = shape_of(*tensor, where);
    if (shape != want || tensor->tensor.type != first.tensor.type)
      throw FormatError(cat(where, ": tensor '", tensor->tensor.name, "': found ", name(tensor->tensor.type), " ",
                            text(shape), ", ", name(first.tensor.type), " ", text(want), " was needed, as of '",
                            first.tensor.name, "'"));
  }
  return found;
}

std::vector<double> frequencies_of(const std::vector<ShapedTensor>& tensors, int head_dim, std::string_view where) {
  std::vector<double> frequencies;
  for (const ShapedTensor& tensor : tensors) {
    if (tensor.tensor.name != kFrequencies) continue;
    if (tensor.tensor.type != StoredType::kF32 || tensor.shape.size() != 1 || head_dim % 2 != 0 ||
        tensor.shape[0] != static_cast<std::uint64_t>(head_dim) / 2)
      throw FormatError(cat(where, ": tensor '", kFrequencies, "': found ", name(tensor.tensor.type), " [",
                            join(tensor.shape, ", "), "], F32 [head dim / 2] for a head dim of ", head_dim,
                            " was needed"));
    for (std::size_t i = 0; i < tensor.shape[0]; ++i) {
      float x;
      std::memcpy(&x, tensor.tensor.data.data() + 4 * i, sizeof x);
      if (!(x >= 0 && x <= 1e3f))
        throw FormatError(cat(where, ": tensor '", kFrequencies, "' holds ", x, ", 0 to 1000 was needed"));
      frequencies.push_back(x);
    }
  }
  return frequencies;
}

void read_metadata(const std::map<std::string, std::string>& metadata, KvDump& dump, std::string_view where) {
  if (const auto it = metadata.find("prompt_tokens"); it != metadata.end()) {
    dump.prompt_tokens = count_of(it->second);
    if (!dump.prompt_tokens || *dump.prompt_tokens < 1 || *dump.prompt_tokens > dump.positions)
      throw FormatError(cat(where, ": metadata 'prompt_tokens' is '", printable(it->second), "', 1 to ", dump.positions,
                            " positions was needed"));
  }
  const auto it = metadata.find("span");
  if (it == metadata.end()) return;
  const std::string& span = it->second;
  for (const char* const known : {"response", "boundary", "all", "prompt"})
    if (span == known) dump.span = span;
  if (!dump.span.empty()) return;
  const std::size_t colon = span.find(':');
  const auto begin = count_of(std::string_view(span).substr(0, colon));
  const auto end = colon == std::string::npos ? std::nullopt : count_of(std::string_view(span).substr(colon + 1));
  if (!begin || !end || *begin >= *end || *end > dump.positions)
    throw FormatError(cat(where, ": metadata 'span' is '", printable(span),
                          "', response, boundary, all, prompt or begin:end with begin < end <= ", dump.positions,
                          " was needed"));
  dump.range = std::pair(*begin, *end);
}

}  // namespace

KvDump read_kv_dump(std::span<const std::byte> file, std::string_view where) {
  const SafetensorsContents contents = read_safetensors(file, where);
  const auto tensors = tensors_in_order(contents.tensors, where);
  const Shape shape = shape_of(*tensors.front(), where);
  KvDump dump;
  dump.dtype = dtype_of(tensors.front()->tensor.type);
  dump.layers = static_cast<int>(tensors.size() / 2);
  dump.kv_heads = static_cast<int>(shape.kv_heads);
  dump.head_dim = static_cast<int>(shape.head_dim);
  dump.positions = static_cast<std::int64_t>(shape.positions);
  dump.inverse_frequencies = frequencies_of(contents.tensors, dump.head_dim, where);
  read_metadata(contents.metadata, dump, where);

  bool aligned = true;
  for (const ShapedTensor* tensor : tensors)
    aligned = aligned && reinterpret_cast<std::uintptr_t>(tensor->tensor.data.data()) % size_of(dump.dtype) == 0;
  const std::size_t bytes = tensors.front()->tensor.data.size();
  if (!aligned) dump.copy = Buffer(tensors.size() * bytes);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::byte* data = tensors[i]->tensor.data.data();
    if (!aligned) {
      std::memcpy(dump.copy.data() + i * bytes, data, bytes);
      data = dump.copy.data() + i * bytes;
    }
    (i % 2 == 0 ? dump.k : dump.v).push_back(data);
  }
  return dump;
}

}  // namespace kvgauge
