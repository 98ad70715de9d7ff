// Attention of a ragged batch over the block KV cache.
#pragma once

#include <cstdint>

#include "ops/kv_cache_view.h"

namespace m2 {

/// What a query without any visible key gives (left padding).
enum class FullyMasked {
  kZero,     ///< zeros, as the fused library kernels do ("sdpa")
  kUniform,  ///< the mean over all context_len values, hidden ones included ("eager")
};

struct AttentionArgs {
  TensorView q;       // [T, Nq, D] f32, after norm and rope
  KvCacheView cache;  // the new keys and values are already appended
  // Sequence s owns the queries cu_seqlens[s] .. cu_seqlens[s + 1] - 1 and context_lens[s] keys.
  TensorView cu_seqlens;    // [S + 1] i32
  TensorView context_lens;  // [S] i32
  // Query t sees the keys key_begin[t] <= c < key_end[t] <= context_len of its sequence, none when
  // the range is empty. Plain causal attention: 0 and the query's own index + 1.
  TensorView key_begin;              // [T] i32
  TensorView key_end;                // [T] i32
  TensorView block_tables;           // [S, max_blocks] i32
  std::int64_t max_context_len = 0;  // the largest of context_lens, or more without masks
  std::int64_t max_queries = 0;      // the most queries of a sequence
  // Both masks are optional and hide further keys; neither shows what a range hides.
  TensorView key_mask;  // [S, M >= max_context_len] u8: 0 hides key c of sequence s (padding)
  // f32 is added to the scaled scores, a bool hides where it is false. Every sequence then has Q =
  // max_queries queries and C = max_context_len keys.
  TensorView mask;  // [S or 1, Nq or 1, Q, C] f32 or bool
  FullyMasked fully_masked = FullyMasked::kZero;
  // Each probability is dropped with probability `dropout`, the others are divided by 1 - dropout.
  float dropout = 0.0F;
  std::uint64_t dropout_seed = 0;
  float scale = 1.0F;  // D^-0.5
  TensorView output;   // [T, Nq, D] f32
  // Optional, for study: probabilities after softmax and dropout, [S, Nq, Q, C] f32 where every
  // sequence has Q queries and C keys.
  TensorView probabilities;
};

/// Looks at shapes, types and scalars; the caller has checked lengths, ranges and tables.
void check(const AttentionArgs& args);

/// True when probability (s, head, query of the sequence, key) is dropped: Philox word 0 of the
/// counter (key, query, head, s) under the seed, as a number in [0, 1), is below the rate.
[[nodiscard]] bool dropped(const AttentionArgs& args, std::int64_t sequence, std::int64_t head,
                           std::int64_t query, std::int64_t key);

namespace reference {
/// dropout(softmax(q k^T * scale + mask)) v; query head h uses KV head h / (Nq / Nkv). Softmax in
/// float32.
void attention(const AttentionArgs& args);
}  // namespace reference
}  // namespace m2
