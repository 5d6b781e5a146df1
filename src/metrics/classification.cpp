#include "metrics/classification.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "core/cat.h"
#include "core/check.h"
#include "kvgauge/error.h"
#include "metrics/bag_of_words.h"
#include "metrics/numpy_random.h"
#include "metrics/ranking.h"

namespace kvgauge {
namespace {

bool parse_whole(const std::string& text, std::int64_t& to) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), to);
  return error == std::errc() && end == text.data() + text.size();
}

// Mean and deviation of one of the scores.
void summarize(ClassificationResult& result, double ClassificationScores::*score) {
  const auto n = static_cast<double>(result.experiments.size());
  double sum = 0, squares = 0;
  for (const auto& experiment : result.experiments) sum += experiment.scores.*score;
  result.mean.*score = sum / n;
  for (const auto& experiment : result.experiments)
    squares += std::pow(experiment.scores.*score - result.mean.*score, 2);
  if (n > 1) result.deviation.*score = std::sqrt(squares / (n - 1));
}

void summarize(ClassificationResult& result) {
  for (const auto score : {&ClassificationScores::accuracy, &ClassificationScores::macro_f1,
                           &ClassificationScores::weighted_f1, &ClassificationScores::average_precision})
    summarize(result, score);
}

std::vector<double> mean_of(const EmbeddingMatrix& matrix, std::span<const std::int32_t> rows) {
  std::vector<double> mean(static_cast<std::size_t>(matrix.values));
  for (const std::int32_t index : rows) {
    const std::span<const float> row = matrix.row(index);
    for (std::size_t c = 0; c < mean.size(); ++c) mean[c] += static_cast<double>(row[c]);
  }
  for (double& x : mean) x /= static_cast<double>(rows.size());
  return mean;
}

void append(FeatureRows& to, std::span<const float> row, const std::vector<double>& center, bool normalize) {
  std::vector<double> values(row.begin(), row.end());
  if (!center.empty())
    for (std::size_t c = 0; c < values.size(); ++c) values[c] -= center[c];
  if (normalize) {
    double squares = 0;
    for (const double x : values) squares += x * x;
    if (squares > 0)
      for (double& x : values) x /= std::sqrt(squares);
  }
  to.add_dense(values);
}

}  // namespace

LabelSet number_labels(std::span<const std::string> train, std::span<const std::string> test) {
  const std::set<std::string> in_train(train.begin(), train.end());
  if (in_train.size() < 2)
    throw UsageError(cat("--train: its rows have ", in_train.size(), " different label(s), at least two were needed"));
  std::set<std::string> all = in_train;
  all.insert(test.begin(), test.end());
  LabelSet labels{.names = {all.begin(), all.end()}};
  std::int64_t a = 0, b = 0;
  if (std::all_of(all.begin(), all.end(), [&](const std::string& name) { return parse_whole(name, a); }))
    std::sort(labels.names.begin(), labels.names.end(), [&](const std::string& x, const std::string& y) {
      parse_whole(x, a);
      parse_whole(y, b);
      return a != b ? a < b : x < y;
    });
  std::map<std::string, std::int32_t> number;
  for (const std::string& name : labels.names) number.emplace(name, static_cast<std::int32_t>(number.size()));
  for (const std::string& name : train) labels.train.push_back(number.at(name));
  for (const std::string& name : test) labels.test.push_back(number.at(name));
  return labels;
}

std::vector<std::vector<std::int32_t>> experiment_rows(std::span<const std::int32_t> labels,
                                                       const ClassificationOptions& options) {
  std::vector<std::int32_t> order(labels.size());
  std::iota(order.begin(), order.end(), 0);
  if (options.all) return {order};
  std::vector<std::vector<std::int32_t>> experiments;
  for (std::int64_t e = 0; e < options.experiments; ++e) {
    NumpyRandomState(options.seed).shuffle(order);
    std::map<std::int32_t, std::int64_t> taken;
    std::vector<std::int32_t> rows;
    for (const std::int32_t row : order)
      if (taken[labels[static_cast<std::size_t>(row)]]++ < options.samples_per_label) rows.push_back(row);
    experiments.push_back(std::move(rows));
  }
  return experiments;
}

ClassificationScores classification_scores(std::span<const std::int32_t> truth, std::span<const std::int32_t> predicted,
                                           std::int64_t labels) {
  KVGAUGE_CHECK(truth.size() == predicted.size() && !truth.empty(), truth.size(), " labels, ", predicted.size(),
                " predictions");
  struct Counts {
    double true_positives = 0, truths = 0, predictions = 0;
  };
  std::vector<Counts> counts(static_cast<std::size_t>(labels));
  for (std::size_t i = 0; i < truth.size(); ++i) {
    Counts& own = counts[static_cast<std::size_t>(truth[i])];
    ++own.truths;
    ++counts[static_cast<std::size_t>(predicted[i])].predictions;
    if (truth[i] == predicted[i]) ++own.true_positives;
  }
  const auto n = static_cast<double>(truth.size());
  double right = 0, f1_sum = 0, weighted = 0, seen = 0;
  for (const Counts& c : counts) {
    if (c.truths + c.predictions == 0) continue;
    const double f1 = 2 * c.true_positives / (c.truths + c.predictions);
    ++seen;
    right += c.true_positives;
    f1_sum += f1;
    weighted += f1 * c.truths / n;
  }
  ClassificationScores scores{.accuracy = right / n, .macro_f1 = f1_sum / seen, .weighted_f1 = weighted};
  if (labels == 2) {
    const std::vector<double> hard(predicted.begin(), predicted.end());
    const std::vector<std::uint8_t> positive(truth.begin(), truth.end());
    scores.average_precision = ranking_metrics(hard, positive).average_precision;
  }
  return scores;
}

