// Matrix product with a weight of any storage.
#pragma once

#include "quant/weight_view.h"

namespace m2 {

struct LinearArgs {
  TensorView input;   // [T, K] f32
  WeightView weight;  // [N, K]
  TensorView output;  // [T, N] f32; must not overlap the input
  bool accumulate = false;  // output += instead of output =: the residual connection
};

void check(const LinearArgs& args);

namespace reference {
/// output[t, n] = sum_k input[t, k] * weight[n, k], accumulated in float64.
void linear(const LinearArgs& args);
}  // namespace reference
}  // namespace m2
