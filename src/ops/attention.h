// Causal attention of a ragged batch over the block KV cache.
#pragma once

#include <cstdint>
#include <span>

#include "m2/tensor.h"

namespace m2 {

/// What a query without any visible key gives (left padding).
enum class FullyMasked {
  kZero,     ///< zeros, as the fused library kernels do ("sdpa")
  kUniform,  ///< the mean over all context_len values, future ones included ("eager")
};

struct AttentionArgs {
  TensorView q;            // [T, Nq, D] f32, after norm and rope
  TensorView key_cache;    // [P, Nkv, B, D] f32 or bf16
  TensorView value_cache;  // [P, Nkv, B, D], same dtype
  // Sequence s owns the queries cu_seqlens[s] .. cu_seqlens[s + 1] - 1; its cache holds
  // context_lens[s] keys, the new ones included (already appended), so that query i of n has the
  // index context_lens[s] - n + i and sees the keys up to it.
  std::span<const std::int32_t> cu_seqlens;    // [S + 1]
  std::span<const std::int32_t> context_lens;  // [S]
  std::span<const std::int32_t> block_tables;  // [S, max_blocks], row-major
  std::int64_t max_blocks = 0;
  // Optional padding mask: key c of sequence s is visible only if key_mask[s * mask_stride + c].
  std::span<const std::uint8_t> key_mask;  // [S, mask_stride] or empty
  std::int64_t mask_stride = 0;
  FullyMasked fully_masked = FullyMasked::kZero;
  float scale = 1.0F;        // D^-0.5
  TensorView output;         // [T, Nq, D] f32
  // Optional, for study: probabilities after the softmax, [S, Nq, Q, C] f32 where every sequence
  // has Q queries and C keys.
  TensorView probabilities;
};

void check(const AttentionArgs& args);

namespace reference {
/// softmax(q k^T * scale) v; query head h uses KV head h / (Nq / Nkv). Softmax in float32.
void attention(const AttentionArgs& args);
}  // namespace reference
}  // namespace m2
