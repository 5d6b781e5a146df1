#include "difficulty/trainer.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <numeric>
#include <optional>
#include <unordered_set>

#include "core/cat.h"
#include "core/check.h"
#include "core/rng.h"
#include "core/sha256.h"
#include "kvgauge/error.h"

namespace kvgauge {
namespace {

// Streams of the seed: what is drawn for one purpose does not depend on how much another draws.
constexpr std::uint64_t kSplitKey = 0x73706c6974, kWeightStream = std::uint64_t{1} << 32;

template <class T>
T* device_copy(Backend& backend, std::unique_ptr<DeviceMemory>& memory, std::span<const T> values) {
  memory = backend.allocate(std::max<std::size_t>(values.size_bytes(), 1));
  if (!values.empty()) backend.upload(memory->data(), values.data(), values.size_bytes());
  return reinterpret_cast<T*>(memory->data());
}

/// Weights, or what has their shape, one after another in device memory: [w1 | b1 | w2 | b2].
class Parameters {
 public:
  Parameters(Backend& backend, std::int64_t features, std::int64_t hidden)
      : features_(features),
        hidden_(hidden),
        memory_(backend.allocate(static_cast<std::size_t>(count()) * sizeof(float))) {}
  std::int64_t count() const { return hidden_ * (features_ + 2) + 1; }
  float* w1() const { return reinterpret_cast<float*>(memory_->data()); }
  float* b1() const { return w1() + hidden_ * features_; }
  float* w2() const { return b1() + hidden_; }
  float* b2() const { return w2() + hidden_; }
  void put(Backend& backend, const std::vector<float>& values) {
    backend.upload(memory_->data(), values.data(), values.size() * sizeof(float));
  }
  std::vector<float> get(Backend& backend) const {
    std::vector<float> values(static_cast<std::size_t>(count()));
    backend.download(values.data(), memory_->data(), values.size() * sizeof(float));
    backend.wait();
    return values;
  }

 private:
  std::int64_t features_, hidden_;
  std::unique_ptr<DeviceMemory> memory_;
};

/// A network on the device, and what applying it to a batch needs.
class Network {
 public:
  Network(Backend& backend, const MatrixView& features, std::int64_t hidden, std::int64_t batch)
      : backend_(backend),
        features_(features),
        batch_(batch),
        weights_(backend, features.columns, hidden),
        workspace_(backend.allocate(mlp_workspace_bytes(batch, features.columns, hidden))),
        out_(backend.allocate(static_cast<std::size_t>(batch) * sizeof(float))) {
    head_ = {.w1 = weights_.w1(), .b1 = weights_.b1(), .w2 = weights_.w2(), .b2 = weights_.b2(), .hidden = hidden};
  }
  Parameters& weights() { return weights_; }
  std::int64_t batch() const { return batch_; }
  void standardise(std::span<const float> mean, std::span<const float> deviation) {
    head_.mean = device_copy(backend_, mean_, mean);
    head_.deviation = device_copy(backend_, deviation_, deviation);
  }
  MlpForwardArgs forward_args(std::span<const std::int32_t> rows) const {
    return {.features = features_,
            .rows = rows,
            .head = head_,
            .workspace = workspace_->data(),
            .out = reinterpret_cast<float*>(out_->data())};
  }
  /// o of any number of rows.
  std::vector<float> apply(std::span<const std::int32_t> rows) {
    std::vector<float> out(rows.size());
    for (std::size_t first = 0; first < rows.size(); first += static_cast<std::size_t>(batch_)) {
      const auto some = rows.subspan(first, std::min(static_cast<std::size_t>(batch_), rows.size() - first));
      backend_.mlp_forward(forward_args(some));
      backend_.download(out.data() + first, out_->data(), some.size_bytes());
      backend_.wait();
    }
    return out;
  }

