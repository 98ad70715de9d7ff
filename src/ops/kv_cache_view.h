// How the operations see one layer of the KV cache.
#pragma once

#include <cstdint>
#include <span>

#include "m2/tensor.h"
#include "ops/quantized_blocks.h"

namespace m2 {

enum class KvFormat {
  kF32,
  kBF16,
};

enum class KvPart {
  kKeys,
  kValues,
};

/// One head of a block is contiguous.
struct KvCacheView {
  TensorView keys;    // [P, Nkv, B, D] f32 or bf16
  TensorView values;  // the same
  KvFormat format = KvFormat::kF32;
  /// Optional: what block numbers from kFirstQuantizedBlock on mean. Only for backends that work in
  /// the host's memory; new tokens never go there.
  QuantizedBlocksView quantized;

  [[nodiscard]] std::int64_t num_blocks() const { return keys.shape[0]; }
  [[nodiscard]] std::int64_t num_kv_heads() const { return keys.shape[1]; }
  [[nodiscard]] std::int64_t block_size() const { return keys.shape[2]; }
  [[nodiscard]] std::int64_t head_dim() const { return keys.shape[3]; }
};

/// The element type of keys and values.
[[nodiscard]] DType storage_dtype(KvFormat format);

/// The key or value of a token as numbers, `vector` [D]: token `offset` of `block`, whichever kind
/// of block it is. In the host's memory.
void load_vector(const KvCacheView& cache, KvPart part, std::int64_t block, std::int64_t kv_head,
                 std::int64_t offset, std::span<float> vector);

/// Throws kInternal unless shapes and types are those of the format.
void check_cache(const char* op, const KvCacheView& cache);

}  // namespace m2
