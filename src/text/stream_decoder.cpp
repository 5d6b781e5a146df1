#include "text/stream_decoder.h"

#include <algorithm>
#include <utility>

#include "kvgauge/error.h"
#include "text/utf8.h"

namespace kvgauge {
namespace {

// Knuth-Morris-Pratt: how much of the pattern still matches when one more byte does not.
std::vector<int> failure_table(const std::string& pattern) {
  std::vector<int> table(pattern.size() + 1, 0);
  int matched = 0;
  for (std::size_t i = 1; i < pattern.size(); ++i) {
    while (matched > 0 && pattern[static_cast<std::size_t>(matched)] != pattern[i])
      matched = table[static_cast<std::size_t>(matched)];
    if (pattern[static_cast<std::size_t>(matched)] == pattern[i]) ++matched;
    table[i + 1] = matched;
  }
  return table;
}

}  // namespace

std::string StreamDecoder::push(std::int32_t token) {
  if (skip_special_ && tokenizer_->is_special(token)) return {};
  pending_ += tokenizer_->token_bytes(token);
  std::string out;
  pending_.erase(0, append_replacing_ill_formed(out, pending_));
  return out;
}

std::string StreamDecoder::finish() {
  const bool incomplete = !pending_.empty();
  pending_.clear();
  return incomplete ? std::string(kReplacementCharacter) : std::string();
}

StopMatcher::StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)), progress_(stops_.size(), 0) {
  for (const std::string& stop : stops_) {
    if (stop.empty()) throw UsageError("stop string: found an empty one, at least one character was needed");
    failure_.push_back(failure_table(stop));
  }
}

std::string StopMatcher::push(std::string_view piece) {
  if (matched()) return {};
  for (std::size_t at = 0; at < piece.size(); ++at) {
    for (std::size_t s = 0; s < stops_.size(); ++s) {
      int& progress = progress_[s];
      while (progress > 0 && stops_[s][static_cast<std::size_t>(progress)] != piece[at])
        progress = failure_[s][static_cast<std::size_t>(progress)];
      if (stops_[s][static_cast<std::size_t>(progress)] == piece[at]) ++progress;
      const bool complete = static_cast<std::size_t>(progress) == stops_[s].size();
      if (complete && (!matched() || stops_[s].size() > match().size())) matched_ = static_cast<int>(s);
    }
    if (matched()) {
      held_.append(piece.substr(0, at + 1));
      held_.resize(held_.size() - match().size());
      return std::exchange(held_, {});
    }
  }
  held_.append(piece);
  const int hold = progress_.empty() ? 0 : *std::max_element(progress_.begin(), progress_.end());
  const std::size_t safe = held_.size() - static_cast<std::size_t>(hold);
  std::string out = held_.substr(0, safe);
  held_.erase(0, safe);
  return out;
}

std::string StopMatcher::finish() { return std::exchange(held_, {}); }

}  // namespace kvgauge
