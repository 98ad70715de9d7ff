// Root-mean-square layer norm.
#pragma once

#include "m2/tensor.h"

namespace m2 {

struct RmsNormArgs {
  TensorView input;   // [T, H] f32
  TensorView weight;  // [H] f32
  float eps = 1e-6F;
  TensorView output;  // [T, H] f32; may be the input
};

void check(const RmsNormArgs& args);

namespace reference {
/// output = weight * (input * rsqrt(mean(input^2) + eps)), in float32 (MiniMaxM2RMSNorm).
void rms_norm(const RmsNormArgs& args);
}  // namespace reference
}  // namespace m2
