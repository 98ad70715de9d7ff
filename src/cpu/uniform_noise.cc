#include "ops/uniform_noise.h"

#include <algorithm>

#include "cpu/context.h"

namespace m2::cpu {

void uniform_noise(const UniformNoiseArgs& args, Context& context) {
  check(args);
  constexpr std::int64_t kStep = 4096;
  const std::int64_t size = args.values.num_elements();
  float* values = args.values.as<float>();
  context.lanes.run((size + kStep - 1) / kStep, [&](std::int64_t task, Buffer&) {
    const std::int64_t end = std::min(size, (task + 1) * kStep);
    for (std::int64_t i = task * kStep; i < end; ++i) values[i] *= noise_factor(args, i);
  });
}

}  // namespace m2::cpu
