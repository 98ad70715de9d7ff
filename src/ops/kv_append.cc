#include "ops/kv_append.h"

#include "base/error.h"
#include "ops/contract.h"

namespace m2 {

void check(const KvAppendArgs& args) {
  check_cache("kv_append", args.key_cache, args.value_cache);
  check_tensor("kv_append", "k", args.k, DType::kF32, 3);
  const Shape& k = args.k.shape;
  check_shape("kv_append", "v", args.v, DType::kF32, k, "k", k);
  const Shape& cache = args.key_cache.shape;
  M2_CHECK(k[1] == cache[1] && k[2] == cache[3], "kv_append: key_cache ", cache,
           " does not match k ", k);
  M2_CHECK(static_cast<std::int64_t>(args.slot_mapping.size()) == k[0],
           "kv_append: slot_mapping of ", args.slot_mapping.size(), " does not match k ", k);
  for (const auto slot : args.slot_mapping) {
    M2_CHECK(slot >= 0 && slot < cache[0] * cache[2], "kv_append: slot ", slot,
             " is outside key_cache ", cache);
  }
}

namespace reference {
namespace {

void store(const TensorView& cache, std::int64_t index, float value) {
  if (cache.dtype == DType::kF32) {
    cache.as<float>()[index] = value;
  } else {
    cache.as<bf16>()[index] = to_bf16(value);
  }
}

}  // namespace

void kv_append(const KvAppendArgs& args) {
  check(args);
  const std::int64_t num_heads = args.k.shape[1];
  const std::int64_t head_dim = args.k.shape[2];
  const std::int64_t block_size = args.key_cache.shape[2];
  for (std::int64_t token = 0; token < args.k.shape[0]; ++token) {
    const std::int64_t slot = args.slot_mapping[static_cast<std::size_t>(token)];
    const std::int64_t block = slot / block_size;
    const std::int64_t offset = slot % block_size;
    for (std::int64_t head = 0; head < num_heads; ++head) {
      const std::int64_t from = (token * num_heads + head) * head_dim;
      const std::int64_t to = ((block * num_heads + head) * block_size + offset) * head_dim;
      for (std::int64_t dim = 0; dim < head_dim; ++dim) {
        store(args.key_cache, to + dim, args.k.as<float>()[from + dim]);
        store(args.value_cache, to + dim, args.v.as<float>()[from + dim]);
      }
    }
  }
}

}  // namespace reference
}  // namespace m2
