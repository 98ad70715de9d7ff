// Hands out the blocks of the KV cache.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace m2 {

/// A free list over the blocks 0 .. num_blocks - 1. Not thread-safe: the engine owns it.
class BlockAllocator {
 public:
  explicit BlockAllocator(std::int32_t num_blocks);

  [[nodiscard]] std::int32_t num_blocks() const { return static_cast<std::int32_t>(used_.size()); }
  [[nodiscard]] std::int32_t num_free() const { return static_cast<std::int32_t>(free_.size()); }

  /// A free block, the lowest first on a fresh allocator; nothing when all are taken.
  [[nodiscard]] std::optional<std::int32_t> allocate();
  /// Throws kInternal when the block is not taken.
  void release(std::int32_t block);

 private:
  std::vector<std::int32_t> free_;  // the next one is at the back
  std::vector<bool> used_;
};

}  // namespace m2
