#include "text/tokenizer_bpe.h"

#include <algorithm>
#include <bit>
#include <queue>

namespace kvgauge {
namespace {

constexpr std::size_t kShortWord = 48;

std::size_t table_size(std::size_t capacity) { return std::bit_ceil(std::max<std::size_t>(2 * capacity + 2, 16)); }

}  // namespace

TokenIndex::TokenIndex(std::size_t capacity) : slots_(table_size(capacity), -1) {}

MergeTable::MergeTable(std::size_t capacity)
    : entries_(table_size(capacity)), shift_(64 - std::countr_zero(entries_.size())) {}

bool MergeTable::add(std::int32_t left, std::int32_t right, std::int32_t merged) {
  const std::uint64_t pair = pair_of(left, right);
  for (std::size_t at = pair * 0x9E3779B97F4A7C15ULL >> shift_;; at = (at + 1) & (entries_.size() - 1)) {
    if (entries_[at].pair == pair) return false;
    if (entries_[at].pair != kFree) continue;
    entries_[at] = {pair, ranks_++, merged};
    return true;
  }
}

const MergeTable::Entry* MergeTable::find(std::int32_t left, std::int32_t right) const {
  const std::uint64_t pair = pair_of(left, right);
  for (std::size_t at = pair * 0x9E3779B97F4A7C15ULL >> shift_;; at = (at + 1) & (entries_.size() - 1)) {
    if (entries_[at].pair == pair) return &entries_[at];
    if (entries_[at].pair == kFree) return nullptr;
  }
}

void MergeTable::merge(std::vector<std::int32_t>& symbols) const {
  if (symbols.size() < 2) return;
  if (symbols.size() <= kShortWord)
    merge_short(symbols);
  else
    merge_long(symbols);
}

void MergeTable::merge_short(std::vector<std::int32_t>& symbols) const {
  const Entry* pairs[kShortWord];  // pairs[i]: the merge of symbols i and i + 1
  std::size_t count = symbols.size();
  for (std::size_t i = 0; i + 1 < count; ++i) pairs[i] = find(symbols[i], symbols[i + 1]);
  while (count > 1) {
    std::size_t best = count;
    for (std::size_t i = 0; i + 1 < count; ++i)
      if (pairs[i] && (best == count || pairs[i]->rank < pairs[best]->rank)) best = i;
    if (best == count) break;
    symbols[best] = pairs[best]->merged;
    for (std::size_t i = best + 1; i + 1 < count; ++i) symbols[i] = symbols[i + 1];
    for (std::size_t i = best + 1; i + 2 < count; ++i) pairs[i] = pairs[i + 1];
    --count;
    if (best > 0) pairs[best - 1] = find(symbols[best - 1], symbols[best]);
    if (best + 1 < count) pairs[best] = find(symbols[best], symbols[best + 1]);
  }
  symbols.resize(count);
}

void MergeTable::merge_long(std::vector<std::int32_t>& symbols) const {
  // A linked list of symbols and a heap of candidate pairs; a candidate is stale when either symbol has changed since.
  struct Candidate {
    std::int32_t rank;
    std::uint32_t at;
    std::int32_t left, right;
    bool operator<(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : at > other.at;
    }  // a max-heap
  };
  constexpr std::int32_t kGone = -1;
  const auto count = static_cast<std::uint32_t>(symbols.size());
  std::vector<std::uint32_t> next(count), previous(count);
  std::vector<Candidate> first;
  const auto candidate_at = [&](std::uint32_t at, auto&& put) {
    if (next[at] == count) return;
    const std::int32_t left = symbols[at], right = symbols[next[at]];
    if (const Entry* const entry = find(left, right)) put(Candidate{entry->rank, at, left, right});
  };
  for (std::uint32_t i = 0; i < count; ++i) {
    next[i] = i + 1;
    previous[i] = i - 1;  // of 0: never read
  }
  for (std::uint32_t i = 0; i < count; ++i) candidate_at(i, [&](const Candidate& c) { first.push_back(c); });
  std::priority_queue<Candidate> heap(std::less<Candidate>(), std::move(first));
  const auto push = [&](const Candidate& c) { heap.push(c); };
  while (!heap.empty()) {
    const Candidate top = heap.top();
    heap.pop();
    if (symbols[top.at] != top.left || next[top.at] == count || symbols[next[top.at]] != top.right) continue;
    const std::uint32_t right = next[top.at];
    symbols[top.at] = find(top.left, top.right)->merged;
    symbols[right] = kGone;
    next[top.at] = next[right];
    if (next[right] != count) previous[next[right]] = top.at;
    candidate_at(top.at, push);
    if (top.at != 0) candidate_at(previous[top.at], push);
  }
  std::erase(symbols, kGone);
}

}  // namespace kvgauge
