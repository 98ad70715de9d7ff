// Writes new keys and values into the blocks of the KV cache.
#pragma once

#include "ops/kv_cache_view.h"

namespace m2 {

struct KvAppendArgs {
  TensorView k;             // [T, Nkv, D] f32, after norm and rope
  TensorView v;             // [T, Nkv, D] f32
  TensorView slot_mapping;  // [T] i64: block * block_size + offset in the block, no two the same
  KvCacheView cache;
};

void check(const KvAppendArgs& args);

namespace reference {
void kv_append(const KvAppendArgs& args);
}  // namespace reference
}  // namespace m2
