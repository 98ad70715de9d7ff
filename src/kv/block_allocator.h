// Hands out the blocks of the KV cache.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace m2 {

/// A free list over the blocks 0 .. num_blocks - 1. A taken block counts its owners and is free
/// again when the last one releases it. Not thread-safe: the engine owns it.
class BlockAllocator {
 public:
  explicit BlockAllocator(std::int32_t num_blocks);

  [[nodiscard]] std::int32_t num_blocks() const {
    return static_cast<std::int32_t>(owners_.size());
  }
  [[nodiscard]] std::int32_t num_free() const { return static_cast<std::int32_t>(free_.size()); }

  /// A free block with one owner, the lowest first on a fresh allocator; nothing when all are
  /// taken.
  [[nodiscard]] std::optional<std::int32_t> allocate();
  /// One more owner. Throws kInternal when the block is not taken.
  void share(std::int32_t block);
  /// One owner less. Throws kInternal when the block is not taken.
  void release(std::int32_t block);
  /// 0 for a free block.
  [[nodiscard]] std::int32_t num_owners(std::int32_t block) const;

  /// Adds free blocks up to `num_blocks` in all; older ones are handed out first.
  void grow(std::int32_t num_blocks);

 private:
  void check_taken(std::int32_t block) const;

  std::vector<std::int32_t> free_;    // the next one is at the back
  std::vector<std::int32_t> owners_;  // [P]
};

}  // namespace m2
