#include "ops/kv_cache_view.h"

#include <algorithm>

#include "base/error.h"
#include "ops/contract.h"

namespace m2 {

DType storage_dtype(KvFormat format) {
  switch (format) {
    case KvFormat::kF32:
      return DType::kF32;
    case KvFormat::kBF16:
      return DType::kBF16;
    case KvFormat::kF8E4M3:
      return DType::kF8E4M3;
    case KvFormat::kInt8:
      return DType::kU8;
  }
  fail(ErrorCode::kInternal, "unknown KV cache format ", static_cast<int>(format));
}

std::int64_t int8_group_size(std::int64_t head_dim) {
  constexpr std::int64_t kGroupSize = 64;
  return head_dim % kGroupSize == 0 ? kGroupSize : head_dim;
}

std::int64_t kv_vector_bytes(KvFormat format, std::int64_t head_dim) {
  const std::int64_t bytes =
      head_dim * static_cast<std::int64_t>(dtype_size(storage_dtype(format)));
  if (format != KvFormat::kInt8) return bytes;
  return bytes +
         head_dim / int8_group_size(head_dim) * 2 * static_cast<std::int64_t>(sizeof(float));
}

std::optional<KvFormat> kv_format_from_name(std::string_view name) {
  if (name == "auto") return std::nullopt;
  if (name == "float32") return KvFormat::kF32;
  if (name == "bfloat16") return KvFormat::kBF16;
  if (name == "fp8") return KvFormat::kF8E4M3;
  if (name == "int8") return KvFormat::kInt8;
  fail(ErrorCode::kInvalidArgument,
       "kv_cache_dtype: expected \"auto\", \"float32\", \"bfloat16\", \"fp8\" or "
       "\"int8\", got \"",
       name, "\"");
}

namespace {

void check_quantized(const char* op, const KvCacheView& cache) {
  const QuantizedBlocksView& blocks = cache.quantized;
  const Shape& keys = cache.keys.shape;
  M2_CHECK((blocks.bits == 8 || blocks.bits == 4) && blocks.group_size > 0 &&
               keys[3] % blocks.group_size == 0 && blocks.group_size * blocks.bits % 8 == 0,
           op, ": quantised blocks of ", blocks.bits, " bits in groups of ", blocks.group_size,
           " do not fit keys ", keys);
  const bool exact = cache.format == KvFormat::kF32 || cache.format == KvFormat::kInt8;
  M2_CHECK(exact, op, ": blocks beside quantised ones must be F32, got ",
           dtype_name(cache.keys.dtype));
  M2_CHECK(
      cache.format != KvFormat::kInt8 || (blocks.bits == 8 && blocks.keys.data == cache.keys.data &&
                                          blocks.values.data == cache.values.data),
      op, ": the codes of an INT8 cache are not its keys and values");
  check_tensor(op, "quantized keys", blocks.keys, DType::kU8, 4);
  const Shape codes = {blocks.keys.shape[0], keys[1], keys[2], keys[3] * blocks.bits / 8};
  const Shape groups = {codes[0], keys[1], keys[2], keys[3] / blocks.group_size, 2};
  check_shape(op, "quantized keys", blocks.keys, DType::kU8, codes, "keys", keys);
  check_shape(op, "quantized values", blocks.values, DType::kU8, codes, "keys", keys);
  check_shape(op, "key_groups", blocks.key_groups, DType::kF32, groups, "keys", keys);
  check_shape(op, "value_groups", blocks.value_groups, DType::kF32, groups, "keys", keys);
}

}  // namespace

namespace {

// Which vector of all blocks of its kind.
std::int64_t row_of(const KvCacheView& cache, const CacheVector& at) {
  const std::int64_t block = at.block % kFirstQuantizedBlock;
  return (block * cache.num_kv_heads() + at.kv_head) * cache.block_size() + at.offset;
}

struct Codes {
  std::uint8_t* codes;  // [D * bits / 8]
  float* groups;        // [D / G, 2]
};

Codes codes_of(const QuantizedBlocksView& blocks, KvPart part, std::int64_t row) {
  const bool is_key = part == KvPart::kKeys;
  const TensorView& codes = is_key ? blocks.keys : blocks.values;
  const TensorView& groups = is_key ? blocks.key_groups : blocks.value_groups;
  return {codes.as<std::uint8_t>() + row * codes.shape[3],
          groups.as<float>() + row * groups.shape[3] * 2};
}

}  // namespace

void load_vector(const KvCacheView& cache, KvPart part, const CacheVector& at,
                 std::span<float> vector) {
  const std::int64_t row = row_of(cache, at);
  const QuantizedBlocksView& blocks = cache.quantized;
  if (cache.has_codes(at.block)) {
    const auto [codes, groups] = codes_of(blocks, part, row);
    return dequantize_vector(codes, groups, blocks.bits, blocks.group_size, vector);
  }
  const TensorView& stored = part == KvPart::kKeys ? cache.keys : cache.values;
  for (std::int64_t dim = 0; dim < cache.head_dim(); ++dim) {
    vector[static_cast<std::size_t>(dim)] =
        load_float(stored.data, stored.dtype, row * cache.head_dim() + dim);
  }
}

void store_vector(const KvCacheView& cache, KvPart part, const CacheVector& at,
                  std::span<const float> vector) {
  const std::int64_t row = row_of(cache, at);
  const std::int64_t first = row * cache.head_dim();
  const TensorView& stored = part == KvPart::kKeys ? cache.keys : cache.values;
  switch (cache.format) {
    case KvFormat::kF32:
      std::ranges::copy(vector, stored.as<float>() + first);
      break;
    case KvFormat::kBF16:
      std::ranges::transform(vector, stored.as<bf16>() + first, to_bf16);
      break;
    case KvFormat::kF8E4M3:
      std::ranges::transform(vector, stored.as<f8e4m3>() + first, to_f8e4m3);
      break;
    case KvFormat::kInt8: {
      const auto [codes, groups] = codes_of(cache.quantized, part, row);
      quantize_vector(vector, cache.quantized.bits, cache.quantized.group_size, codes, groups);
    }
  }
}

void check_cache(const char* op, const KvCacheView& cache) {
  check_tensor(op, "keys", cache.keys, storage_dtype(cache.format), 4);
  check_shape(op, "values", cache.values, cache.keys.dtype, cache.keys.shape, "keys",
              cache.keys.shape);
  M2_CHECK(cache.format != KvFormat::kInt8 || cache.quantized.present(), op,
           ": an INT8 cache without groups");
  if (cache.quantized.present()) check_quantized(op, cache);
}

}  // namespace m2
