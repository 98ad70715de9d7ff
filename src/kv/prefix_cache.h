// Finds blocks that already hold the keys and values of a prompt's beginning.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kv/sequence_blocks.h"

namespace m2 {

/// How far a sequence's blocks are known to the cache.
struct PrefixCursor {
  std::uint64_t prefix = 0;     // names the tokens so far; 0: none
  std::int64_t num_blocks = 0;  // full blocks
};

/// An index over full blocks. A block is found by the tokens in it and by the prefix before it, so
/// a chain of look-ups from the empty prefix leads to the longest known beginning of a text. Every
/// prefix has a number of its own, which is never used again, and tokens are compared: a collision
/// of hashes costs time and nothing else.
///
/// What it knows is kept by the allocator while nobody owns it and forgotten when it is handed out
/// anew. Sequences give blocks back from the end, so a block outlives those behind it. Constant
/// time for a block; the memory is taken at the start.
class PrefixCache {
 public:
  /// For the blocks that the allocator has now. It must live longer.
  PrefixCache(BlockAllocator& allocator, std::int32_t block_size);

  [[nodiscard]] BlockAllocator& allocator() { return *allocator_; }
  [[nodiscard]] std::int32_t block_size() const { return block_size_; }

  /// Gives an empty `blocks` the known blocks that `ids` begins with, but never all of its tokens:
  /// the last one is left to be computed. Returns where they end.
  PrefixCursor take(std::span<const std::int32_t> ids, SequenceBlocks& blocks) const;

  /// Makes known the full blocks of `blocks`, whose first ids.size() tokens are computed, from
  /// `cursor` on. Where a known block holds the same, it takes the place of the sequence's own.
  void publish(std::span<const std::int32_t> ids, SequenceBlocks& blocks, PrefixCursor& cursor);

 private:
  struct Entry {
    std::uint64_t prefix = 0;  // of all tokens up to the end of this block; 0: not in the index
    std::uint64_t before = 0;  // the prefix that it continues
    std::uint64_t hash = 0;
    std::int32_t next = -1;  // block in the same bucket
  };

  [[nodiscard]] std::uint64_t hash_of(std::uint64_t before,
                                      std::span<const std::int32_t> ids) const;
  [[nodiscard]] std::optional<std::int32_t> find(std::uint64_t before, std::uint64_t hash,
                                                 std::span<const std::int32_t> ids) const;
  [[nodiscard]] std::int32_t find_or_insert(std::uint64_t before, std::span<const std::int32_t> ids,
                                            std::int32_t block);
  [[nodiscard]] std::int32_t& bucket(std::uint64_t hash);
  [[nodiscard]] std::span<std::int32_t> tokens_of(std::int32_t block);
  void remove(std::int32_t block);

  BlockAllocator* allocator_;
  std::int32_t block_size_;
  std::uint64_t seed_;  // random: requests must not be able to choose colliding tokens
  std::uint64_t last_prefix_ = 0;
  std::vector<Entry> entries_;         // [P]
  std::vector<std::int32_t> tokens_;   // [P, B]
  std::vector<std::int32_t> buckets_;  // the first block of each, or -1; a power of two of them
};

}  // namespace m2
