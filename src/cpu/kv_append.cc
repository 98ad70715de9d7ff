#include "ops/kv_append.h"

#include <algorithm>

#include "base/error.h"
#include "cpu/context.h"

namespace m2::cpu {
namespace {

// One head of a token into its place in the cache.
void store_head(const float* from, std::int64_t head_dim, const TensorView& cache,
                std::int64_t index) {
  if (cache.dtype == DType::kF32) {
    std::copy_n(from, head_dim, cache.as<float>() + index);
  } else {
    std::transform(from, from + head_dim, cache.as<bf16>() + index,
                   [](float value) { return to_bf16(value); });
  }
}

}  // namespace

void kv_append(const KvAppendArgs& args, Context& context) {
  check(args);
  const std::int64_t num_heads = args.k.shape[1];
  const std::int64_t head_dim = args.k.shape[2];
  const std::int64_t block_size = args.cache.block_size();
  const float* k = args.k.as<float>();
  const float* v = args.v.as<float>();
  const auto* slot_mapping = args.slot_mapping.as<std::int64_t>();
  context.lanes.run(args.k.shape[0], [&](std::int64_t token, Buffer&) {
    const std::int64_t slot = slot_mapping[token];
    M2_DCHECK(slot >= 0 && slot < args.cache.num_blocks() * block_size, "kv_append: slot ", slot,
              " is outside keys ", args.cache.keys.shape);
    const std::int64_t first_head = slot / block_size * num_heads;
    for (std::int64_t head = 0; head < num_heads; ++head) {
      const std::int64_t from = (token * num_heads + head) * head_dim;
      const std::int64_t to = ((first_head + head) * block_size + slot % block_size) * head_dim;
      store_head(k + from, head_dim, args.cache.keys, to);
      store_head(v + from, head_dim, args.cache.values, to);
    }
  });
}

}  // namespace m2::cpu
