#include "ops/kv_cache_view.h"

#include "base/error.h"
#include "ops/contract.h"

namespace m2 {

DType storage_dtype(KvFormat format) {
  switch (format) {
    case KvFormat::kF32:
      return DType::kF32;
    case KvFormat::kBF16:
      return DType::kBF16;
  }
  fail(ErrorCode::kInternal, "unknown KV cache format ", static_cast<int>(format));
}

namespace {

void check_quantized(const char* op, const KvCacheView& cache) {
  const QuantizedBlocksView& blocks = cache.quantized;
  const Shape& keys = cache.keys.shape;
  M2_CHECK((blocks.bits == 8 || blocks.bits == 4) && blocks.group_size > 0 &&
               keys[3] % blocks.group_size == 0 && blocks.group_size * blocks.bits % 8 == 0,
           op, ": quantised blocks of ", blocks.bits, " bits in groups of ", blocks.group_size,
           " do not fit keys ", keys);
  M2_CHECK(cache.format == KvFormat::kF32, op, ": blocks beside quantised ones must be F32, got ",
           dtype_name(cache.keys.dtype));
  check_tensor(op, "quantized keys", blocks.keys, DType::kU8, 4);
  const Shape codes = {blocks.keys.shape[0], keys[1], keys[2], keys[3] * blocks.bits / 8};
  const Shape groups = {codes[0], keys[1], keys[2], keys[3] / blocks.group_size, 2};
  check_shape(op, "quantized keys", blocks.keys, DType::kU8, codes, "keys", keys);
  check_shape(op, "quantized values", blocks.values, DType::kU8, codes, "keys", keys);
  check_shape(op, "key_groups", blocks.key_groups, DType::kF32, groups, "keys", keys);
  check_shape(op, "value_groups", blocks.value_groups, DType::kF32, groups, "keys", keys);
}

}  // namespace

void load_vector(const KvCacheView& cache, KvPart part, std::int64_t block, std::int64_t kv_head,
                 std::int64_t offset, std::span<float> vector) {
  const bool is_key = part == KvPart::kKeys;
  const bool exact = block < kFirstQuantizedBlock;
  const std::int64_t index = exact ? block : block - kFirstQuantizedBlock;
  const std::int64_t row = (index * cache.num_kv_heads() + kv_head) * cache.block_size() + offset;
  if (exact) {
    const TensorView& stored = is_key ? cache.keys : cache.values;
    for (std::int64_t dim = 0; dim < cache.head_dim(); ++dim) {
      vector[static_cast<std::size_t>(dim)] =
          load_float(stored.data, stored.dtype, row * cache.head_dim() + dim);
    }
    return;
  }
  const QuantizedBlocksView& blocks = cache.quantized;
  const TensorView& codes = is_key ? blocks.keys : blocks.values;
  const TensorView& groups = is_key ? blocks.key_groups : blocks.value_groups;
  dequantize_vector(codes.as<std::uint8_t>() + row * codes.shape[3],
                    groups.as<float>() + row * groups.shape[3] * 2, blocks.bits, blocks.group_size,
                    vector);
}

void check_cache(const char* op, const KvCacheView& cache) {
  check_tensor(op, "keys", cache.keys, storage_dtype(cache.format), 4);
  check_shape(op, "values", cache.values, cache.keys.dtype, cache.keys.shape, "keys",
              cache.keys.shape);
  if (cache.quantized.present()) check_quantized(op, cache);
}

}  // namespace m2
