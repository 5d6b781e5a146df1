#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "kvgauge/scores.h"
#include "metrics/logistic_regression.h"

namespace kvgauge {

/// The classification protocol of MTEB 1.38 (METHOD.md E).
struct ClassificationOptions {
  std::int64_t experiments = 10;
  std::int64_t samples_per_label = 8;
  std::uint32_t seed = 42;
  bool all = false;  ///< one experiment with every train row, in the order of the file
};

/// Names of labels as numbers 0, 1, ... in ascending order: as whole numbers if all of them are, else byte by byte.
struct LabelSet {
  std::vector<std::string> names;
  std::vector<std::int32_t> train = {}, test = {};  ///< of the rows
};
/// @throws UsageError if the train rows have fewer than two labels
LabelSet number_labels(std::span<const std::string> train, std::span<const std::string> test);

/// The train rows that each experiment is fitted on. Every experiment shuffles the order that the one before left, with
/// a generator seeded anew (so the same exchanges happen again), and takes the first rows of each label in it.
std::vector<std::vector<std::int32_t>> experiment_rows(std::span<const std::int32_t> labels,
                                                       const ClassificationOptions& options);

/// How well predicted labels agree with the true ones.
struct ClassificationScores {
  double accuracy = kUndefined;
  double macro_f1 = kUndefined;           ///< mean of the labels' F1, over labels that are true or predicted somewhere
  double weighted_f1 = kUndefined;        ///< the same, weighted by how often a label is true
  double average_precision = kUndefined;  ///< of hard predictions, label 1 positive; defined for two labels only
};
ClassificationScores classification_scores(std::span<const std::int32_t> truth, std::span<const std::int32_t> predicted,
                                           std::int64_t labels);

/// What is measured on the test rows after each experiment's fit, with mean and standard deviation (over n - 1).
struct ClassificationResult {
  struct Experiment {
    ClassificationScores scores;
    std::int64_t rows = 0, features = 0, iterations = 0;
    bool converged = true;
  };
  std::string name;
  std::vector<Experiment> experiments = {};
  ClassificationScores mean = {}, deviation = {};  ///< the deviation is undefined for a single experiment
};

/// Makes features of train rows (those of one experiment) and of all test rows.
struct ExperimentFeatures {
  FeatureRows train, test;
};
using FeatureMaker = std::function<ExperimentFeatures(std::span<const std::int32_t> train_rows)>;

/// Fits a logistic regression to each experiment's rows and judges it on the test rows.
ClassificationResult classify(std::string name, const LabelSet& labels,
                              std::span<const std::vector<std::int32_t>> experiments, const FeatureMaker& make);
/// Always the label that is the most frequent among the train rows (of equally frequent ones the first).
ClassificationResult classify_by_majority(const LabelSet& labels);

/// A matrix of embeddings, row-major [rows, values].
struct EmbeddingMatrix {
  std::int64_t values = 0;
  std::vector<float> data;

  std::int64_t rows() const { return values == 0 ? 0 : std::ssize(data) / values; }
  std::span<const float> row(std::int64_t index) const {
    return std::span(data).subspan(static_cast<std::size_t>(index * values), static_cast<std::size_t>(values));
  }
};

/// Vectors of some layers' mean, from vectors that have all layers one after another, each as K, then V: the chosen
/// part, averaged over the last `last` of `layers` layers.
/// @param flat rows of [layers, 2, values of a head]
EmbeddingMatrix layer_means(const EmbeddingMatrix& flat, std::int64_t layers, std::int64_t last, GaugePart part);

/// Embeddings as features. With `center`, the mean of the experiment's train rows is subtracted from every row; then,
/// with `normalize`, each is divided by its Euclidean length. The matrices must outlive the result.
FeatureMaker embedding_features(const EmbeddingMatrix& train, const EmbeddingMatrix& test, bool center, bool normalize);
/// The number of words of each text alone (words_of), standardised by the experiment's train rows, and its square: what
/// is left for a richer feature to add. The texts must outlive the result.
FeatureMaker length_features(std::span<const std::string> train, std::span<const std::string> test);
/// Texts as tf-idf of the words of the experiment's train rows (BagOfWords). The texts must outlive the result.
FeatureMaker bag_of_words_features(std::span<const std::string> train, std::span<const std::string> test);

}  // namespace kvgauge
