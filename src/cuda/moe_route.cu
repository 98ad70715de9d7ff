#include "ops/moe_route.h"

#include "base/error.h"
#include "cuda/choose_experts.cuh"
#include "cuda/context.h"
#include "cuda/launch.cuh"
#include "cuda/tiled_route.h"

namespace m2::cuda {
namespace {

// One warp a token.
template <int kRanks>
__global__ void choose_experts_kernel(const float* router_logits,    // [T, E]
                                      const float* correction_bias,  // [E]
                                      int num_experts, int top_k,
                                      std::int32_t* topk_ids,  // [T, K]
                                      float* topk_weights) {   // [T, K]
  extern __shared__ float scores[];
  begin_kernel();
  const std::int64_t token = blockIdx.x;
  const float* logits = router_logits + token * num_experts;
  choose_experts_of<kRanks>([&](int e) { return __ldcg(logits + e); }, correction_bias, num_experts,
                            top_k, scores, topk_ids + token * top_k, topk_weights + token * top_k);
}

constexpr int kRouteThreads = 256;
constexpr int kRouteWarps = kRouteThreads / 32;
constexpr int kRouteRows = 2;     // experts of a block
constexpr int kRouteVectors = 4;  // of a thread and row: hidden sizes up to 4,096
constexpr int kRouteTokens = 8;

struct NormRoute {
  const float4* input;   // [T, H]
  const float4* weight;  // [H], of the norm
  const float4* gate;    // [E, H]
  float4* normed;        // [T, H]
  float* router_logits;  // [T, E]
  const float* correction_bias;
  std::int32_t* topk_ids;
  float* topk_weights;
  int* blocks_done;  // 0 before and after
  int num_tokens;
  int vectors;  // H / 4
  int num_experts;
  int top_k;
  float eps;
};

__device__ float4 scaled(float4 x, float4 w) {
  return {x.x * w.x, x.y * w.y, x.z * w.z, x.w * w.w};
}
__device__ float dot(float4 x, float4 y) { return x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w; }

// Every block norms all tokens for itself, multiplies them with two rows of the gate, which it
// asked for beforehand, and writes its share of the normed ones. The last block chooses the
// experts.
__global__ void __launch_bounds__(kRouteThreads) norm_route_kernel(const NormRoute args) {
  extern __shared__ float scores[];  // [warps, E + K]
  __shared__ float shares[kRouteTokens][1 + kRouteRows][kRouteWarps];
  __shared__ bool last;
  const int thread = static_cast<int>(threadIdx.x);
  const int first_expert = static_cast<int>(blockIdx.x) * kRouteRows;
  float4 rows[kRouteRows][kRouteVectors];
  float4 weight[kRouteVectors];
#pragma unroll
  for (int i = 0; i < kRouteVectors; ++i) {
    const int at = i * kRouteThreads + thread;
    const bool used = at < args.vectors;
    weight[i] = used ? __ldg(args.weight + at) : float4{};
#pragma unroll
    for (int r = 0; r < kRouteRows; ++r) {
      const std::int64_t expert = min(first_expert + r, args.num_experts - 1);
      rows[r][i] = used ? __ldg(args.gate + expert * args.vectors + at) : float4{};
    }
  }
  begin_kernel();
  for (int t = 0; t < args.num_tokens; ++t) {
    float sums[1 + kRouteRows] = {};  // of squares, and the products without the norm's factor
#pragma unroll
    for (int i = 0; i < kRouteVectors; ++i) {
      const int at = i * kRouteThreads + thread;
      if (at >= args.vectors) continue;
      const float4 x = args.input[std::int64_t{t} * args.vectors + at];
      const float4 weighted = scaled(x, weight[i]);
      sums[0] += dot(x, x);
#pragma unroll
      for (int r = 0; r < kRouteRows; ++r) sums[1 + r] += dot(weighted, rows[r][i]);
    }
#pragma unroll
    for (int s = 0; s < 1 + kRouteRows; ++s) {
      const float sum = sum_of_warp(sums[s]);
      if (thread % 32 == 0) shares[t][s][thread / 32] = sum;
    }
  }
  __syncthreads();
  const auto total = [&](int token, int s) {
    float sum = 0.0F;
    for (int warp = 0; warp < kRouteWarps; ++warp) sum += shares[token][s][warp];
    return sum;
  };
  const auto factor_of = [&](int token) {
    return 1.0F / sqrtf(total(token, 0) / static_cast<float>(4 * args.vectors) + args.eps);
  };
  if (thread < args.num_tokens * kRouteRows) {
    const int token = thread / kRouteRows;
    const int expert = first_expert + thread % kRouteRows;
    if (expert < args.num_experts) {
      args.router_logits[token * args.num_experts + expert] =
          total(token, 1 + thread % kRouteRows) * factor_of(token);
    }
  }
  const auto blocks = static_cast<int>(gridDim.x);
  for (int i = thread * blocks + static_cast<int>(blockIdx.x); i < args.num_tokens * args.vectors;
       i += kRouteThreads * blocks) {
    const float factor = factor_of(i / args.vectors);
    const float4 x = args.input[i];
    const float4 w = __ldg(args.weight + i % args.vectors);
    args.normed[i] = {w.x * (x.x * factor), w.y * (x.y * factor), w.z * (x.z * factor),
                      w.w * (x.w * factor)};
  }

  __threadfence();
  __syncthreads();
  if (thread == 0) {
    last = atomicAdd(args.blocks_done, 1) == blocks - 1;
    if (last) *args.blocks_done = 0;
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  const int warp = thread / 32;
  if (warp >= args.num_tokens) return;
  const float* logits = args.router_logits + warp * args.num_experts;
  choose_experts_of<8>([&](int e) { return __ldcg(logits + e); }, args.correction_bias,
                       args.num_experts, args.top_k,
                       scores + warp * (args.num_experts + args.top_k),
                       args.topk_ids + warp * args.top_k, args.topk_weights + warp * args.top_k);
}

bool fits_norm_route(const RmsNormArgs& norm, const MoeRouteArgs& route) {
  const auto aligned = [](const void* data) {
    return reinterpret_cast<std::uintptr_t>(data) % sizeof(float4) == 0;
  };
  const std::int64_t hidden_size = norm.input.shape[1];
  return norm.input.shape[0] <= kRouteTokens && route.gate.dtype == DType::kF32 &&
         route.gate.rows <= 256 && hidden_size % 4 == 0 &&
         hidden_size <= 4 * kRouteVectors * kRouteThreads && aligned(norm.input.data) &&
         aligned(norm.output.data) && aligned(norm.weight.data) && aligned(route.gate.data) &&
         norm.input.data != norm.output.data;
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

void check_route(const MoeRouteArgs& args) {
  check(args);
  M2_REQUIRE(ErrorCode::kUnsupported, args.gate.rows <= kMaxExperts, "cuda: moe_route: more than ",
             kMaxExperts, " experts are not supported, got ", args.gate.rows);
}

LinearArgs gate_product(const MoeRouteArgs& args) {
  return {.input = args.hidden_states, .weight = args.gate, .output = args.router_logits};
}

void choose(const MoeRouteArgs& args, Context& context) {
  if (args.gate.rows <= 256) {
    choose<8>(args, context);
  } else {
    choose<kMaxExperts / 32>(args, context);
  }
  check_launch("moe_route");
}

}  // namespace

void moe_route(const MoeRouteArgs& args, Context& context) {
  check_route(args);
  if (args.hidden_states.shape[0] == 0) return;
  linear(gate_product(args), context);
  choose(args, context);
}

void norm_route(const RmsNormArgs& norm, const MoeRouteArgs& route, Context& context) {
  check(norm);
  check_route(route);
  if (norm.input.shape[0] == 0) return;
  if (!fits_norm_route(norm, route)) {
    if (tiled_norm_route(norm, route, context)) return check_launch("norm_route");
    const LinearArgs gate = gate_product(route);
    if (route.gate.dtype == DType::kF32 && sm90::fits_linears({&gate, 1}, context)) {
      sm90::linears({&gate, 1}, &norm, context);
    } else {
      rms_norm(norm, context);
      linear(gate, context);
    }
    return choose(route, context);
  }
  const auto num_experts = static_cast<int>(route.gate.rows);
  const auto top_k = static_cast<int>(route.topk_ids.shape[1]);
  const auto blocks = static_cast<unsigned>((num_experts + kRouteRows - 1) / kRouteRows);
  const int num_bytes = kRouteTokens * (num_experts + top_k) * static_cast<int>(sizeof(float));
  launch_kernel(context, norm_route_kernel, blocks, kRouteThreads, num_bytes,
                {.input = static_cast<const float4*>(norm.input.data),
                 .weight = static_cast<const float4*>(norm.weight.data),
                 .gate = static_cast<const float4*>(route.gate.data),
                 .normed = static_cast<float4*>(norm.output.data),
                 .router_logits = route.router_logits.as<float>(),
                 .correction_bias = route.correction_bias.as<float>(),
                 .topk_ids = route.topk_ids.as<std::int32_t>(),
                 .topk_weights = route.topk_weights.as<float>(),
                 .blocks_done = context.route_counter.get_zeroed<int>(1, context.stream),
                 .num_tokens = static_cast<int>(norm.input.shape[0]),
                 .vectors = static_cast<int>(norm.input.shape[1] / 4),
                 .num_experts = num_experts,
                 .top_k = top_k,
                 .eps = norm.eps});
  check_launch("norm_route");
}

}  // namespace m2::cuda