 private:
  Backend& backend_;
  MatrixView features_;
  std::int64_t batch_;
  Parameters weights_;
  std::unique_ptr<DeviceMemory> workspace_, out_, mean_, deviation_;
  PoolHead head_;
};

void need(bool holds, const char* flag, double value, const char* range) {
  if (!holds) throw UsageError(cat(flag, ": ", value, ", ", range, " was needed"));
}

void check_settings(const TrainerSettings& s) {
  need(s.hidden >= 1 && s.hidden <= 65'536, "--hidden", static_cast<double>(s.hidden), "1 to 65536");
  need(s.learning_rate > 0 && std::isfinite(s.learning_rate), "--lr", s.learning_rate, "a positive number");
  need(s.weight_decay >= 0 && std::isfinite(s.weight_decay), "--weight-decay", s.weight_decay, "0 or more");
  need(s.batch >= 1 && s.batch <= 1 << 20, "--batch", static_cast<double>(s.batch), "1 to 1048576");
  need(s.epochs >= 1, "--epochs", s.epochs, "1 or more");
  need(s.patience >= 0, "--early-stop", s.patience, "0 or more");
  need(s.validation_share >= 0 && s.validation_share < 1, "--validation", s.validation_share, "0 to below 1");
  KVGAUGE_CHECK(s.loss.unit > 0 && s.loss.scale > 0, "a loss of unit ", s.loss.unit, ", scale ", s.loss.scale);
}

void check_data(const TrainingData& data) {
  const auto rows = static_cast<std::size_t>(data.features.rows);
  KVGAUGE_CHECK(data.labels.size() == rows && data.questions.size() == rows, data.labels.size(), " labels, ",
                data.questions.size(), " questions, ", rows, " rows");
  KVGAUGE_CHECK((data.weights.empty() || data.weights.size() == rows) &&
                    (data.validation.empty() || data.validation.size() == rows),
                data.weights.size(), " weights, ", data.validation.size(), " sides, ", rows, " rows");
  if (rows > static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()))
    throw InputError(cat("train: ", rows, " rows, fewer than 2^31 were needed"));
  for (std::size_t i = 0; i < rows; ++i) {
    if (!(data.labels[i] >= 0 && data.labels[i] <= 100))
      throw InputError(cat("train: row ", i, ": label ", data.labels[i], ", 0 to 100 was needed"));
    if (!data.weights.empty() && !(data.weights[i] >= 0 && std::isfinite(data.weights[i])))
      throw InputError(
          cat("train: row ", i, ": weight ", data.weights[i], ", a finite number of 0 or more was needed"));
  }
}

struct Split {
  std::vector<std::int32_t> train, validation;
  std::size_t train_questions = 0;
};

Split split_rows(const TrainingData& data, const TrainerSettings& settings) {
  Split split;
  std::unordered_set<std::uint64_t> train, validation;
  for (std::size_t i = 0; i < data.questions.size(); ++i) {
    const bool kept = data.validation.empty()
                          ? is_validation_question(data.questions[i], settings.seed, settings.validation_share)
                          : data.validation[i] != 0;
    (kept ? validation : train).insert(data.questions[i]);
    (kept ? split.validation : split.train).push_back(static_cast<std::int32_t>(i));
  }
  for (const std::uint64_t question : validation)
    if (train.contains(question))
      throw InputError("train: a question has rows on both sides of the split, one side was needed");
  split.train_questions = train.size();
  const bool wanted = data.validation.empty() && settings.validation_share > 0;
  if (train.empty() || (wanted && validation.empty()))
    throw InputError(cat("train: ", train.size(), " questions to train on and ", validation.size(),
                         " for validation, at least one of each was needed; give more questions or change "
                         "--validation"));
  if (settings.patience > 0 && validation.empty())
    throw UsageError(cat("--early-stop: ", settings.patience, " without validation rows, 0 was needed"));
  return split;
}

/// Mean and deviation of the listed rows. @throws InputError if one of them is not finite
void column_statistics(Backend& backend, const MatrixView& features, std::span<const std::int32_t> rows,
                       std::vector<float>& mean, std::vector<float>& deviation) {
  const auto columns = static_cast<std::size_t>(features.columns);
  mean.resize(columns);
  deviation.resize(columns);
  const auto memory = backend.allocate(2 * columns * sizeof(float));
  auto* const device = reinterpret_cast<float*>(memory->data());
  backend.mlp_statistics({.features = features, .rows = rows, .mean = device, .deviation = device + columns});
  backend.download(mean.data(), memory->data(), columns * sizeof(float));
  backend.download(deviation.data(), memory->data() + columns * sizeof(float), columns * sizeof(float));
  backend.wait();
  for (std::size_t c = 0; c < columns; ++c)
    if (!std::isfinite(mean[c]) || !std::isfinite(deviation[c]))
      throw InputError(
          cat("train: feature ", c, " has values that are not finite or overflow, finite ones were needed"));
}

/// Uniform in +-1 / sqrt(fan in), layer by layer: what torch.nn.Linear starts with (He et al. 2015 with a = sqrt(5)).
std::vector<float> first_weights(std::int64_t features, std::int64_t hidden, std::uint64_t seed) {
  const std::int64_t of_first = hidden * (features + 1), count = of_first + hidden + 1;
  std::vector<float> weights(static_cast<std::size_t>(count));
  for (std::int64_t i = 0; i < count; ++i) {
    const double bound = 1 / std::sqrt(static_cast<double>(i < of_first ? features : hidden));
    weights[static_cast<std::size_t>(i)] =
        static_cast<float>(bound * (2 * uniform(seed, kWeightStream, static_cast<std::uint64_t>(i)) - 1));
  }
  return weights;
}

/// Fisher and Yates, from the same order in every epoch.
void shuffle(std::vector<std::int32_t>& rows, std::uint64_t seed, int epoch) {
  for (std::size_t i = rows.size(); i > 1; --i) {
    const double draw = uniform(seed, static_cast<std::uint64_t>(epoch), i);
    std::swap(rows[i - 1], rows[static_cast<std::size_t>(draw * static_cast<double>(i))]);
  }
}

class Training {
 public:
  Training(Backend& backend, const TrainingData& data, const TrainerSettings& settings, Split split)
      : backend_(backend),
        data_(data),
        settings_(settings),
        split_(std::move(split)),
        network_(backend, data.features, settings.hidden, std::min<std::int64_t>(settings.batch, data.features.rows)),
        gradients_(backend, data.features.columns, settings.hidden),
        m_(backend, data.features.columns, settings.hidden),
        v_(backend, data.features.columns, settings.hidden) {
    labels_ = device_copy(backend, label_memory_, data.labels);
    if (!data.weights.empty()) weights_ = device_copy(backend, weight_memory_, data.weights);
    network_.weights().put(backend, first_weights(data.features.columns, settings.hidden, settings.seed));
  }

