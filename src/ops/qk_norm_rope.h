// The norm of the whole q and k projections, then the partial rotary embedding.
#pragma once

#include <cstdint>

#include "m2/tensor.h"

namespace m2 {

struct QkNormRopeArgs {
  TensorView q;         // [T, Nq * D] f32, in place
  TensorView k;         // [T, Nkv * D] f32, in place
  TensorView q_weight;  // [Nq * D] f32
  TensorView k_weight;  // [Nkv * D] f32
  float eps = 1e-6F;
  TensorView cos;  // [T, R / 2] f32, attention scale of the rope type included
  TensorView sin;  // [T, R / 2] f32
  std::int64_t head_dim = 0;  // D; R <= D
};

void check(const QkNormRopeArgs& args);

namespace reference {
/// RMSNorm with one mean over all heads of a token, before the split into heads. Then in every
/// head, for j < R / 2 (half-split pairing):
///   out[j]         = x[j] * cos[j] - x[j + R/2] * sin[j]
///   out[j + R / 2] = x[j + R/2] * cos[j] + x[j] * sin[j]
/// and the dimensions from R on pass through.
void qk_norm_rope(const QkNormRopeArgs& args);
}  // namespace reference
}  // namespace m2
