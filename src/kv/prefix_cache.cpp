#include "kv/prefix_cache.h"

#include <algorithm>
#include <array>
#include <bit>

#include "core/check.h"
#include "core/rng.h"
#include "kv/paged_view.h"

namespace kvgauge {
namespace {

constexpr std::int32_t kNone = -1;  // no node; as a parent: the empty prefix

struct Key {
  std::uint64_t low = 0x6b76676175676531ull, high = 0x7061676564707265ull;
  bool operator==(const Key&) const = default;
};

// Two lanes that absorb the tokens differently; each step is a bijection of its lane, and a lane's end depends on every
// token.
Key chain(Key key, std::span<const std::int32_t> tokens) {
  for (const std::int32_t token : tokens) {
    const std::uint64_t word = static_cast<std::uint32_t>(token);
    key.low = mix64(key.low ^ word);
    key.high = mix64(key.high + word * 0xd6e8feb86659fd93ull + 0xa0761d6478bd642full);
  }
  return key;
}

std::span<const std::int32_t> block_tokens(std::span<const std::int32_t> tokens, std::int64_t index) {
  return tokens.subspan(static_cast<std::size_t>(index * kPageTokens), kPageTokens);
}

}  // namespace

// The nodes form a forest; node number = block number, so storage never moves and needs no allocator. Leaves (nodes
// without children) stand in a binary heap by last use: the root is the next to go.
struct PrefixCache::Impl {
  struct Node {
    Key key;
    std::array<std::int32_t, kPageTokens> tokens{};
    std::uint64_t last_use = 0;
    std::int32_t parent = kNone, first_child = kNone, next_sibling = kNone, previous_sibling = kNone;
    std::int32_t next_in_bucket = kNone;
    std::int32_t heap_position = kNone;
  };

  explicit Impl(PagePool& pages)
      : pool(pages), nodes(static_cast<std::size_t>(pages.blocks())), buckets(std::bit_ceil(nodes.size() * 2), kNone) {
    heap.reserve(nodes.size());
  }

  Node& at(std::int32_t node) { return nodes[static_cast<std::size_t>(node)]; }
  std::int32_t& bucket(const Key& key) { return buckets[(key.low ^ key.high) & (buckets.size() - 1)]; }

  std::int32_t find(const Key& key, std::span<const std::int32_t> tokens, std::int32_t parent) {
    for (std::int32_t node = bucket(key); node != kNone; node = at(node).next_in_bucket)
      if (at(node).key == key && at(node).parent == parent &&
          std::equal(tokens.begin(), tokens.end(), at(node).tokens.begin()))
        return node;
    return kNone;
  }

  // -- the heap of leaves
  // ------------------------------------------------------------------------------------------------------
  void place(std::size_t position, std::int32_t node) {
    heap[position] = node;
    at(node).heap_position = static_cast<std::int32_t>(position);
  }
  // (last use, number) is a strict order: the choice never depends on the heap's history.
  bool before(std::int32_t a, std::int32_t b) {
    return at(a).last_use != at(b).last_use ? at(a).last_use < at(b).last_use : a < b;
  }
  void sift_up(std::size_t position, std::int32_t node) {
    while (position > 0 && before(node, heap[(position - 1) / 2])) {
      place(position, heap[(position - 1) / 2]);
      position = (position - 1) / 2;
    }
    place(position, node);
  }
  void sift_down(std::size_t position, std::int32_t node) {
    for (std::size_t child = 2 * position + 1; child < heap.size(); child = 2 * position + 1) {
      if (child + 1 < heap.size() && before(heap[child + 1], heap[child])) ++child;
      if (!before(heap[child], node)) break;
      place(position, heap[child]);
      position = child;
    }
    place(position, node);
  }
  void heap_add(std::int32_t node) {
    heap.push_back(node);
    sift_up(heap.size() - 1, node);
  }
  void heap_remove(std::int32_t node) {
    const auto position = static_cast<std::size_t>(at(node).heap_position);
    at(node).heap_position = kNone;
    const std::int32_t last = heap.back();
    heap.pop_back();
    if (last == node) return;
    sift_up(position, last);
    sift_down(static_cast<std::size_t>(at(last).heap_position), last);
  }
  void use(std::int32_t node, std::uint64_t time) {  // time never runs backwards
    at(node).last_use = time;
    if (at(node).heap_position != kNone) sift_down(static_cast<std::size_t>(at(node).heap_position), node);
  }

  // -- nodes
  // -------------------------------------------------------------------------------------------------------------------
  void add(std::int32_t block, const Key& key, std::span<const std::int32_t> tokens, std::int32_t parent) {
    KVGAUGE_CHECK(!pool.cached(block), "prefix cache: block ", block, " is listed already, under other tokens");
    pool.retain(block);
    pool.mark_cached(block, true);
    Node& node = at(block);
    node = Node{};
    node.key = key;
    std::copy(tokens.begin(), tokens.end(), node.tokens.begin());
    node.last_use = clock;
    node.next_in_bucket = bucket(key);
    bucket(key) = block;
    if (parent != kNone) {
      node.parent = parent;
      if (at(parent).first_child == kNone)
        heap_remove(parent);
      else
        at(at(parent).first_child).previous_sibling = block;
      node.next_sibling = at(parent).first_child;
      at(parent).first_child = block;
    }
    heap_add(block);
    ++size;
  }

