#include "metrics/bag_of_words.h"

#include <utf8proc.h>

#include <cmath>
#include <set>

#include "text/utf8.h"

namespace kvgauge {
namespace {

bool is_word_character(char32_t c) {
  if (c == '_') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return true;
    default: return false;
  }
}

}  // namespace

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  std::string word;
  const auto finish = [&] {
    if (!word.empty()) words.push_back(std::move(word));
    word.clear();
  };
  while (!text.empty()) {
    const Utf8Step step = read_utf8(text);
    text.remove_prefix(step.bytes);
    if (step.kind == Utf8Step::kCharacter && is_word_character(step.code_point))
      append_utf8(word, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(step.code_point))));
    else
      finish();
  }
  finish();
  return words;
}

BagOfWords::BagOfWords(const std::vector<std::string_view>& texts) {
  std::map<std::string, std::int64_t, std::less<>> texts_with;
  for (const std::string_view text : texts) {
    const std::vector<std::string> words = words_of(text);
    for (const std::string& word : std::set<std::string>(words.begin(), words.end())) ++texts_with[word];
  }
  for (const auto& [word, count] : texts_with) {
    columns_.emplace(word, static_cast<std::int32_t>(weights_.size()));
    weights_.push_back(std::log((1 + static_cast<double>(texts.size())) / (1 + static_cast<double>(count))) + 1);
  }
}

void BagOfWords::append(std::string_view text, FeatureRows& to) const {
  std::map<std::int32_t, double> counts;
  for (const std::string& word : words_of(text))
    if (const auto at = columns_.find(word); at != columns_.end()) ++counts[at->second];
  std::vector<std::int32_t> columns;
  std::vector<double> values;
  double squares = 0;
  for (const auto& [column, count] : counts) {
    columns.push_back(column);
    values.push_back(count * weights_[static_cast<std::size_t>(column)]);
    squares += values.back() * values.back();
  }
  for (double& value : values) value /= std::sqrt(squares);
  to.add_sparse(columns, values);
}

}  // namespace kvgauge
