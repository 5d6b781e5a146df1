#include "loader/model_files.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "core/cat.h"
#include "core/check.h"
#include "core/printable.h"
#include "kvgauge/error.h"
#include "loader/content_hash.h"
#include "loader/opened_files.h"

namespace kvgauge {
namespace {

namespace fs = std::filesystem;

OpenedFiles open_files(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return open_hugging_face_folder(path);
  if (!fs::exists(path, ignored))
    throw InputError(cat(path.string(), ": is not there, a Hugging Face model folder or a .gguf file was needed"));
  return open_gguf_file(path);
}

std::size_t slot(TensorRole role, std::int64_t layer) {
  return static_cast<std::size_t>((layer + 1) * kTensorRoles + static_cast<std::int64_t>(role));
}

std::string shape_text(const StoredTensor& t) {
  return t.rows == 1 ? cat("[", t.columns, "]") : cat("[", t.rows, ", ", t.columns, "]");
}

/// Index of every tensor that the config implies, by slot; all others must be of the kinds that no computation needs.
class TensorIndex {
 public:
  explicit TensorIndex(const OpenedFiles& opened) : opened_(opened), used_(opened.tensors.size(), false) {
    for (std::size_t i = 0; i < opened.tensors.size(); ++i) by_name_.emplace(opened.tensors[i].name, i);
  }

  std::vector<std::size_t> build() {
    const ModelConfig& config = opened_.config;
    std::vector<std::size_t> index(slot(TensorRole{}, config.layers), kNone);
    for (const TensorRole role : tensor_roles(config))
      for (std::int64_t layer = is_per_layer(role) ? 0 : -1; layer < (is_per_layer(role) ? config.layers : 0); ++layer)
        index[slot(role, layer)] = find(role, layer);
    if (config.tied_head) index[slot(TensorRole::kOutputHead, -1)] = index[slot(TensorRole::kEmbedding, -1)];
    for (std::size_t i = 0; i < used_.size(); ++i)
      if (!used_[i] && !is_ignorable(opened_.naming, config, opened_.tensors[i].name))
        throw ConfigError(cat(where(opened_.tensors[i].name), ": is no part of a ", name(config.architecture),
                              " model with ", config.layers,
                              " layers as supported here, only known tensors were needed"));
    return index;
  }

  static constexpr std::size_t kNone = static_cast<std::size_t>(-1);

 private:
  std::string where(std::string_view tensor) const { return cat(opened_.where, ": tensor '", printable(tensor), "'"); }

  std::size_t find(TensorRole role, std::int64_t layer) {
    const ModelConfig& config = opened_.config;
    const std::string tensor = tensor_name(opened_.naming, role, layer);
    const auto found = by_name_.find(tensor);
    if (found == by_name_.end())
      throw FormatError(cat(where(tensor), ": is missing, a ", name(config.architecture), " model with ", config.layers,
                            " layers needs it"));
    const StoredTensor& stored = opened_.tensors[found->second];
    const TensorShape shape = tensor_shape(config, role);
    if (stored.rows != shape.rows || stored.columns != shape.columns)
      throw FormatError(cat(where(tensor), ": its shape is ", shape_text(stored), ", the config needs ",
                            shape_text({{}, {}, shape.rows, shape.columns, {}})));
    used_[found->second] = true;
    return found->second;
  }

  const OpenedFiles& opened_;
  std::unordered_map<std::string_view, std::size_t> by_name_;
  std::vector<bool> used_;
};

/// Row of the file that holds row `row` of Hugging Face's order. A head of d rows stands in the file as 0, d/2, 1, d/2
/// + 1, ...
std::int64_t interleaved_row(std::int64_t row, std::int64_t head_dim) {
  const std::int64_t head = row / head_dim, within = row % head_dim, half = head_dim / 2;
  return head * head_dim + 2 * (within % half) + within / half;
}

void narrow(const float* from, std::int64_t count, bf16_t* to) { std::transform(from, from + count, to, to_bf16); }

}  // namespace

struct ModelFiles::Impl {
  OpenedFiles opened;
  std::vector<std::size_t> index;
  mutable std::mutex hash_mutex;
  mutable std::string hash;

  std::size_t find(TensorRole role, std::int64_t layer) const {
    KVGAUGE_CHECK(is_per_layer(role) ? layer >= 0 && layer < opened.config.layers : layer == -1, "layer ", layer);
    const std::size_t found = index[slot(role, layer)];
    KVGAUGE_CHECK(found != TensorIndex::kNone, "the model has no tensor of role ", static_cast<int>(role));
    return found;
  }

  /// Calls copy(bytes of one row, row of `out`) for each row asked for.
  template <class Copy>
  void for_rows(TensorRole role, std::int64_t layer, std::int64_t first, std::int64_t count, Copy copy) const {
    const StoredTensor& t = opened.tensors[find(role, layer)];
    KVGAUGE_CHECK(first >= 0 && count >= 0 && count <= t.rows && first <= t.rows - count, "rows ", first, " + ", count,
                  " of ", t.name);
    const std::uint64_t row_bytes = stored_bytes(t.type, static_cast<std::uint64_t>(t.columns));
    const bool permuted = opened.interleaved_heads && (role == TensorRole::kQ || role == TensorRole::kK);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t row = permuted ? interleaved_row(first + i, opened.config.head_dim) : first + i;
      copy(t, t.data.data() + static_cast<std::uint64_t>(row) * row_bytes, i);
    }
  }

