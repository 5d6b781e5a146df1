#include <algorithm>

#include "grade/answer_text.h"
#include "grade/datasets.h"
#include "grade/number_text.h"
#include "grade/parser.h"
#include "grade/plain_text.h"
#include "grade/rewrite.h"

namespace kvgauge {
namespace {

constexpr std::size_t kLongestPhrase = 2000;

// A formula rather than words, or words alone; not a number lost in prose.
bool reads_whole(std::string_view text) {
  const auto tree = math::parse(text);
  return tree && (tree->kind == math::Kind::kText || !math::contains(*tree, math::Kind::kText));
}

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

std::string_view up_to(std::string_view text, std::size_t end) { return trimmed(text.substr(0, end)); }

// Up to where the sentence ends or begins to explain.
std::string_view first_clause(std::string_view text) {
  std::size_t end = text.size();
  for (const std::string_view stop :
       {". ",      ".\t",       ".$ ",    " because ", ", because",   " since ",   ", since",
        ", which", " which ",   ", so ",  " so that",  ", as ",       ", where",   ", when",
        " (since", " (because", ", thus", ", hence",   ", therefore", ", and the", ", but"})
    end = std::min(end, text.find(stop));
  std::string_view clause = up_to(text, end);
  while (!clause.empty() && (clause.back() == '.' || clause.back() == ',' || clause.back() == ';'))
    clause.remove_suffix(1);
  return trimmed(clause);
}

// A phrase such as "$x = 5$, since .." without its prose.
std::string formula_of_phrase(std::string_view phrase) {
  phrase = phrase.substr(0, kLongestPhrase);
  const std::string_view clause = first_clause(phrase);
  if (reads_whole(clause) || math::stated_choice(clause) != 0) return std::string(clause);
  const auto spans = math_spans(phrase);
  for (const std::string_view span : spans)
    if (reads_whole(span)) return std::string(span);
  if (math::parse(clause)) return std::string(clause);
  if (!spans.empty()) return std::string(spans.front());
  const std::string cleaned = clean_math(clause);
  const std::string_view number = first_number(cleaned);
  return number.empty() ? std::string(clause) : std::string(number);
}

std::optional<std::string> last_formula(std::string_view text) {
  constexpr std::size_t kTail = 1 << 16;
  constexpr int kTries = 4;
  if (text.size() > kTail) text.remove_prefix(text.size() - kTail);
  const auto spans = math_spans(text);
  int tries = 0;
  for (auto span = spans.rbegin(); span != spans.rend() && tries < kTries; ++span, ++tries)
    if (span->size() <= kLongestPhrase && reads_whole(*span)) return std::string(*span);
  const std::string cleaned = clean_math(text.substr(text.size() - std::min<std::size_t>(text.size(), 4096)));
  const std::string_view number = last_number(cleaned);
  return number.empty() ? std::nullopt : std::optional(std::string(number));
}

std::string undecorated(std::string_view text) {
  text = trimmed(text);
  while (!text.empty() && (text.back() == ' ' || (text.back() == '.' && !ends_with(text, "..")))) text.remove_suffix(1);
  while (text.size() >= 2 && text.front() == '$' && text.back() == '$') text = trimmed(text.substr(1, text.size() - 2));
  return std::string(text);
}

}  // namespace

std::optional<std::string> stated_formula(std::string_view visible) {
  using Marker = StatedAnswer::Marker;
  const StatedAnswer stated = stated_answer(visible);
  std::optional<std::string> found;
  switch (stated.marker) {
    case Marker::kBox: found = std::string(stated.text); break;
    case Marker::kHash:
    case Marker::kPhrase: found = formula_of_phrase(stated.text); break;
    case Marker::kNone: found = last_formula(stated.before); break;
  }
  if (found) found = undecorated(*found);
  return found && !found->empty() ? found : std::nullopt;
}

std::optional<std::string> math_answer(std::string_view visible) { return stated_formula(visible); }

std::string math_gold(std::string_view gold) {
  const StatedAnswer stated = stated_answer(gold);
  return undecorated(stated.marker == StatedAnswer::Marker::kBox ? stated.text : gold);
}

}  // namespace kvgauge
