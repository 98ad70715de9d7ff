// Multiplicative noise on activations: the router jitter of training.
#pragma once

#include <cstdint>

#include "m2/tensor.h"

namespace m2 {

struct UniformNoiseArgs {
  TensorView values;    // f32, any shape, in place
  float jitter = 0.0F;  // j
  std::uint64_t seed = 0;
};

void check(const UniformNoiseArgs& args);

/// The factor of element `index`, in [1 - j, 1 + j): four elements share a Philox counter.
[[nodiscard]] float noise_factor(const UniformNoiseArgs& args, std::int64_t index);

namespace reference {
/// values[i] *= U(1 - j, 1 + j), drawn from (seed, i).
void uniform_noise(const UniformNoiseArgs& args);
}  // namespace reference
}  // namespace m2
