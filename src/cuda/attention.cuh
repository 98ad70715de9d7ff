// What the two attention kernels share: how they find queries, keys and values.
#pragma once

#include "cuda/context.h"
#include "ops/attention.h"

namespace m2::cuda {

/// The arguments as kernels see them.
struct AttentionView {
  const float* q;                    // [T, Nq, D]
  const void* keys;                  // [P, Nkv, B, D]
  const void* values;                // [P, Nkv, B, D]
  const std::int32_t* cu_seqlens;    // [S + 1]
  const std::int32_t* context_lens;  // [S]
  const std::int32_t* key_begin;     // [T]
  const std::int32_t* key_end;       // [T]
  const std::int32_t* block_tables;  // [S, max_blocks]
  const std::uint8_t* key_mask;      // [S, key_mask_cols] or absent
  const void* mask;                  // [mask_seqs, mask_heads, Q, C] f32 or bool, or absent
  float* output;                     // [T, Nq, D]
  float* probabilities;              // [S, Nq, Q, C] or absent
  int num_seqs;
  int num_heads;
  int num_kv_heads;
  int head_dim;
  int block_size;
  int max_blocks;
  int key_mask_cols;
  int mask_seqs;
  int mask_heads;
  int max_queries;
  int max_context_len;
  bool mask_is_bool;
  bool uniform_when_masked;
  float scale;
  float dropout;
  std::uint64_t dropout_seed;

  /// Row of the cache, in units of D, of a key of a sequence.
  __device__ std::int64_t cache_row(int sequence, int kv_head, int key) const {
    const std::int64_t block = block_tables[std::int64_t{sequence} * max_blocks + key / block_size];
    return (block * num_kv_heads + kv_head) * block_size + key % block_size;
  }
  __device__ bool padding(int sequence, int key) const {
    return key_mask != nullptr && key_mask[std::int64_t{sequence} * key_mask_cols + key] == 0;
  }
};

[[nodiscard]] AttentionView attention_view(const AttentionArgs& args);

/// Every option, cache format and head size; one block for each token and head.
void plain_attention(const AttentionArgs& args, Context& context);

/// Whether streaming_attention can do it: a BF16 cache, or an F8 one with bulk copies, head sizes
/// that it is built for, neither 4-D mask nor dropout nor probabilities.
[[nodiscard]] bool fits_streaming_attention(const AttentionArgs& args, const Context& context);
void streaming_attention(const AttentionArgs& args, Context& context);
/// Its part for F8 caches.
void f8_attention(const AttentionArgs& args, Context& context);

}  // namespace m2::cuda