  // A leaf leaves; its parent may become one.
  void remove(std::int32_t block) {
    Node& node = at(block);
    KVGAUGE_CHECK(node.first_child == kNone, "prefix cache: block ", block, " still has children");
    heap_remove(block);
    std::int32_t* link = &bucket(node.key);
    while (*link != block) link = &at(*link).next_in_bucket;
    *link = node.next_in_bucket;
    if (node.next_sibling != kNone) at(node.next_sibling).previous_sibling = node.previous_sibling;
    if (node.previous_sibling != kNone)
      at(node.previous_sibling).next_sibling = node.next_sibling;
    else if (node.parent != kNone)
      at(node.parent).first_child = node.next_sibling;
    if (node.parent != kNone && at(node.parent).first_child == kNone) heap_add(node.parent);
    --size;
    pool.mark_cached(block, false);
    pool.release(block);
  }

  void remove_subtree(std::int32_t top) {
    for (std::int32_t node = top;;) {
      while (at(node).first_child != kNone) node = at(node).first_child;
      const std::int32_t parent = at(node).parent;
      remove(node);
      if (node == top) return;
      node = parent;
    }
  }

  PagePool& pool;
  std::vector<Node> nodes;
  std::vector<std::int32_t> buckets;  // heads of the chains of a hash table
  std::vector<std::int32_t> heap;
  std::uint64_t clock = 0;
  std::int64_t size = 0;
};

PrefixCache::PrefixCache(PagePool& pool, bool enabled) : impl_(enabled ? std::make_unique<Impl>(pool) : nullptr) {}
PrefixCache::~PrefixCache() { clear(); }

void PrefixCache::match(std::span<const std::int32_t> tokens, std::int64_t max_blocks,
                        std::vector<std::int32_t>& blocks) {
  if (!impl_) return;
  const std::int64_t limit = std::min(max_blocks, static_cast<std::int64_t>(tokens.size()) / kPageTokens);
  const std::uint64_t now = ++impl_->clock;
  Key key;
  std::int32_t parent = kNone;
  for (std::int64_t index = 0; index < limit; ++index) {
    key = chain(key, block_tokens(tokens, index));
    const std::int32_t node = impl_->find(key, block_tokens(tokens, index), parent);
    if (node == kNone) return;
    impl_->pool.retain(node);
    impl_->use(node, now);
    blocks.push_back(node);
    parent = node;
  }
}

void PrefixCache::insert(std::span<const std::int32_t> tokens, std::span<const std::int32_t> blocks, std::int64_t first,
                         std::int64_t count) {
  if (!impl_ || first >= count) return;
  KVGAUGE_CHECK(count * kPageTokens <= static_cast<std::int64_t>(tokens.size()) &&
                    count <= static_cast<std::int64_t>(blocks.size()),
                "prefix cache: ", count, " blocks offered, the sequence has ", tokens.size(), " tokens and ",
                blocks.size(), " blocks");
  ++impl_->clock;
  Key key;
  std::int32_t parent = kNone;
  std::int64_t index = 0;
  // A listed block stands for its whole prefix: go on from it. (Else the sequence computed a duplicate, or its block
  // was dropped.)
  if (first > 0 && impl_->pool.cached(blocks[static_cast<std::size_t>(first - 1)])) {
    index = first;
    parent = blocks[static_cast<std::size_t>(first - 1)];
    key = impl_->at(parent).key;
  }
  for (; index < count; ++index) {
    const std::int32_t block = blocks[static_cast<std::size_t>(index)];
    key = chain(key, block_tokens(tokens, index));
    std::int32_t node = impl_->find(key, block_tokens(tokens, index), parent);
    if (node == kNone) {
      impl_->add(block, key, block_tokens(tokens, index), parent);
      node = block;
    }
    parent = node;
  }
}

void PrefixCache::touch(std::span<const std::int32_t> blocks) {
  if (!impl_) return;
  ++impl_->clock;
  for (const std::int32_t block : blocks)
    if (impl_->pool.cached(block)) impl_->use(block, impl_->clock);
}

bool PrefixCache::evict_one() {
  if (evictable() == 0) return false;
  // A leaf that a sequence holds is in use now. Each sequence holds few leaves, so few are met before a free one.
  for (std::size_t attempt = 0; attempt < impl_->heap.size(); ++attempt) {
    const std::int32_t leaf = impl_->heap.front();
    if (impl_->pool.references(leaf) == 1) {
      impl_->remove(leaf);
      return true;
    }
    impl_->use(leaf, ++impl_->clock);
  }
  // Every leaf is held, and some inner block is not: a sequence that computed its own copy of this prefix continued it.
  // The inner block goes and its descendants are forgotten; they stay with the sequences that hold them.
  std::int32_t oldest = kNone;
  for (std::int32_t node = 0; node < impl_->pool.blocks(); ++node)
    if (impl_->pool.cached(node) && impl_->pool.references(node) == 1 &&
        (oldest == kNone || impl_->before(node, oldest)))
      oldest = node;
  impl_->remove_subtree(oldest);
  return true;
}

std::int64_t PrefixCache::evictable() const { return impl_ ? impl_->pool.cached_alone() : 0; }
std::int64_t PrefixCache::size() const { return impl_ ? impl_->size : 0; }

void PrefixCache::clear() {
  if (!impl_) return;
  while (!impl_->heap.empty()) impl_->remove(impl_->heap.front());
}

}  // namespace kvgauge
