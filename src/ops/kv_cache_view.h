// How the operations see one layer of the KV cache.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "m2/tensor.h"
#include "ops/quantized_blocks.h"

namespace m2 {

enum class KvFormat {
  kF32,
  kBF16,
  kF8E4M3,  ///< without scales: numbers beyond 448 saturate, steps below 2^-6 are 2^-9
  kInt8,    ///< codes with groups, as in ops/quantized_blocks.h; only in the host's memory
};

enum class KvPart {
  kKeys,
  kValues,
};

/// One head of a block is contiguous.
struct KvCacheView {
  TensorView keys;    // [P, Nkv, B, D] f32, bf16, f8_e4m3 or u8 codes
  TensorView values;  // the same
  KvFormat format = KvFormat::kF32;
  /// Optional: what block numbers from kFirstQuantizedBlock on mean. Only for backends that work in
  /// the host's memory; new tokens never go there. With kInt8, where no such numbers are, it tells
  /// how to read the keys and values above: it views the same codes, and their groups.
  QuantizedBlocksView quantized;

  [[nodiscard]] std::int64_t num_blocks() const { return keys.shape[0]; }
  [[nodiscard]] std::int64_t num_kv_heads() const { return keys.shape[1]; }
  [[nodiscard]] std::int64_t block_size() const { return keys.shape[2]; }
  [[nodiscard]] std::int64_t head_dim() const { return keys.shape[3]; }
  /// True when the vectors of a block are codes in `quantized`.
  [[nodiscard]] bool has_codes(std::int64_t block) const {
    return format == KvFormat::kInt8 || block >= kFirstQuantizedBlock;
  }
};

/// The element type of keys and values.
[[nodiscard]] DType storage_dtype(KvFormat format);
/// Numbers that share a scale in kInt8: 64, or a whole head of another size.
[[nodiscard]] std::int64_t int8_group_size(std::int64_t head_dim);
/// Bytes of a key or a value [D].
[[nodiscard]] std::int64_t kv_vector_bytes(KvFormat format, std::int64_t head_dim);

/// What --kv-cache-dtype takes: "float32", "bfloat16", "fp8" or "int8"; nothing for "auto".
/// Throws kInvalidArgument for other names.
[[nodiscard]] std::optional<KvFormat> kv_format_from_name(std::string_view name);

/// A head of token `offset` of a block.
struct CacheVector {
  std::int64_t block;
  std::int64_t kv_head;
  std::int64_t offset;
};

/// A key or value as numbers, `vector` [D], whichever kind of block it lies in. In the host's
/// memory.
void load_vector(const KvCacheView& cache, KvPart part, const CacheVector& at,
                 std::span<float> vector);
/// The other way round, for blocks that take new tokens.
void store_vector(const KvCacheView& cache, KvPart part, const CacheVector& at,
                  std::span<const float> vector);

/// Throws kInternal unless shapes and types are those of the format.
void check_cache(const char* op, const KvCacheView& cache);

}  // namespace m2
