#include "ops/moe_route.h"

#include "cuda/context.h"
#include "cuda/numeric.cuh"

namespace m2::cuda {
namespace {

// Orders as the numbers do, equal ones by the lower index; 0 is below every candidate.
__device__ std::uint64_t rank_of(float choice, std::int32_t index) {
  if (isnan(choice)) choice = -INFINITY;  // compares with nothing, yet is a valid expert
  const std::uint32_t bits = __float_as_uint(choice + 0.0F);  // -0 becomes 0
  const std::uint32_t ordered = bits & 0x80000000U ? ~bits : bits | 0x80000000U;
  return std::uint64_t{ordered} << 32U | (0xFFFFFFFFU - static_cast<std::uint32_t>(index));
}

__device__ std::uint64_t largest_of_warp(std::uint64_t value) {
  for (int step = 16; step > 0; step /= 2) {
    const std::uint64_t other = __shfl_xor_sync(kAllLanes, value, step);
    value = other > value ? other : value;
  }
  return value;
}

// One warp a token: K rounds of a maximum over E ranks in shared memory.
__global__ void choose_experts_kernel(const float* router_logits,    // [T, E]
                                      const float* correction_bias,  // [E]
                                      int num_experts, int top_k,
                                      std::int32_t* topk_ids,  // [T, K]
                                      float* topk_weights) {   // [T, K]
  extern __shared__ std::uint64_t ranks[];                     // [E]
  const float* logits = router_logits + std::int64_t{blockIdx.x} * num_experts;
  std::int32_t* ids = topk_ids + std::int64_t{blockIdx.x} * top_k;
  float* weights = topk_weights + std::int64_t{blockIdx.x} * top_k;
  for (int e = threadIdx.x; e < num_experts; e += 32) {
    ranks[e] = rank_of(sigmoid(logits[e]) + correction_bias[e], e);
  }
  __syncwarp();

  float sum = 0.0F;
  for (int j = 0; j < top_k; ++j) {
    std::uint64_t best = 0;
    for (int e = threadIdx.x; e < num_experts; e += 32) best = ranks[e] > best ? ranks[e] : best;
    best = largest_of_warp(best);
    const auto id = static_cast<std::int32_t>(0xFFFFFFFFU - static_cast<std::uint32_t>(best));
    const float score = sigmoid(logits[id]);
    sum += score;
    if (threadIdx.x == 0) {
      ranks[id] = 0;
      ids[j] = id;
      weights[j] = score;
    }
    __syncwarp();
  }
  for (int j = threadIdx.x; j < top_k; j += 32) weights[j] /= sum;
}

}  // namespace

void moe_route(const MoeRouteArgs& args, Context& context) {
  check(args);
  if (args.hidden_states.shape[0] == 0) return;
  linear({.input = args.hidden_states, .weight = args.gate, .output = args.router_logits}, context);
  const auto num_tokens = static_cast<unsigned>(args.hidden_states.shape[0]);
  const auto num_experts = static_cast<int>(args.gate.rows);
  choose_experts_kernel<<<num_tokens, 32, num_experts * sizeof(std::uint64_t),
                          context.stream.get()>>>(
      args.router_logits.as<float>(), args.correction_bias.as<float>(), num_experts,
      static_cast<int>(args.topk_ids.shape[1]), args.topk_ids.as<std::int32_t>(),
      args.topk_weights.as<float>());
  check_launch("moe_route");
}

}  // namespace m2::cuda
