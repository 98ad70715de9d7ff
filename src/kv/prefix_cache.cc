#include "kv/prefix_cache.h"

#include <algorithm>
#include <bit>
#include <random>

#include "base/error.h"

namespace m2 {
namespace {

constexpr std::int32_t kNone = -1;

// The finaliser of SplitMix64: every bit of the result depends on every bit of x.
std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ x >> 30U) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ x >> 27U) * 0x94D049BB133111EBULL;
  return x ^ x >> 31U;
}

std::uint64_t random_seed() {
  std::random_device device;
  return std::uint64_t{device()} << 32U | device();
}

// The tokens of block `index` of a text.
std::span<const std::int32_t> block_ids(std::span<const std::int32_t> ids, std::int64_t index,
                                        std::int32_t block_size) {
  return ids.subspan(static_cast<std::size_t>(index * block_size),
                     static_cast<std::size_t>(block_size));
}

}  // namespace

PrefixCache::PrefixCache(BlockAllocator& allocator, std::int32_t block_size)
    : allocator_(&allocator),
      block_size_(block_size),
      seed_(random_seed()),
      entries_(static_cast<std::size_t>(allocator.num_blocks())),
      tokens_(entries_.size() * static_cast<std::size_t>(block_size)),
      buckets_(std::bit_ceil(entries_.size() + 1), kNone) {}

PrefixCursor PrefixCache::take(std::span<const std::int32_t> ids, SequenceBlocks& blocks) const {
  M2_CHECK(blocks.block_table().empty(), "a sequence that begins has ", blocks.block_table().size(),
           " blocks");
  PrefixCursor cursor;
  const auto num_tokens = static_cast<std::int64_t>(ids.size());
  while ((cursor.num_blocks + 1) * block_size_ < num_tokens) {
    const auto tokens = block_ids(ids, cursor.num_blocks, block_size_);
    const auto block = find(cursor.prefix, hash_of(cursor.prefix, tokens), tokens);
    if (!block) break;
    allocator_->share(*block);
    blocks.adopt(*block);
    cursor = {.prefix = entries_[static_cast<std::size_t>(*block)].prefix,
              .num_blocks = cursor.num_blocks + 1};
  }
  return cursor;
}

void PrefixCache::publish(std::span<const std::int32_t> ids, SequenceBlocks& blocks,
                          PrefixCursor& cursor) {
  const std::int64_t num_full = static_cast<std::int64_t>(ids.size()) / block_size_;
  for (; cursor.num_blocks < num_full; ++cursor.num_blocks) {
    const std::int32_t own = blocks.block_table()[static_cast<std::size_t>(cursor.num_blocks)];
    const std::int32_t known =
        find_or_insert(cursor.prefix, block_ids(ids, cursor.num_blocks, block_size_), own);
    if (known != own) blocks.replace(cursor.num_blocks, known);
    cursor.prefix = entries_[static_cast<std::size_t>(known)].prefix;
  }
}

std::uint64_t PrefixCache::hash_of(std::uint64_t before, std::span<const std::int32_t> ids) const {
  std::uint64_t hash = mixed(seed_ ^ before);
  for (const std::int32_t id : ids) hash = mixed(hash ^ static_cast<std::uint32_t>(id));
  return hash;
}

std::optional<std::int32_t> PrefixCache::find(std::uint64_t before, std::uint64_t hash,
                                              std::span<const std::int32_t> ids) const {
  std::int32_t block = buckets_[hash & (buckets_.size() - 1)];
  for (; block != kNone; block = entries_[static_cast<std::size_t>(block)].next) {
    const Entry& entry = entries_[static_cast<std::size_t>(block)];
    if (entry.hash != hash || entry.before != before || !allocator_->is_kept(block)) continue;
    const std::int32_t* tokens = tokens_.data() + std::int64_t{block} * block_size_;
    if (std::equal(ids.begin(), ids.end(), tokens)) return block;
  }
  return std::nullopt;
}

// The block that the index has for these tokens, after the call in any case.
std::int32_t PrefixCache::find_or_insert(std::uint64_t before, std::span<const std::int32_t> ids,
                                         std::int32_t block) {
  const std::uint64_t hash = hash_of(before, ids);
  if (const auto known = find(before, hash, ids)) return *known;
  remove(block);
  std::ranges::copy(ids, tokens_of(block).begin());
  entries_[static_cast<std::size_t>(block)] = {
      .prefix = ++last_prefix_, .before = before, .hash = hash, .next = bucket(hash)};
  bucket(hash) = block;
  allocator_->keep(block);
  return block;
}

// Takes what a block held before it was handed out anew out of its bucket.
void PrefixCache::remove(std::int32_t block) {
  const Entry& entry = entries_[static_cast<std::size_t>(block)];
  if (entry.prefix == 0) return;
  std::int32_t* link = &bucket(entry.hash);
  while (*link != block) link = &entries_[static_cast<std::size_t>(*link)].next;
  *link = entry.next;
}

std::int32_t& PrefixCache::bucket(std::uint64_t hash) {
  return buckets_[hash & (buckets_.size() - 1)];
}

std::span<std::int32_t> PrefixCache::tokens_of(std::int32_t block) {
  return std::span(tokens_).subspan(
      static_cast<std::size_t>(block) * static_cast<std::size_t>(block_size_),
      static_cast<std::size_t>(block_size_));
}

}  // namespace m2
