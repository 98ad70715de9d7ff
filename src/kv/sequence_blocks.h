// The block table of one sequence.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kv/block_allocator.h"

namespace m2 {

/// The contents of block `from` that block `to` must get.
struct BlockCopy {
  std::int32_t from;
  std::int32_t to;
};

/// Owns the blocks of a sequence, some of them together with other sequences, and gives them back
/// when it goes. The allocator must live longer.
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
  /// Blocks that reserve() would take.
  [[nodiscard]] std::int64_t num_missing(std::int64_t num_tokens) const;
  /// The table will reach this length without taking memory for itself.
  void plan_table(std::int64_t num_tokens);
  /// Gives back the blocks that lie wholly beyond the first `num_tokens` tokens.
  void truncate(std::int64_t num_tokens);

  /// A second sequence of the same tokens: it shares all blocks.
  [[nodiscard]] SequenceBlocks fork() const;
  /// Makes the tokens [first, last) safe to write: shared blocks that hold some of them are
  /// replaced by blocks of its own. Before they are written, the returned copies must be made;
  /// blocks whose every token is written need none. Nothing, and nothing changed, when there are
  /// not enough free blocks.
  [[nodiscard]] std::optional<std::vector<BlockCopy>> writable(std::int64_t first,
                                                               std::int64_t last);

  /// Appends a block, as whose owner this sequence already counts.
  void adopt(std::int32_t block) { blocks_.push_back(block); }
  /// Uses `block`, which holds the same, together with its owners in place of the block at `index`
  /// of the table.
  void replace(std::int64_t index, std::int32_t block);
  /// Gives back the first `count` blocks; what was token count * block_size becomes token 0.
  void drop_front(std::int64_t count);

  [[nodiscard]] std::int32_t block_size() const { return block_size_; }
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
