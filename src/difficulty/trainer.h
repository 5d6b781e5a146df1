#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "difficulty/difficulty_metrics.h"
#include "ops/backend.h"

namespace kvgauge {

/// What a question is known by when rows are split and resampled: the first 64 bits of the SHA-256 of its id, so that
/// it falls on the same side whatever else is in the file.
std::uint64_t question_key(std::string_view id);

/// Feature rows with their labels. The features lie in the back end's memory (DeviceFeatures puts host rows there); the
/// rest on the host.
struct TrainingData {
  MatrixView features;                            ///< f32 [rows, features], all finite
  std::span<const float> labels;                  ///< [rows], 0..100
  std::span<const std::uint64_t> questions;       ///< [rows], question_key() of the row's question; rows may share one
  std::span<const float> weights = {};            ///< [rows], >= 0; empty: all 1
  std::span<const std::uint8_t> validation = {};  ///< [rows], 1: validation, equal for a question's rows; empty: split
};

/// Rows of a host matrix in the memory of a back end.
class DeviceFeatures {
 public:
  /// @param values [rows, columns] row-major. @throws DeviceError if the memory is not there
  DeviceFeatures(Backend& backend, std::int64_t rows, std::int64_t columns, std::span<const float> values);
  const MatrixView& view() const { return view_; }

 private:
  std::unique_ptr<DeviceMemory> memory_;
  MatrixView view_;
};

enum class Optimizer : std::uint8_t { kAdam, kAdamW };
const char* name(Optimizer optimizer);
const char* name(MlpLossKind kind);
/// @throws UsageError for any name but adam, adamw; mse, bce, ordinal
Optimizer parse_optimizer(std::string_view text);
MlpLossKind parse_mlp_loss(std::string_view text);

struct TrainerSettings {
  std::int64_t hidden = 512;
  MlpLoss loss = {};  ///< usual_mlp_loss(kind)
  Optimizer optimizer = Optimizer::kAdam;
  double learning_rate = 1e-3;
  double weight_decay = 0;
  std::int64_t batch = 1024;
  int epochs = 200;   ///< at most
  int patience = 20;  ///< epochs without a better validation loss before training ends; 0: all epochs are run
  double validation_share = 0.1;  ///< of the questions; 0: none, then patience must be 0
  bool standardise = true;        ///< by mean and deviation of the training rows
  std::uint64_t seed = 0;         ///< of the split, the first weights and the order of rows
  double tau = 50;                ///< d above it is routed to slow
  int resamples = 1000;           ///< of questions, for the intervals; 0: none
};

/// One pass over the training rows.
struct EpochRecord {
  int epoch = 0;                                                     ///< from 1
  double train_loss = 0;                                             ///< mean over the rows as they were trained on
  double validation_loss = kUndefined, validation_mse = kUndefined;  ///< after the epoch; MSE of d against the label
  bool best = false;                                                 ///< the least validation loss so far
};

/// The network as kv_pool applies it: d = w2 . relu(w1 x + b1) + b2, x = (f - mean) / deviation.
struct TrainedHead {
  std::int64_t features = 0, hidden = 0;
  std::vector<float> w1, b1, w2, b2;   ///< [hidden, features], [hidden], [hidden], [1]
  std::vector<float> mean, deviation;  ///< [features], or empty where not standardised
};
struct TrainingResult {
  TrainedHead head;  ///< of best_epoch
  std::vector<EpochRecord> history;
  int best_epoch = 0;  ///< the last one where there is no validation
  bool stopped_early = false;
  std::int64_t train_rows = 0, train_questions = 0;
  DifficultyMetrics validation;  ///< of `head`; rows == 0 where there is none
};

/// True for the questions that are kept for validation.
bool is_validation_question(std::uint64_t question, std::uint64_t seed, double share);

/// Trains the head on the back end that holds the features. The same data, settings and kind of back end give the same
/// bits for any number of threads.
/// @param on_epoch called after each epoch with its record; return false to end training there
/// @throws UsageError for settings out of range, naming the flag; InputError for data that cannot be used, naming the
/// row or the feature; DivergedError if the loss is no longer finite
TrainingResult train_head(Backend& backend, const TrainingData& data, const TrainerSettings& settings,
                          const std::function<bool(const EpochRecord&)>& on_epoch = {});

/// d of rows of a feature matrix in the back end's memory.
std::vector<float> predict_difficulty(Backend& backend, const TrainedHead& head, const MatrixView& features,
                                      std::span<const std::int32_t> rows);

}  // namespace kvgauge
