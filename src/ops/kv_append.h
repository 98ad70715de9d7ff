// Writes new keys and values into the blocks of the KV cache.
#pragma once

#include <cstdint>
#include <span>

#include "m2/tensor.h"

namespace m2 {

struct KvAppendArgs {
  TensorView k;  // [T, Nkv, D] f32, after norm and rope
  TensorView v;  // [T, Nkv, D] f32
  std::span<const std::int64_t> slot_mapping;  // [T]: block * block_size + offset in the block
  TensorView key_cache;    // [P, Nkv, B, D] f32 or bf16: one head of a block is contiguous
  TensorView value_cache;  // the same
};

void check(const KvAppendArgs& args);

namespace reference {
void kv_append(const KvAppendArgs& args);
}  // namespace reference
}  // namespace m2
