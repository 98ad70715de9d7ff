// Rows of the embedding table.
#pragma once

#include <cstdint>
#include <span>

#include "quant/weight_view.h"

namespace m2 {

struct EmbeddingArgs {
  std::span<const std::int32_t> token_ids;  // [T], each in [0, V)
  WeightView weight;                        // [V, H]
  TensorView output;                        // [T, H] f32
};

void check(const EmbeddingArgs& args);

namespace reference {
/// output[t] = weight[token_ids[t]].
void embedding(const EmbeddingArgs& args);
}  // namespace reference
}  // namespace m2
