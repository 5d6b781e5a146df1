#pragma once
#include <string>
#include <vector>

#include "core/json.h"
#include "metrics/classification.h"

namespace kvgauge {

/// What `kvgauge classify` measured, and on what.
struct ClassificationReport {
  std::int64_t train_rows = 0, test_rows = 0;
  std::vector<std::string> labels = {};
  std::vector<std::int64_t> train_counts = {}, test_counts = {};  ///< rows of each label
  ClassificationOptions options = {};
  OrderedJson settings = OrderedJson::object();  ///< flags that decide the result, files, the model's hash
  std::vector<ClassificationResult> results = {};
};

/// Fractions; undefined numbers (AP of more than two labels, the deviation of one experiment) null.
OrderedJson classification_json(const ClassificationReport& report);

/// A summary, the means with standard deviations in percent, and the accuracy of every experiment.
std::string classification_markdown(const ClassificationReport& report);

}  // namespace kvgauge
