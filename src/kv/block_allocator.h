// Hands out the blocks of the KV cache.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kv/idle_blocks.h"

namespace m2 {

/// A free list over the blocks 0 .. num_blocks - 1. A taken block counts its owners and is free
/// again when the last one releases it. A kept one then stays idle with its contents: it may be
/// shared again, or is handed out when no other block is free, the longest idle one first. Not
/// thread-safe: the engine owns it.
class BlockAllocator {
 public:
  explicit BlockAllocator(std::int32_t num_blocks);

  [[nodiscard]] std::int32_t num_blocks() const {
    return static_cast<std::int32_t>(owners_.size());
  }
  /// Blocks that allocate() can hand out, idle ones included.
  [[nodiscard]] std::int32_t num_free() const {
    return static_cast<std::int32_t>(free_.size()) + idle_.size();
  }

  /// A free block with one owner, the lowest first on a fresh allocator; nothing when all are
  /// taken. It is not kept.
  [[nodiscard]] std::optional<std::int32_t> allocate();
  /// The contents of a taken block are worth keeping when nobody owns it.
  void keep(std::int32_t block);
  /// True until a kept block is handed out anew.
  [[nodiscard]] bool is_kept(std::int32_t block) const;
  /// One more owner. Throws kInternal when the block is neither taken nor kept.
  void share(std::int32_t block);
  /// One owner less. Throws kInternal when the block is not taken.
  void release(std::int32_t block);
  /// 0 for a free or idle block.
  [[nodiscard]] std::int32_t num_owners(std::int32_t block) const;

  /// Adds free blocks up to `num_blocks` in all; older ones are handed out first.
  void grow(std::int32_t num_blocks);

 private:
  void check_taken(std::int32_t block) const;
  [[nodiscard]] std::optional<std::int32_t> next_free();

  std::vector<std::int32_t> free_;    // the next one is at the back
  std::vector<std::int32_t> owners_;  // [P]
  std::vector<std::uint8_t> kept_;    // [P]
  IdleBlocks idle_;
};

}  // namespace m2
