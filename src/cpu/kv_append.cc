#include "ops/kv_append.h"

#include <cstdint>

#include "base/error.h"
#include "cpu/context.h"

namespace m2::cpu {
void kv_append(const KvAppendArgs& args, Context& context) {
  check(args);
  const std::int64_t num_heads = args.k.shape[1];
  const std::int64_t head_dim = args.k.shape[2];
  const std::int64_t block_size = args.cache.block_size();
  const float* k = args.k.as<float>();
  const float* v = args.v.as<float>();
  const auto* slot_mapping = args.slot_mapping.as<std::int64_t>();
  context.lanes.run_short(
      args.k.shape[0], 2 * num_heads * head_dim, [&](std::int64_t token, Buffer&) {
        const std::int64_t slot = slot_mapping[token];
        M2_DCHECK(slot >= 0 && slot < args.cache.num_blocks() * block_size, "kv_append: slot ",
                  slot, " is outside keys ", args.cache.keys.shape);
        for (std::int64_t head = 0; head < num_heads; ++head) {
          const std::int64_t from = (token * num_heads + head) * head_dim;
          const CacheVector to = {slot / block_size, head, slot % block_size};
          store_vector(args.cache, KvPart::kKeys, to,
                       {k + from, static_cast<std::size_t>(head_dim)});
          store_vector(args.cache, KvPart::kValues, to,
                       {v + from, static_cast<std::size_t>(head_dim)});
        }
      });
}

}  // namespace m2::cpu
