#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "metrics/feature_rows.h"

namespace kvgauge {

/// The words of a text: its longest runs of letters, digits and underscores, in lower case. What is not UTF-8
/// separates.
std::vector<std::string> words_of(std::string_view text);

/// tf-idf weights of words, as scikit-learn's TfidfVectorizer has them by default (but words of one character count):
/// count of the word in the text times ln((1 + n) / (1 + texts that have it)) + 1, rows divided by their Euclidean
/// length. The vocabulary and the counts of texts come from the texts that it is made of.
class BagOfWords {
 public:
  explicit BagOfWords(const std::vector<std::string_view>& texts);
  std::int64_t columns() const { return std::ssize(weights_); }
  /// Appends the row of a text; words that are not in the vocabulary are left out.
  void append(std::string_view text, FeatureRows& to) const;

 private:
  std::map<std::string, std::int32_t, std::less<>> columns_;
  std::vector<double> weights_;
};

}  // namespace kvgauge