  bool is_permuted_bias(TensorRole role) const {
    return opened.interleaved_heads && (role == TensorRole::kQBias || role == TensorRole::kKBias);
  }
};

ModelFiles ModelFiles::open(const fs::path& path) {
  ModelFiles model;
  model.impl_ = std::make_unique<Impl>();
  Impl& impl = *model.impl_;
  impl.opened = open_files(path);
  impl.index = TensorIndex(impl.opened).build();
  const StoredType type = model.tensor(TensorRole::kQ, 0).type;
  impl.opened.config.stored_dtype = type == StoredType::kF32   ? DType::kF32
                                    : type == StoredType::kF16 ? DType::kF16
                                                               : DType::kBF16;
  return model;
}

ModelFiles::ModelFiles() = default;
ModelFiles::ModelFiles(ModelFiles&&) noexcept = default;
ModelFiles& ModelFiles::operator=(ModelFiles&&) noexcept = default;
ModelFiles::~ModelFiles() = default;

const ModelConfig& ModelFiles::config() const { return impl_->opened.config; }
const GenerationDefaults& ModelFiles::generation() const { return impl_->opened.generation; }
const TokenizerSpec& ModelFiles::tokenizer() const { return impl_->opened.tokenizer; }
const std::optional<std::string>& ModelFiles::chat_template() const { return impl_->opened.chat_template; }
const std::string& ModelFiles::chat_template_where() const { return impl_->opened.chat_template_where; }
const std::string& ModelFiles::bos_token() const { return impl_->opened.bos_token; }
const std::string& ModelFiles::eos_token() const { return impl_->opened.eos_token; }

const StoredTensor& ModelFiles::tensor(TensorRole role, std::int64_t layer) const {
  return impl_->opened.tensors[impl_->find(role, layer)];
}
std::span<const StoredTensor> ModelFiles::tensors() const { return impl_->opened.tensors; }

void ModelFiles::read_rows(TensorRole role, std::int64_t layer, std::int64_t first, std::int64_t count,
                           float* out) const {
  impl_->for_rows(role, layer, first, count, [&](const StoredTensor& t, const std::byte* row, std::int64_t i) {
    widen(t.type, row, t.columns, out + i * t.columns);
  });
  if (!impl_->is_permuted_bias(role) || count == 0) return;
  const std::int64_t values = tensor(role, layer).columns;
  const std::vector<float> stored(out, out + values);
  for (std::int64_t i = 0; i < values; ++i)
    out[i] = stored[static_cast<std::size_t>(interleaved_row(i, config().head_dim))];
}

void ModelFiles::read_rows(TensorRole role, std::int64_t layer, std::int64_t first, std::int64_t count,
                           bf16_t* out) const {
  const StoredTensor& tensor = this->tensor(role, layer);
  std::vector<float> wide(static_cast<std::size_t>(tensor.columns));
  if (impl_->is_permuted_bias(role)) {
    read_rows(role, layer, first, count, wide.data());
    return narrow(wide.data(), count * tensor.columns, out);
  }
  impl_->for_rows(role, layer, first, count, [&](const StoredTensor& t, const std::byte* row, std::int64_t i) {
    bf16_t* const to = out + i * t.columns;
    if (t.type == StoredType::kBF16) {
      std::memcpy(to, row, static_cast<std::size_t>(t.columns) * sizeof(bf16_t));
    } else {
      widen(t.type, row, t.columns, wide.data());
      narrow(wide.data(), t.columns, to);
    }
  });
}

void ModelFiles::read_stored_rows(TensorRole role, std::int64_t layer, std::int64_t first, std::int64_t count,
                                  std::byte* out) const {
  KVGAUGE_CHECK(!impl_->is_permuted_bias(role), "the values of a vector are not rows");
  impl_->for_rows(role, layer, first, count, [&](const StoredTensor& t, const std::byte* row, std::int64_t i) {
    const std::uint64_t row_bytes = stored_bytes(t.type, static_cast<std::uint64_t>(t.columns));
    std::memcpy(out + static_cast<std::uint64_t>(i) * row_bytes, row, row_bytes);
  });
}

void ModelFiles::drop(TensorRole role, std::int64_t layer) const {
  const std::size_t found = impl_->find(role, layer);
  impl_->opened.files[impl_->opened.file_of[found]].drop(impl_->opened.tensors[found].data);
}

std::string ModelFiles::content_hash() const {
  const std::scoped_lock lock(impl_->hash_mutex);
  if (impl_->hash.empty()) impl_->hash = kvgauge::content_hash(impl_->opened);
  return impl_->hash;
}

}  // namespace kvgauge
