// The choice of a token's experts from its router logits.
#pragma once

#include "cuda/few_tokens_route.h"
#include "cuda/numeric.cuh"

namespace m2::cuda {

constexpr int kMaxExperts = 1024;

/// Orders as the numbers do; 0 is below every candidate.
__device__ inline std::uint32_t rank_of(float choice) {
  if (isnan(choice)) choice = -INFINITY;  // compares with nothing, yet is a valid expert
  const std::uint32_t bits = __float_as_uint(choice + 0.0F);  // -0 becomes 0
  return bits & 0x80000000U ? ~bits : bits | 0x80000000U;
}

/// By one warp: use(j, id) with choice j < K, by all lanes. A lane has the ranks of the experts
/// lane * kRanks and on, 0 where there is none; of equal ones the lower id comes first.
template <int kRanks, typename Use>
__device__ void choose_by_rank(std::uint32_t (&ranks)[kRanks], int top_k, const Use& use) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  int ids[kRanks];
#pragma unroll
  for (int i = 0; i < kRanks; ++i) ids[i] = lane * kRanks + i;
    // Neighbours change places until a lane's best comes first; equal ones never do.
#pragma unroll
  for (int round = 0; round < kRanks; ++round) {
#pragma unroll
    for (int i = round % 2; i + 1 < kRanks; i += 2) {
      const bool swaps = ranks[i + 1] > ranks[i];
      const std::uint32_t rank = swaps ? ranks[i] : ranks[i + 1];
      const int id = swaps ? ids[i] : ids[i + 1];
      ranks[i] = swaps ? ranks[i + 1] : ranks[i];
      ids[i] = swaps ? ids[i + 1] : ids[i];
      ranks[i + 1] = rank;
      ids[i + 1] = id;
    }
  }
  for (int j = 0; j < top_k; ++j) {
    const std::uint32_t best = __reduce_max_sync(kAllLanes, ranks[0]);
    const int winner = __ffs(static_cast<int>(__ballot_sync(kAllLanes, ranks[0] == best))) - 1;
    use(j, __shfl_sync(kAllLanes, ids[0], winner));
    const bool won = lane == winner;
#pragma unroll
    for (int i = 0; i < kRanks; ++i) {
      const bool is_end = i + 1 == kRanks;
      ranks[i] = !won ? ranks[i] : is_end ? 0 : ranks[min(i + 1, kRanks - 1)];
      ids[i] = won ? ids[min(i + 1, kRanks - 1)] : ids[i];
    }
  }
}

/// By one warp for one token. logit_of(e) is expert e's. `scores` [E + K] in shared memory belongs
/// to the warp.
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
    const int e = lane * kRanks + i;
    loaded[i] = e < num_experts ? logit_of(e) : 0.0F;
    biases[i] = e < num_experts ? __ldg(correction_bias + e) : 0.0F;
  }
  std::uint32_t ranks[kRanks];
#pragma unroll
  for (int i = 0; i < kRanks; ++i) {
    const int e = lane * kRanks + i;
    const float score = sigmoid(loaded[i]);
    if (e < num_experts) scores[e] = score;
    ranks[i] = e < num_experts ? rank_of(score + biases[i]) : 0;
  }
  __syncwarp();
  float sum = 0.0F;
  choose_by_rank(ranks, top_k, [&](int j, int id) {
    const float score = scores[id];
    sum += score;
    if (lane == 0) {
      chosen[j] = score;
      topk_ids[j] = id;
    }
  });
  __syncwarp();
  for (int j = lane; j < top_k; j += 32) topk_weights[j] = chosen[j] / sum;
}

/// By one warp: a lane j < K gets choice j of the token. Any number of warps may do so for
/// themselves. use_first(id), by all lanes, before the others are known.
template <typename UseFirst>
__device__ std::int32_t choose_expert(const RouterScores& router, std::int64_t token, int top_k,
                                      const UseFirst& use_first) {
  constexpr int kRanks = kRankedExperts / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const auto* from =
      reinterpret_cast<const uint4*>(router.ranks + token * kRankedExperts + lane * kRanks);
  const uint4 low = __ldcg(from);
  const uint4 high = __ldcg(from + 1);
  std::uint32_t ranks[kRanks] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
  std::int32_t own = 0;
  choose_by_rank(ranks, top_k, [&](int j, int id) {
    own = lane == j ? id : own;
    if (j == 0) use_first(id);
  });
  return own;
}
__device__ inline std::int32_t choose_expert(const RouterScores& router, std::int64_t token,
                                             int top_k) {
  return choose_expert(router, token, top_k, [](std::int32_t) {});
}

/// By the same warp: the score of the choice, zero in lanes from K on.
__device__ inline float score_of_choice(const RouterScores& router, std::int64_t token,
                                        std::int32_t id, int top_k) {
  const bool used = static_cast<int>(threadIdx.x) % 32 < top_k;
  return used ? __ldcg(router.scores + token * kRankedExperts + id) : 0.0F;
}
/// Its weight, which in lanes from K on is anything.
__device__ inline float weight_of_choice(const RouterScores& router, std::int64_t token,
                                         std::int32_t id, int top_k) {
  const float score = score_of_choice(router, token, id, top_k);
  return score / sum_of_warp(score);
}

}  // namespace m2::cuda
