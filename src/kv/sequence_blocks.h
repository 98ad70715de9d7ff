// The block table of one sequence.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kv/block_allocator.h"

namespace m2 {

/// Owns the blocks of a sequence and gives them back when it goes. The allocator must live longer.
class SequenceBlocks {
 public:
  SequenceBlocks(BlockAllocator& allocator, std::int32_t block_size);
  ~SequenceBlocks();
  SequenceBlocks(SequenceBlocks&& other) noexcept;
  SequenceBlocks& operator=(SequenceBlocks&& other) noexcept;
  SequenceBlocks(const SequenceBlocks&) = delete;
  SequenceBlocks& operator=(const SequenceBlocks&) = delete;

  /// Blocks that `num_tokens` tokens need.
  [[nodiscard]] static std::int64_t blocks_for(std::int64_t num_tokens, std::int32_t block_size);

  /// Makes room for `num_tokens` tokens in all. False, and nothing changed, when there are not
  /// enough free blocks.
  [[nodiscard]] bool reserve(std::int64_t num_tokens);
  /// Gives back the blocks that lie wholly beyond the first `num_tokens` tokens.
  void truncate(std::int64_t num_tokens);

  [[nodiscard]] std::span<const std::int32_t> block_table() const { return blocks_; }
  /// Where token `index` lives: block * block_size + offset. Throws kInternal without room for it.
  [[nodiscard]] std::int64_t slot(std::int64_t index) const;

 private:
  void release_from(std::size_t first);

  BlockAllocator* allocator_;
  std::int32_t block_size_;
  std::vector<std::int32_t> blocks_;
};

}  // namespace m2
