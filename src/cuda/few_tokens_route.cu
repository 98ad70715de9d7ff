// The router of up to eight tokens, where latency counts. A block multiplies all tokens with two
// rows of the gate, which are on their way before the tokens are there, and applies the norm's
// factor to the sums. Who uses the choice makes it from the scores (choose_expert()): a last block
// that waits for the others and chooses for all would take two microseconds more.
#include "cuda/few_tokens_route.h"

#include <bit>

#include "cuda/alignment.h"
#include "cuda/choose_experts.cuh"
#include "cuda/context.h"
#include "cuda/launch.cuh"

namespace m2::cuda {
namespace {

constexpr int kThreads = 384;
constexpr int kWarps = kThreads / 32;
constexpr int kRows = 2;     // experts of a block
constexpr int kVectors = 3;  // of a thread and row: hidden sizes up to 4,608
constexpr int kMostTokens = 8;
constexpr int kSums = 4;  // of a token: squares, a product with each row, nothing
static_assert(kRows < kSums && kMostTokens * kSums == 32);

struct FewTokensRoute {
  const float4* input;   // [T, H]
  const float4* weight;  // [H], of the norm
  const float4* gate;    // [E, H]
  const float* correction_bias;
  float4* normed;        // [T, H]
  float* router_logits;  // [T, E]
  RouterScores scores;
  int num_tokens;
  int vectors;  // H / 4
  int num_experts;
  int share;  // vectors of `normed` that a block writes
  float eps;
};

__device__ float4 scaled(float4 x, float4 w) {
  return {x.x * w.x, x.y * w.y, x.z * w.z, x.w * w.w};
}
__device__ float dot(float4 x, float4 y) { return x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w; }

// The sum over the lanes of value lane % kCount; kHalf values are left.
template <int kCount, int kHalf = kCount / 2>
__device__ float sums_of_warp(float (&values)[kCount]) {
  if constexpr (kHalf > 0) {
    const bool keeps_upper = (threadIdx.x & kHalf) != 0;
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const float kept = keeps_upper ? values[i + kHalf] : values[i];
      const float given = keeps_upper ? values[i] : values[i + kHalf];
      values[i] = kept + __shfl_xor_sync(kAllLanes, given, kHalf);
    }
    return sums_of_warp<kCount, kHalf / 2>(values);
  } else {
#pragma unroll
    for (int step = kCount; step < 32; step *= 2) {
      values[0] += __shfl_xor_sync(kAllLanes, values[0], step);
    }
    return values[0];
  }
}

__device__ void write_score(const FewTokensRoute& args, int token, int expert, float logit) {
  args.router_logits[token * args.num_experts + expert] = logit;
  const float score = sigmoid(logit);
  const int at = token * kRankedExperts + expert;
  args.scores.scores[at] = score;
  args.scores.ranks[at] = rank_of(score + __ldg(args.correction_bias + expert));
}

// Grid: pairs of experts. kTokens: room for the tokens.
template <int kTokens>
__global__ void __launch_bounds__(kThreads, 1) few_tokens_route_kernel(const FewTokensRoute args) {
  constexpr int kCount = kTokens * kSums;
  __shared__ float shares[kWarps][kCount];
  const int thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  const int first_expert = static_cast<int>(blockIdx.x) * kRows;
  float4 rows[kRows][kVectors];
  float4 weight[kVectors];
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    const int at = i * kThreads + thread;
    const bool used = at < args.vectors;
    weight[i] = used ? __ldg(args.weight + at) : float4{};
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const std::int64_t expert = min(first_expert + r, args.num_experts - 1);
      rows[r][i] = used ? __ldg(args.gate + expert * args.vectors + at) : float4{};
    }
  }
  const int last_vector = args.num_tokens * args.vectors - 1;
  const int own = min(static_cast<int>(blockIdx.x) * args.share + thread, last_vector);
  const float4 own_weight = __ldg(args.weight + own % args.vectors);
  begin_kernel();

  float4 x[kTokens][kVectors];
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
#pragma unroll
    for (int i = 0; i < kVectors; ++i) {
      const int at = i * kThreads + thread;
      const bool used = t < args.num_tokens && at < args.vectors;
      x[t][i] = used ? __ldcg(args.input + std::int64_t{t} * args.vectors + at) : float4{};
    }
  }
  const float4 own_input = __ldcg(args.input + own);
  float sums[kCount] = {};
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) rows[r][i] = scaled(rows[r][i], weight[i]);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      sums[t * kSums] += dot(x[t][i], x[t][i]);
#pragma unroll
      for (int r = 0; r < kRows; ++r) sums[t * kSums + 1 + r] += dot(x[t][i], rows[r][i]);
    }
  }
  const float share = sums_of_warp(sums);
  if (lane < kCount) shares[thread / 32][lane] = share;
  __syncthreads();
  float total = 0.0F;  // of the block, in every warp
