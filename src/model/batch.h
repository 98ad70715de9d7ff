// What one forward pass works on: the new tokens of several sequences, without padding between.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kv/sequence_blocks.h"

namespace m2 {

/// A sequence's part of a batch, as the builder takes it.
struct BatchEntry {
  std::span<const std::int32_t> token_ids;     // the new tokens
  std::span<const std::int64_t> position_ids;  // as many, for the rotary embedding
  std::int32_t num_cached_tokens = 0;          // tokens before them, already in the cache
  const SequenceBlocks* blocks = nullptr;      // with room for all of them
  /// Optional padding mask over cached and new tokens, 1 = real.
  std::span<const std::uint8_t> key_mask;
};

/// Ragged batch of T tokens in S sequences. Reused from step to step: clear() keeps the memory.
class Batch {
 public:
  void clear();
  void add(const BatchEntry& entry);
  /// Completes the block tables and masks; call once after the last add().
  void finish();

  [[nodiscard]] std::int64_t num_tokens() const {
    return static_cast<std::int64_t>(token_ids.size());
  }
  [[nodiscard]] std::int64_t num_seqs() const {
    return static_cast<std::int64_t>(context_lens.size());
  }

  std::vector<std::int32_t> token_ids;      // [T]
  std::vector<std::int64_t> position_ids;   // [T]
  std::vector<std::int64_t> slot_mapping;   // [T]
  std::vector<std::int32_t> cu_seqlens{0};  // [S + 1]
  std::vector<std::int32_t> context_lens;   // [S]
  std::vector<std::int32_t> block_tables;   // [S, max_blocks], -1 behind the end
  std::int64_t max_blocks = 0;
  std::vector<std::uint8_t> key_mask;  // [S, mask_stride] or empty
  std::int64_t mask_stride = 0;

 private:
  struct Pending {
    const SequenceBlocks* blocks;
    std::span<const std::uint8_t> key_mask;
  };
  std::vector<Pending> pending_;
};

}  // namespace m2
