#include "ops/rms_norm.h"

#include "cuda/context.h"
#include "cuda/numeric.cuh"

namespace m2::cuda {
namespace {

constexpr int kThreads = 512;

// One block a token; reads the row twice, the second time from the cache.
__global__ void rms_norm_kernel(const float* input,   // [T, H]
                                const float* weight,  // [H]
                                float eps, std::int64_t hidden_size,
                                float* output) {  // [T, H], may be the input
  __shared__ float scratch[32];
  const float* from = input + blockIdx.x * hidden_size;
  float* to = output + blockIdx.x * hidden_size;
  float sum = 0.0F;
  for (std::int64_t i = threadIdx.x; i < hidden_size; i += kThreads) sum += from[i] * from[i];
  const float mean = sum_of_block(sum, scratch) / static_cast<float>(hidden_size);
  const float factor = 1.0F / sqrtf(mean + eps);
  for (std::int64_t i = threadIdx.x; i < hidden_size; i += kThreads) {
    to[i] = weight[i] * (from[i] * factor);
  }
}

}  // namespace

void rms_norm(const RmsNormArgs& args, Context& context) {
  check(args);
  if (args.input.num_elements() == 0) return;
  rms_norm_kernel<<<static_cast<unsigned>(args.input.shape[0]), kThreads, 0,
                    context.stream.get()>>>(args.input.as<float>(), args.weight.as<float>(),
                                            args.eps, args.input.shape[1], args.output.as<float>());
  check_launch("rms_norm");
}

}  // namespace m2::cuda
