// How long one answer takes to grade: ordinary ones, and megabytes that are hard on some part of the grader.
//   grade_bench [LIMIT_MS]   prints one JSON line for each kind of text, worst last; exit 1 if one takes longer than
//   LIMIT_MS
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <limits>
#include <string>
#include <vector>

#include "grade/grader.h"

namespace {

using kvgauge::Dataset;

constexpr std::size_t kBytes = 1'000'000;

// Processor time of the thread, so that a busy machine does not count; the better of three.
double milliseconds(Dataset dataset, const std::string& response, const std::string& gold) {
  double best = std::numeric_limits<double>::infinity();
  for (int attempt = 0; attempt < 3; ++attempt) {
    const std::clock_t begin = std::clock();
    kvgauge::grade(dataset, response, gold);
    best = std::min(best, 1e3 * static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC);
  }
  return best;
}

struct Measured {
  double ms = 0;
  std::string dataset, text;
};

Measured worst_of(const std::string& piece, const std::string& start, const std::string& end, std::size_t bytes) {
  std::string response = start;
  while (response.size() < bytes) response += piece;
  response += end;
  Measured worst;
  for (const Dataset dataset : {Dataset::kExact, Dataset::kGsm8k, Dataset::kMath, Dataset::kTheoremqa, Dataset::kCsqa})
    for (const std::string& gold : {std::string("5"), response}) {
      const double ms = milliseconds(dataset, response, gold);
      if (ms > worst.ms) worst = {ms, name(dataset), start + piece};
    }
  return worst;
}

std::string printable(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c >= ' ' && c < 0x7f ? c : '.';
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  const double limit = argc > 1 ? std::atof(argv[1]) : std::numeric_limits<double>::infinity();
  const std::vector<std::string> pieces = {"a ",         "1 ",          "1",
                                           "{",          "}",           "\\boxed{",
                                           "\\boxed{}",  "\\frac",      "\\frac{1}{2}",
                                           "answer is ", "answer: 1\n", "#### a ",
                                           "####",       "$",           "$x$ ",
                                           "\\(",        "\\[",         "\\",
                                           "-",          "1,",          "1,000,",
                                           "\\text{a}",  "(",           "x^{2}+",
                                           "9^",         "!",           "\xff",
                                           "<",          "<think>",     "</think>",
                                           "\n",         "|",           "he answer is ",
                                           "True ",      "(b) ",        "[1,",
                                           "=",          "\\left(",     "boxed{",
                                           "km h ",      ". ",          "ab ",
                                           "1/",         "1 1/2 ",      "0.3...",
                                           "\xc2\xb2",   "^{",          "\\sqrt{",
                                           "and ",       "{,}000",      "1e",
                                           "Answer",     "2000!+",      "x^{99}+"};
  std::vector<Measured> all;
  for (const std::string& piece : pieces)
    for (const auto& [start, end] : std::vector<std::pair<std::string, std::string>>{
             {"", ""}, {"the answer is ", ""}, {"\\boxed{", ""}, {"\\boxed{", "}"}})
      for (const std::size_t bytes : {std::size_t{2'000}, std::size_t{8'000}, kBytes})
        all.push_back(worst_of(piece, start, end, bytes));
  std::sort(all.begin(), all.end(), [](const Measured& a, const Measured& b) { return a.ms < b.ms; });
  for (std::size_t i = all.size() - std::min<std::size_t>(all.size(), 20); i < all.size(); ++i)
    fmt::print("{{\"bench\":\"grade/{}\",\"ms\":{:.3f},\"text\":\"{}\"}}\n", all[i].dataset, all[i].ms,
               printable(all[i].text));
  fmt::print("{{\"bench\":\"grade/median\",\"ms\":{:.3f},\"texts\":{}}}\n", all[all.size() / 2].ms, all.size());
  return all.back().ms > limit ? 1 : 0;
}
