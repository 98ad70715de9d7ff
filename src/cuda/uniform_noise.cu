#include "ops/uniform_noise.h"

#include "base/philox.h"
#include "cuda/context.h"
#include "cuda/launch.cuh"

namespace m2::cuda {
namespace {

// A thread draws the four numbers of one counter and uses them for four neighbours.
__global__ void uniform_noise_kernel(float* values, std::int64_t count, float jitter,
                                     std::uint64_t seed) {
  begin_kernel();
  const std::int64_t counter = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  const auto words = philox4x32(
      {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32U), 0, 0},
      philox_key(seed));
  for (int i = 0; i < 4 && 4 * counter + i < count; ++i) {
    // Not contracted to a fused multiply-add, so that the factor has the bits of noise_factor().
    const float spread = __fmul_rn(unit_float(words[i]), 2.0F * jitter);
    values[4 * counter + i] *= __fadd_rn(1.0F - jitter, spread);
  }
}

}  // namespace

void uniform_noise(const UniformNoiseArgs& args, Context& context) {
  check(args);
  const std::int64_t count = args.values.num_elements();
  if (count == 0) return;
  constexpr int kThreads = 256;
  const auto num_blocks = static_cast<unsigned>((count + 4 * kThreads - 1) / (4 * kThreads));
  launch_kernel(context, uniform_noise_kernel, num_blocks, kThreads, 0, args.values.as<float>(),
                count, args.jitter, args.seed);
  check_launch("uniform_noise");
}

}  // namespace m2::cuda