ClassificationResult classify(std::string name, const LabelSet& labels,
                              std::span<const std::vector<std::int32_t>> experiments, const FeatureMaker& make) {
  const std::set<std::int32_t> known(labels.train.begin(), labels.train.end());
  const std::vector<std::int32_t> label_of(known.begin(), known.end());  // a class of the fit -> a label
  std::map<std::int32_t, std::int32_t> class_of;
  for (const std::int32_t label : label_of) class_of.emplace(label, static_cast<std::int32_t>(class_of.size()));

  ClassificationResult result{.name = std::move(name)};
  for (const std::vector<std::int32_t>& rows : experiments) {
    const ExperimentFeatures features = make(rows);
    std::vector<std::int32_t> classes;
    for (const std::int32_t row : rows) classes.push_back(class_of.at(labels.train[static_cast<std::size_t>(row)]));
    const LogisticRegression model = fit_logistic(features.train, classes, std::ssize(label_of));
    std::vector<std::int32_t> predicted;
    for (std::int64_t i = 0; i < features.test.rows(); ++i)
      predicted.push_back(label_of[static_cast<std::size_t>(model.predict(features.test.row(i)))]);
    result.experiments.push_back({.scores = classification_scores(labels.test, predicted, std::ssize(labels.names)),
                                  .rows = std::ssize(rows),
                                  .features = features.train.columns(),
                                  .iterations = model.iterations,
                                  .converged = model.converged});
  }
  summarize(result);
  return result;
}

ClassificationResult classify_by_majority(const LabelSet& labels) {
  std::vector<std::int64_t> counts(labels.names.size());
  for (const std::int32_t label : labels.train) ++counts[static_cast<std::size_t>(label)];
  const auto most = static_cast<std::int32_t>(std::max_element(counts.begin(), counts.end()) - counts.begin());
  const std::vector<std::int32_t> predicted(labels.test.size(), most);
  ClassificationResult result{.name = "majority"};
  result.experiments.push_back({.scores = classification_scores(labels.test, predicted, std::ssize(labels.names)),
                                .rows = std::ssize(labels.train)});
  summarize(result);
  return result;
}

EmbeddingMatrix layer_means(const EmbeddingMatrix& flat, std::int64_t layers, std::int64_t last, GaugePart part) {
  const std::int64_t head = flat.values / (2 * layers), first = part == GaugePart::kV ? head : 0,
                     values = part == GaugePart::kKV ? 2 * head : head;
  KVGAUGE_CHECK(head * 2 * layers == flat.values && last >= 1 && last <= layers, flat.values, " values of ", layers,
                " layers, the last ", last);
  EmbeddingMatrix means{.values = values, .data = {}};
  means.data.reserve(static_cast<std::size_t>(flat.rows() * values));
  for (std::int64_t row = 0; row < flat.rows(); ++row) {
    const std::span<const float> from = flat.row(row);
    for (std::int64_t c = first; c < first + values; ++c) {
      double sum = 0;
      for (std::int64_t layer = layers - last; layer < layers; ++layer)
        sum += static_cast<double>(from[static_cast<std::size_t>(layer * 2 * head + c)]);
      means.data.push_back(static_cast<float>(sum / static_cast<double>(last)));
    }
  }
  return means;
}

FeatureMaker embedding_features(const EmbeddingMatrix& train, const EmbeddingMatrix& test, bool center,
                                bool normalize) {
  return [&train, &test, center, normalize](std::span<const std::int32_t> rows) {
    ExperimentFeatures features{FeatureRows(train.values), FeatureRows(test.values)};
    const std::vector<double> mean = center ? mean_of(train, rows) : std::vector<double>();
    for (const std::int32_t row : rows) append(features.train, train.row(row), mean, normalize);
    for (std::int64_t row = 0; row < test.rows(); ++row) append(features.test, test.row(row), mean, normalize);
    return features;
  };
}

FeatureMaker length_features(std::span<const std::string> train, std::span<const std::string> test) {
  const auto lengths = [](std::span<const std::string> texts) {
    std::vector<double> out;
    for (const std::string& text : texts) out.push_back(static_cast<double>(words_of(text).size()));
    return out;
  };
  return [a = lengths(train), b = lengths(test)](std::span<const std::int32_t> rows) {
    double mean = 0, squares = 0;
    for (const std::int32_t row : rows) mean += a[static_cast<std::size_t>(row)] / static_cast<double>(rows.size());
    for (const std::int32_t row : rows) squares += std::pow(a[static_cast<std::size_t>(row)] - mean, 2);
    const double deviation = squares > 0 ? std::sqrt(squares / static_cast<double>(rows.size())) : 1;
    ExperimentFeatures features{FeatureRows(2), FeatureRows(2)};
    const auto add = [&](FeatureRows& to, double length) {
      const double z = (length - mean) / deviation;
      to.add_dense(std::vector<double>{z, z * z});
    };
    for (const std::int32_t row : rows) add(features.train, a[static_cast<std::size_t>(row)]);
    for (const double length : b) add(features.test, length);
    return features;
  };
}

FeatureMaker bag_of_words_features(std::span<const std::string> train, std::span<const std::string> test) {
  return [train, test](std::span<const std::int32_t> rows) {
    std::vector<std::string_view> texts;
    for (const std::int32_t row : rows) texts.push_back(train[static_cast<std::size_t>(row)]);
    const BagOfWords bag(texts);
    ExperimentFeatures features{FeatureRows(bag.columns()), FeatureRows(bag.columns())};
    for (const std::string_view text : texts) bag.append(text, features.train);
    for (const std::string& text : test) bag.append(text, features.test);
    return features;
  };
}

}  // namespace kvgauge
