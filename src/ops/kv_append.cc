#include "ops/kv_append.h"

#include <cstdint>

#include "base/error.h"
#include "ops/contract.h"

namespace m2 {

void check(const KvAppendArgs& args) {
  check_cache("kv_append", args.cache);
  check_tensor("kv_append", "k", args.k, DType::kF32, 3);
  const Shape& k = args.k.shape;
  check_shape("kv_append", "v", args.v, DType::kF32, k, "k", k);
  M2_CHECK(k[1] == args.cache.num_kv_heads() && k[2] == args.cache.head_dim(), "kv_append: keys ",
           args.cache.keys.shape, " does not match k ", k);
  check_shape("kv_append", "slot_mapping", args.slot_mapping, DType::kI64, {k[0]}, "k", k);
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
  const std::int64_t block_size = args.cache.block_size();
  for (std::int64_t token = 0; token < args.k.shape[0]; ++token) {
    const std::int64_t slot = args.slot_mapping.as<std::int64_t>()[token];
    M2_DCHECK(slot >= 0 && slot < args.cache.num_blocks() * block_size, "kv_append: slot ", slot,
              " is outside keys ", args.cache.keys.shape);
    const std::int64_t block = slot / block_size;
    const std::int64_t offset = slot % block_size;
    for (std::int64_t head = 0; head < num_heads; ++head) {
      const std::int64_t from = (token * num_heads + head) * head_dim;
      const std::int64_t to = ((block * num_heads + head) * block_size + offset) * head_dim;
      for (std::int64_t dim = 0; dim < head_dim; ++dim) {
        store(args.cache.keys, to + dim, args.k.as<float>()[from + dim]);
        store(args.cache.values, to + dim, args.v.as<float>()[from + dim]);
      }
    }
  }
}

}  // namespace reference
}  // namespace m2
