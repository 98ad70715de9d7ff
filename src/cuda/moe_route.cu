#include "ops/moe_route.h"

#include "base/error.h"
#include "cuda/context.h"
#include "cuda/launch.cuh"
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

// One warp a token: K rounds of a maximum over its ranks, kRanks in the registers of a lane.
template <int kRanks>
__global__ void choose_experts_kernel(const float* router_logits,    // [T, E]
                                      const float* correction_bias,  // [E]
                                      int num_experts, int top_k,
                                      std::int32_t* topk_ids,  // [T, K]
                                      float* topk_weights) {   // [T, K]
  extern __shared__ float scores[];                            // [E], then [K] chosen ones
  float* chosen = scores + num_experts;
  const auto lane = static_cast<int>(threadIdx.x);
  const float* logits = router_logits + std::int64_t{blockIdx.x} * num_experts;
  begin_kernel();
  float loaded[kRanks];
  float biases[kRanks];
#pragma unroll
  for (int i = 0; i < kRanks; ++i) {
    const int e = lane + 32 * i;
    loaded[i] = e < num_experts ? logits[e] : 0.0F;
    biases[i] = e < num_experts ? __ldg(correction_bias + e) : 0.0F;
  }
  std::uint64_t ranks[kRanks];
#pragma unroll
  for (int i = 0; i < kRanks; ++i) {
    const int e = lane + 32 * i;
    const float score = sigmoid(loaded[i]);
    if (e < num_experts) scores[e] = score;
    ranks[i] = e < num_experts ? rank_of(score + biases[i], e) : 0;
  }
  __syncwarp();

  float sum = 0.0F;
  for (int j = 0; j < top_k; ++j) {
    std::uint64_t best = 0;
#pragma unroll
    for (int i = 0; i < kRanks; ++i) best = ranks[i] > best ? ranks[i] : best;
    best = largest_of_warp(best);
#pragma unroll
    for (int i = 0; i < kRanks; ++i) ranks[i] = ranks[i] == best ? 0 : ranks[i];
    const auto id = static_cast<std::int32_t>(0xFFFFFFFFU - static_cast<std::uint32_t>(best));
    const float score = scores[id];
    sum += score;
    if (lane == 0) {
      chosen[j] = score;
      topk_ids[std::int64_t{blockIdx.x} * top_k + j] = id;
    }
  }
  __syncwarp();
  float* weights = topk_weights + std::int64_t{blockIdx.x} * top_k;
  for (int j = lane; j < top_k; j += 32) weights[j] = chosen[j] / sum;
}

template <int kRanks>
void choose(const MoeRouteArgs& args, Context& context) {
  const auto num_tokens = static_cast<unsigned>(args.hidden_states.shape[0]);
  const auto num_experts = static_cast<int>(args.gate.rows);
  const auto top_k = static_cast<int>(args.topk_ids.shape[1]);
  const int num_bytes = (num_experts + top_k) * static_cast<int>(sizeof(float));
  launch_kernel(context, choose_experts_kernel<kRanks>, num_tokens, 32, num_bytes,
                args.router_logits.as<float>(), args.correction_bias.as<float>(), num_experts,
                top_k, args.topk_ids.as<std::int32_t>(), args.topk_weights.as<float>());
}

constexpr std::int64_t kMaxExperts = 1024;

}  // namespace

void moe_route(const MoeRouteArgs& args, Context& context) {
  check(args);
  if (args.hidden_states.shape[0] == 0) return;
  M2_REQUIRE(ErrorCode::kUnsupported, args.gate.rows <= kMaxExperts, "cuda: moe_route: more than ",
             kMaxExperts, " experts are not supported, got ", args.gate.rows);
  linear({.input = args.hidden_states, .weight = args.gate, .output = args.router_logits}, context);
  if (args.gate.rows <= 256) {
    choose<8>(args, context);
  } else {
    choose<kMaxExperts / 32>(args, context);
  }
  check_launch("moe_route");
}

}  // namespace m2::cuda
