// Rows of the embedding table.
#pragma once

#include "quant/weight_view.h"

namespace m2 {

struct EmbeddingArgs {
  TensorView token_ids;  // [T] i32, each in [0, V): the caller has checked
  WeightView weight;     // [V, H]
  TensorView output;     // [T, H] f32
};

void check(const EmbeddingArgs& args);

namespace reference {
/// output[t] = weight[token_ids[t]].
void embedding(const EmbeddingArgs& args);
}  // namespace reference
}  // namespace m2
