// The choice of a token's experts from its router logits.
#pragma once

#include "cuda/numeric.cuh"

namespace m2::cuda {

constexpr int kMaxExperts = 1024;

/// Orders as the numbers do; 0 is below every candidate.
__device__ inline std::uint32_t rank_of(float choice) {
  if (isnan(choice)) choice = -INFINITY;  // compares with nothing, yet is a valid expert
  const std::uint32_t bits = __float_as_uint(choice + 0.0F);  // -0 becomes 0
  return bits & 0x80000000U ? ~bits : bits | 0x80000000U;
}

/// By one warp for one token: K rounds of a maximum over its ranks, kRanks in the registers of a
/// lane. logit_of(e) is expert e's. `scores` [E + K] in shared memory belongs to the warp.
template <int kRanks, typename LogitOf>
__device__ void choose_experts_of(const LogitOf& logit_of,
                                  const float* correction_bias,  // [E]
                                  int num_experts, int top_k, float* scores,
                                  std::int32_t* topk_ids,  // [K]
                                  float* topk_weights) {   // [K]
  float* chosen = scores + num_experts;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float loaded[kRanks];
  float biases[kRanks];
#pragma unroll
  for (int i = 0; i < kRanks; ++i) {
    const int e = lane + 32 * i;
    loaded[i] = e < num_experts ? logit_of(e) : 0.0F;
    biases[i] = e < num_experts ? __ldg(correction_bias + e) : 0.0F;
  }
  std::uint32_t ranks[kRanks];
#pragma unroll
  for (int i = 0; i < kRanks; ++i) {
    const int e = lane + 32 * i;
    const float score = sigmoid(loaded[i]);
    if (e < num_experts) scores[e] = score;
    ranks[i] = e < num_experts ? rank_of(score + biases[i]) : 0;
  }
  __syncwarp();

  float sum = 0.0F;
  for (int j = 0; j < top_k; ++j) {
    std::uint32_t best = 0;
#pragma unroll
    for (int i = 0; i < kRanks; ++i) best = max(best, ranks[i]);
    best = __reduce_max_sync(kAllLanes, best);
    std::uint32_t first = kMaxExperts;  // of equal ones the lower index
#pragma unroll
    for (int i = kRanks - 1; i >= 0; --i) {
      if (ranks[i] == best) first = static_cast<std::uint32_t>(lane + 32 * i);
    }
    const auto id = static_cast<std::int32_t>(__reduce_min_sync(kAllLanes, first));
#pragma unroll
    for (int i = 0; i < kRanks; ++i) ranks[i] = lane + 32 * i == id ? 0 : ranks[i];
    const float score = scores[id];
    sum += score;
    if (lane == 0) {
      chosen[j] = score;
      topk_ids[j] = id;
    }
  }
  __syncwarp();
  for (int j = lane; j < top_k; j += 32) topk_weights[j] = chosen[j] / sum;
}

}  // namespace m2::cuda