  TrainingResult run(const std::function<bool(const EpochRecord&)>& on_epoch) {
    TrainingResult result;
    std::vector<float> mean, deviation;
    std::vector<std::int32_t> all(static_cast<std::size_t>(data_.features.rows));
    std::iota(all.begin(), all.end(), 0);
    column_statistics(backend_, data_.features, all, mean, deviation);  // that all of them are finite
    if (settings_.standardise) {
      column_statistics(backend_, data_.features, split_.train, mean, deviation);
      network_.standardise(mean, deviation);
    } else {
      mean.clear();
      deviation.clear();
    }

    std::vector<float> best;
    double least = std::numeric_limits<double>::infinity();
    for (int epoch = 1; epoch <= settings_.epochs; ++epoch) {
      EpochRecord record{.epoch = epoch, .train_loss = train_epoch(epoch)};
      validate(record);
      record.best = split_.validation.empty() || record.validation_loss < least;
      if (record.best) {
        least = record.validation_loss;
        result.best_epoch = epoch;
        if (!split_.validation.empty()) best = network_.weights().get(backend_);
      }
      result.history.push_back(record);
      if (on_epoch && !on_epoch(record)) break;
      result.stopped_early = settings_.patience > 0 && epoch - result.best_epoch >= settings_.patience;
      if (result.stopped_early) break;
    }
    if (best.empty()) best = network_.weights().get(backend_);
    if (!std::all_of(best.begin(), best.end(), [](float w) { return std::isfinite(w); }))
      diverged("a weight", std::numeric_limits<double>::quiet_NaN(), result.best_epoch);
    result.head = exported(best, std::move(mean), std::move(deviation));
    return result;
  }
  const Split& split() const { return split_; }

