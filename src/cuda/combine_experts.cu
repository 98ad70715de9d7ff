#include "cuda/combine_experts.h"

#include "cuda/launch.cuh"

namespace m2::cuda {
namespace {

constexpr int kThreads = 256;

// Grid: x along H, y tokens.
__global__ void combine_experts_kernel(const float* down,          // [T * K, H]
                                       const float* topk_weights,  // [T, K]
                                       int hidden_size, int top_k,
                                       float* output) {  // [T, H]
  begin_kernel();
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= hidden_size) return;
  const std::int64_t first_slot = std::int64_t{blockIdx.y} * top_k;
  float sum = 0.0F;
  for (int j = 0; j < top_k; ++j) {
    sum += topk_weights[first_slot + j] * down[(first_slot + j) * hidden_size + i];
  }
  output[std::int64_t{blockIdx.y} * hidden_size + i] += sum;
}

}  // namespace

void combine_experts(const float* down, const MoeExpertsArgs& args, const Context& context) {
  const auto hidden_size = static_cast<int>(args.output.shape[1]);
  const dim3 blocks(static_cast<unsigned>((hidden_size + kThreads - 1) / kThreads),
                    static_cast<unsigned>(args.output.shape[0]));
  launch_kernel(context, combine_experts_kernel, blocks, kThreads, 0, down,
                args.topk_weights.as<float>(), hidden_size,
                static_cast<int>(args.topk_ids.shape[1]), args.output.as<float>());
}

}  // namespace m2::cuda
