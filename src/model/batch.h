// What one forward pass works on: the new tokens of several sequences, without padding between.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kv/sequence_blocks.h"

namespace m2 {

/// A sequence's part of a batch, as the builder takes it: n new tokens.
struct BatchEntry {
  /// Either the ids of the new tokens or their embeddings; all entries of a batch the same way.
  std::span<const std::int32_t> token_ids;     // [n]
  std::span<const float> inputs_embeds;        // [n, H]; must live until the forward pass
  std::span<const std::int64_t> position_ids;  // [n], for the rotary embedding
  std::int32_t num_cached_tokens = 0;          // tokens before them, already in the cache
  const SequenceBlocks* blocks = nullptr;      // with room for all of them
  /// Quantised blocks that hold the first tokens; `blocks` begins behind them.
  const SequenceBlocks* quantized_blocks = nullptr;
  /// Keys that attention may see of the sequence; default: num_cached_tokens + n. More in a cache
  /// of fixed capacity.
  std::optional<std::int32_t> context_len;
  /// Where in the sequence's cache each new token goes; default: behind the cached ones.
  std::span<const std::int64_t> cache_positions;  // [n] or empty
  /// New token i sees the keys key_begin[i] <= c < key_end[i]; default: from 0 up to itself.
  std::span<const std::int32_t> key_begin;  // [n] or empty
  std::span<const std::int32_t> key_end;    // [n] or empty
  /// Optional padding mask over all context_len keys, 1 = real.
  std::span<const std::uint8_t> key_mask;
};

/// Ragged batch of T tokens in S sequences. Reused from step to step: clear() keeps the memory.
class Batch {
 public:
  void clear();
  /// Takes the memory of a batch of so many tokens and sequences now, their block tables included.
  void plan(std::int64_t num_tokens, std::int64_t num_seqs, std::int64_t table_blocks);
  /// Throws kInternal when the parts of the entry do not fit together.
  void add(const BatchEntry& entry);
  /// Completes the block tables and masks; call once after the last add().
  void finish();

  [[nodiscard]] std::int64_t num_tokens() const {
    return static_cast<std::int64_t>(position_ids.size());
  }
  [[nodiscard]] std::int64_t num_seqs() const {
    return static_cast<std::int64_t>(context_lens.size());
  }

  std::vector<std::int32_t> token_ids;  // [T], or empty
  /// Of every sequence [n, H], or empty.
  std::vector<std::span<const float>> inputs_embeds;
  std::vector<std::int64_t> position_ids;   // [T]
  std::vector<std::int64_t> slot_mapping;   // [T]
  std::vector<std::int32_t> key_begin;      // [T]
  std::vector<std::int32_t> key_end;        // [T]
  std::vector<std::int32_t> cu_seqlens{0};  // [S + 1]
  std::vector<std::int32_t> context_lens;   // [S]
  std::vector<std::int32_t> block_tables;   // [S, max_blocks = 2^n], -1 behind the end
  std::vector<std::uint8_t> key_mask;       // [S, max_context_len] or empty
  std::int64_t max_blocks = 0;
  std::int64_t max_context_len = 0;
  std::int64_t max_queries = 0;  // the most new tokens of a sequence

 private:
  struct Pending {
    const SequenceBlocks* blocks;
    const SequenceBlocks* quantized_blocks;
    std::span<const std::uint8_t> key_mask;
  };
  void add_tokens(const BatchEntry& entry, std::int32_t context_len);
  void fill_key_mask();

  std::vector<Pending> pending_;
};

}  // namespace m2