 private:
  double train_epoch(int epoch) {
    std::vector<std::int32_t> order = split_.train;
    shuffle(order, settings_.seed, epoch);
    double sum = 0, of_weights = 0;
    for (std::size_t first = 0; first < order.size(); first += static_cast<std::size_t>(network_.batch())) {
      const std::size_t count = std::min(static_cast<std::size_t>(network_.batch()), order.size() - first);
      const std::span<const std::int32_t> rows(order.data() + first, count);
      double weight = static_cast<double>(count);
      if (!data_.weights.empty()) {
        weight = 0;
        for (const std::int32_t row : rows) weight += static_cast<double>(data_.weights[static_cast<std::size_t>(row)]);
        if (weight == 0) continue;
      }
      const double loss = train_batch(rows, weight);
      if (!std::isfinite(loss)) diverged("the training loss", loss, epoch);
      sum += loss * weight;
      of_weights += weight;
    }
    return sum / of_weights;
  }

  double train_batch(std::span<const std::int32_t> rows, double weight) {
    const MlpForwardArgs forward = network_.forward_args(rows);
    double loss = 0;
    backend_.mlp_forward(forward);
    backend_.mlp_backward({.forward = forward,
                           .labels = labels_,
                           .weights = weights_,
                           .loss = settings_.loss,
                           .share = 1 / weight,
                           .w1 = gradients_.w1(),
                           .b1 = gradients_.b1(),
                           .w2 = gradients_.w2(),
                           .b2 = gradients_.b2(),
                           .total = &loss});
    backend_.mlp_step({.parameters = network_.weights().w1(),
                       .gradients = gradients_.w1(),
                       .m = m_.w1(),
                       .v = v_.w1(),
                       .count = gradients_.count(),
                       .step = ++step_,
                       .learning_rate = settings_.learning_rate,
                       .weight_decay = settings_.weight_decay,
                       .decoupled = settings_.optimizer == Optimizer::kAdamW});
    backend_.wait();
    return loss;
  }

  void validate(EpochRecord& record) {
    if (split_.validation.empty()) return;
    const std::vector<float> out = network_.apply(split_.validation);
    double loss = 0, of_weights = 0, squares = 0;
    for (std::size_t i = 0; i < out.size(); ++i) {
      const auto row = static_cast<std::size_t>(split_.validation[i]);
      const double weight = data_.weights.empty() ? 1 : static_cast<double>(data_.weights[row]);
      loss += weight * mlp_loss_at(settings_.loss, out[i], data_.labels[row]).value;
      of_weights += weight;
      const double d = static_cast<double>(settings_.loss.offset) +
                       static_cast<double>(settings_.loss.scale) * static_cast<double>(out[i]);
      squares += (d - static_cast<double>(data_.labels[row])) * (d - static_cast<double>(data_.labels[row]));
    }
    if (of_weights == 0) throw InputError("train: the weights of all validation rows are 0, one above 0 was needed");
    record.validation_loss = loss / of_weights;
    record.validation_mse = squares / static_cast<double>(out.size());
    if (!std::isfinite(record.validation_loss)) diverged("the validation loss", record.validation_loss, record.epoch);
  }

  TrainedHead exported(const std::vector<float>& weights, std::vector<float> mean, std::vector<float> deviation) const {
    TrainedHead head{.features = data_.features.columns,
                     .hidden = settings_.hidden,
                     .w1 = {},
                     .b1 = {},
                     .w2 = {},
                     .b2 = {},
                     .mean = std::move(mean),
                     .deviation = std::move(deviation)};
    const auto b1 = weights.begin() + head.hidden * head.features, w2 = b1 + head.hidden, b2 = w2 + head.hidden;
    head.w1.assign(weights.begin(), b1);
    head.b1.assign(b1, w2);
    const double scale = settings_.loss.scale;
    for (auto w = w2; w != b2; ++w) head.w2.push_back(static_cast<float>(scale * static_cast<double>(*w)));
    head.b2 = {static_cast<float>(scale * static_cast<double>(*b2) + static_cast<double>(settings_.loss.offset))};
    return head;
  }