#pragma unroll
  for (const float(&of_warp)[kCount] : shares) total += of_warp[lane % kCount];
  const float squares = __shfl_sync(kAllLanes, total, lane / kSums * kSums);
  const float factor = 1.0F / sqrtf(squares / static_cast<float>(4 * args.vectors) + args.eps);

  const int token = lane / kSums;
  const int row = lane % kSums - 1;
  const bool has_score = row >= 0 && row < kRows && token < args.num_tokens;
  if (thread < 32 && has_score && first_expert + row < args.num_experts) {
    write_score(args, token, first_expert + row, total * factor);
  }
  if (thread / 32 * 32 < args.share) {
    const float own_factor = __shfl_sync(kAllLanes, factor, own / args.vectors * kSums);
    // The last vector may be written more than once, always the same.
    if (thread < args.share) {
      args.normed[own] = scaled(own_weight, {own_input.x * own_factor, own_input.y * own_factor,
                                             own_input.z * own_factor, own_input.w * own_factor});
    }
  }
  if (blockIdx.x > 0) return;
  for (int i = args.num_experts + thread; i < kRankedExperts; i += kThreads) {
    for (int t = 0; t < args.num_tokens; ++t) args.scores.ranks[t * kRankedExperts + i] = 0;
  }
}

// One warp a token.
__global__ void __launch_bounds__(32) choose_by_scores_kernel(const RouterScores scores, int top_k,
                                                              std::int32_t* topk_ids,  // [T, K]
                                                              float* topk_weights) {   // [T, K]
  begin_kernel();
  const std::int64_t token = blockIdx.x;
  const std::int32_t id = choose_expert(scores, token, top_k);
  const float weight = weight_of_choice(scores, token, id, top_k);
  const int lane = static_cast<int>(threadIdx.x);
  if (lane >= top_k) return;
  topk_ids[token * top_k + lane] = id;
  topk_weights[token * top_k + lane] = weight;
}

bool fits(const RmsNormArgs& norm, const MoeRouteArgs& route) {
  const std::int64_t hidden_size = norm.input.shape[1];
  const std::int64_t blocks = (route.gate.rows + kRows - 1) / kRows;
  return norm.input.shape[0] <= kMostTokens && route.gate.dtype == DType::kF32 &&
         route.gate.rows <= kRankedExperts && route.topk_ids.shape[1] <= kMostRankedChoices &&
         hidden_size % 4 == 0 && hidden_size <= 4 * kVectors * kThreads &&
         norm.input.shape[0] * hidden_size <= 4 * kThreads * blocks &&
         is_aligned(norm.input.data) && is_aligned(norm.output.data) &&
         is_aligned(norm.weight.data) && is_aligned(route.gate.data) &&
         norm.input.data != norm.output.data;
}

}  // namespace

bool few_tokens_route(const RmsNormArgs& norm, const MoeRouteArgs& route, RouterScores& scores,
                      Context& context) {
  if (!fits(norm, route)) return false;
  const auto num_tokens = static_cast<int>(norm.input.shape[0]);
  const auto num_experts = static_cast<int>(route.gate.rows);
  const auto vectors = static_cast<int>(norm.input.shape[1] / 4);
  const int blocks = (num_experts + kRows - 1) / kRows;
  constexpr std::size_t kSize = std::size_t{kMostTokens} * kRankedExperts;
  scores = {context.router_ranks.get<std::uint32_t>(kSize),
            context.router_scores.get<float>(kSize)};
  const FewTokensRoute args = {.input = static_cast<const float4*>(norm.input.data),
                               .weight = static_cast<const float4*>(norm.weight.data),
                               .gate = static_cast<const float4*>(route.gate.data),
                               .correction_bias = route.correction_bias.as<float>(),
                               .normed = static_cast<float4*>(norm.output.data),
                               .router_logits = route.router_logits.as<float>(),
                               .scores = scores,
                               .num_tokens = num_tokens,
                               .vectors = vectors,
                               .num_experts = num_experts,
                               .share = (num_tokens * vectors + blocks - 1) / blocks,
                               .eps = norm.eps};
  const auto start = [&](auto kernel) {
    launch_kernel(context, kernel, static_cast<unsigned>(blocks), kThreads, 0, args);
  };
  switch (std::bit_ceil(static_cast<unsigned>(num_tokens))) {
    case 1:
      start(few_tokens_route_kernel<1>);
      break;
    case 2:
      start(few_tokens_route_kernel<2>);
      break;
    case 4:
      start(few_tokens_route_kernel<4>);
      break;
    default:
      start(few_tokens_route_kernel<kMostTokens>);
  }
  return true;
}

void choose_by_scores(const RouterScores& scores, const TensorView& topk_ids,
                      const TensorView& topk_weights, Context& context) {
  const auto num_tokens = static_cast<unsigned>(topk_ids.shape[0]);
  launch_kernel(context, choose_by_scores_kernel, num_tokens, 32, 0, scores,
                static_cast<int>(topk_ids.shape[1]), topk_ids.as<std::int32_t>(),
                topk_weights.as<float>());
}

}  // namespace m2::cuda
