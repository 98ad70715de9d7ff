#include "ops/uniform_noise.h"

#include <cmath>

#include "base/error.h"
#include "base/philox.h"
#include "ops/contract.h"

namespace m2 {

void check(const UniformNoiseArgs& args) {
  check_tensor("uniform_noise", "values", args.values, DType::kF32, args.values.shape.rank());
  M2_CHECK(std::isfinite(args.jitter) && args.jitter >= 0.0F, "uniform_noise: jitter ",
           args.jitter);
}

float noise_factor(const UniformNoiseArgs& args, std::int64_t index) {
  const auto counter = static_cast<std::uint64_t>(index) / 4;
  const auto words = philox4x32(
      {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32U), 0, 0},
      philox_key(args.seed));
  const float unit = unit_float(words[static_cast<std::size_t>(index % 4)]);
  return (1.0F - args.jitter) + unit * (2.0F * args.jitter);
}

namespace reference {

void uniform_noise(const UniformNoiseArgs& args) {
  check(args);
  float* values = args.values.as<float>();
  for (std::int64_t i = 0; i < args.values.num_elements(); ++i) values[i] *= noise_factor(args, i);
}

}  // namespace reference
}  // namespace m2
