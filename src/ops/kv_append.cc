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

void kv_append(const KvAppendArgs& args) {
  check(args);
  const std::int64_t num_heads = args.k.shape[1];
  const auto head_dim = static_cast<std::size_t>(args.k.shape[2]);
  const std::int64_t block_size = args.cache.block_size();
  for (std::int64_t token = 0; token < args.k.shape[0]; ++token) {
    const std::int64_t slot = args.slot_mapping.as<std::int64_t>()[token];
    M2_DCHECK(slot >= 0 && slot < args.cache.num_blocks() * block_size, "kv_append: slot ", slot,
              " is outside keys ", args.cache.keys.shape);
    for (std::int64_t head = 0; head < num_heads; ++head) {
      const std::int64_t row = token * num_heads + head;
      const CacheVector to = {slot / block_size, head, slot % block_size};
      store_vector(args.cache, KvPart::kKeys, to,
                   {args.k.as<float>() + row * args.k.shape[2], head_dim});
      store_vector(args.cache, KvPart::kValues, to,
                   {args.v.as<float>() + row * args.k.shape[2], head_dim});
    }
  }
}

}  // namespace reference
}  // namespace m2