  [[noreturn]] void diverged(const char* what, double value, int epoch) const {
    throw DivergedError(cat("train: ", what, " is ", value, " in epoch ", epoch,
                            ", a finite number was needed; lower --lr (it is ", settings_.learning_rate,
                            settings_.standardise ? ")" : ") or standardise the features"));
  }

  Backend& backend_;
  const TrainingData& data_;
  const TrainerSettings& settings_;
  const Split split_;
  Network network_;
  Parameters gradients_, m_, v_;
  std::unique_ptr<DeviceMemory> label_memory_, weight_memory_;
  const float *labels_ = nullptr, *weights_ = nullptr;
  std::int64_t step_ = 0;
};

}  // namespace

std::uint64_t question_key(std::string_view id) {
  const std::string digits = sha256_hex(id).substr(0, 16);
  std::uint64_t key = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), key, 16);
  return key;
}

bool is_validation_question(std::uint64_t question, std::uint64_t seed, double share) {
  return uniform(seed, kSplitKey, question) < share;
}

DeviceFeatures::DeviceFeatures(Backend& backend, std::int64_t rows, std::int64_t columns,
                               std::span<const float> values) {
  KVGAUGE_CHECK(std::ssize(values) == rows * columns, values.size(), " values for ", rows, " x ", columns);
  float* const data = device_copy(backend, memory_, values);
  view_ = {.data = data, .dtype = DType::kF32, .rows = rows, .columns = columns, .stride = columns};
}

const char* name(Optimizer optimizer) { return optimizer == Optimizer::kAdam ? "adam" : "adamw"; }
const char* name(MlpLossKind kind) {
  return kind == MlpLossKind::kMse ? "mse" : kind == MlpLossKind::kBce ? "bce" : "ordinal";
}
Optimizer parse_optimizer(std::string_view text) {
  for (const Optimizer optimizer : {Optimizer::kAdam, Optimizer::kAdamW})
    if (text == name(optimizer)) return optimizer;
  throw UsageError(cat("--optimizer: '", text, "', adam or adamw was needed"));
}
MlpLossKind parse_mlp_loss(std::string_view text) {
  for (const MlpLossKind kind : {MlpLossKind::kMse, MlpLossKind::kBce, MlpLossKind::kOrdinal})
    if (text == name(kind)) return kind;
  throw UsageError(cat("--loss: '", text, "', mse, bce or ordinal was needed"));
}

TrainingResult train_head(Backend& backend, const TrainingData& data, const TrainerSettings& settings,
                          const std::function<bool(const EpochRecord&)>& on_epoch) {
  check_settings(settings);
  check_data(data);
  Training training(backend, data, settings, split_rows(data, settings));
  TrainingResult result = training.run(on_epoch);
  const Split& split = training.split();
  result.train_rows = std::ssize(split.train);
  result.train_questions = static_cast<std::int64_t>(split.train_questions);
  if (split.validation.empty()) return result;
  const std::vector<float> d = predict_difficulty(backend, result.head, data.features, split.validation);
  std::vector<float> labels;
  std::vector<std::uint64_t> questions;
  for (const std::int32_t row : split.validation) {
    labels.push_back(data.labels[static_cast<std::size_t>(row)]);
    questions.push_back(data.questions[static_cast<std::size_t>(row)]);
  }
  result.validation = difficulty_metrics(d, labels, questions, settings.tau, settings.resamples, settings.seed);
  return result;
}

std::vector<float> predict_difficulty(Backend& backend, const TrainedHead& head, const MatrixView& features,
                                      std::span<const std::int32_t> rows) {
  KVGAUGE_CHECK(features.columns == head.features, "a head of ", head.features, " features for ", features.columns);
  if (rows.empty()) return {};
  constexpr std::int64_t kBatch = 1024;
  Network network(backend, features, head.hidden, std::min<std::int64_t>(kBatch, std::ssize(rows)));
  std::vector<float> weights = head.w1;
  for (const auto* part : {&head.b1, &head.w2, &head.b2}) weights.insert(weights.end(), part->begin(), part->end());
  network.weights().put(backend, weights);
  if (!head.mean.empty()) network.standardise(head.mean, head.deviation);
  return network.apply(rows);
}

}  // namespace kvgauge
