// The router of up to 64 tokens in F32: every block multiplies 32 rows of the gate with all tokens
// over a slice of the columns, both in shared memory; then a block for each token norms it, sums
// the slices in their order and chooses the experts. The norm's factor is applied to the sums.
#include "cuda/tiled_route.h"

#include <algorithm>

#include "cuda/alignment.h"
#include "cuda/choose_experts.cuh"
#include "cuda/context.h"
#include "cuda/launch.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kTileExperts = 32;
constexpr int kMostTokens = 64;
constexpr int kSliceQuads = 48;          // of four columns
constexpr int kPitch = kSliceQuads + 1;  // rows that are read together meet other banks
constexpr int kSide = 16;                // threads along the experts, and along the tokens
constexpr int kOwnExperts = kTileExperts / kSide;
constexpr int kOwnTokens = kMostTokens / kSide;
constexpr int kMostExperts = 256;
constexpr int kMostSlices = 32;
constexpr int kFinishQuads = 4;  // of a thread: hidden sizes up to 4,096
static_assert(kThreads == kSide * kSide && kMostExperts <= kThreads);

struct TiledRoute {
  const float4* input;   // [T, H]
  const float4* weight;  // [H], of the norm
  const float4* gate;    // [E, H]
  float* partial;        // [slices, T, E]
  int num_tokens;
  int quads;  // H / 4
  int num_experts;
};

__device__ float dot(float4 x, float4 y) { return x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w; }

// Grid: x tiles of experts, y slices of columns.
__global__ void __launch_bounds__(kThreads) route_slices_kernel(const TiledRoute args) {
  extern __shared__ float4 shared[];
  float4* gate = shared;  // [kTileExperts, kPitch], times the norm's weight
  float4* tokens = shared + kTileExperts * kPitch;  // [T, kPitch]
  const int thread = static_cast<int>(threadIdx.x);
  const int first_expert = static_cast<int>(blockIdx.x) * kTileExperts;
  const int first_quad = static_cast<int>(blockIdx.y) * kSliceQuads;
  constexpr int kGateQuads = kTileExperts * kSliceQuads / kThreads;
#pragma unroll
  for (int i = 0; i < kGateQuads; ++i) {
    const int index = i * kThreads + thread;
    const int quad = first_quad + index % kSliceQuads;
    const std::int64_t expert = min(first_expert + index / kSliceQuads, args.num_experts - 1);
    float4 value = {};
    if (quad < args.quads) {
      const float4 w = __ldg(args.weight + quad);
      const float4 g = __ldg(args.gate + expert * args.quads + quad);
      value = {g.x * w.x, g.y * w.y, g.z * w.z, g.w * w.w};
    }
    gate[index / kSliceQuads * kPitch + index % kSliceQuads] = value;
  }
  begin_kernel();
#pragma unroll 6
  for (int index = thread; index < args.num_tokens * kSliceQuads; index += kThreads) {
    const int quad = first_quad + index % kSliceQuads;
    const std::int64_t token = index / kSliceQuads;
    tokens[token * kPitch + index % kSliceQuads] =
        quad < args.quads ? args.input[token * args.quads + quad] : float4{};
  }
  __syncthreads();
  const int expert = thread % kSide;
  const int token = thread / kSide;
  float sums[kOwnTokens][kOwnExperts] = {};
#pragma unroll 4
  for (int quad = 0; quad < kSliceQuads; ++quad) {
    float4 rows[kOwnExperts];
#pragma unroll
    for (int e = 0; e < kOwnExperts; ++e) rows[e] = gate[(expert + e * kSide) * kPitch + quad];
#pragma unroll
    for (int t = 0; t < kOwnTokens; ++t) {
      if (t * kSide >= args.num_tokens) break;  // rows beyond the tokens hold anything
      const float4 x = tokens[(token + t * kSide) * kPitch + quad];
#pragma unroll
      for (int e = 0; e < kOwnExperts; ++e) sums[t][e] += dot(x, rows[e]);
    }
  }
  const std::int64_t slice = std::int64_t{blockIdx.y} * args.num_tokens;
#pragma unroll
  for (int t = 0; t < kOwnTokens; ++t) {
    const int row = token + t * kSide;
    if (row >= args.num_tokens) break;
#pragma unroll
    for (int e = 0; e < kOwnExperts; ++e) {
      const int at = first_expert + expert + e * kSide;
      if (at < args.num_experts) args.partial[(slice + row) * args.num_experts + at] = sums[t][e];
    }
  }
}

struct FinishRoute {
  TiledRoute route;
  int slices;
  float eps;
  float4* normed;        // [T, H]
  float* router_logits;  // [T, E]
  const float* correction_bias;
  std::int32_t* topk_ids;
  float* topk_weights;
  int top_k;
};

// One block a token.
__global__ void __launch_bounds__(kThreads) finish_route_kernel(const FinishRoute args) {
  extern __shared__ float scores[];  // [E + K]
  __shared__ float logits[kMostExperts];
  __shared__ float scratch[32];
  const TiledRoute& route = args.route;
  const int thread = static_cast<int>(threadIdx.x);
  const std::int64_t token = blockIdx.x;
  float4 weight[kFinishQuads];
#pragma unroll
  for (int i = 0; i < kFinishQuads; ++i) {
    const int at = i * kThreads + thread;
    weight[i] = at < route.quads ? __ldg(route.weight + at) : float4{};
  }
  begin_kernel();
  float4 x[kFinishQuads];
#pragma unroll
  for (int i = 0; i < kFinishQuads; ++i) {
    const int at = i * kThreads + thread;
    x[i] = at < route.quads ? route.input[token * route.quads + at] : float4{};
  }
  const bool has_expert = thread < route.num_experts;
  float logit = 0.0F;
  if (has_expert) {
    const float* from = route.partial + token * route.num_experts + thread;
#pragma unroll 16
    for (int slice = 0; slice < args.slices; ++slice) {
      logit += from[std::int64_t{slice} * route.num_tokens * route.num_experts];
    }
  }
  float sum = 0.0F;
#pragma unroll
  for (const float4& v : x) sum += dot(v, v);
  const float mean = sum_of_block(sum, scratch) / static_cast<float>(4 * route.quads);
  const float factor = 1.0F / sqrtf(mean + args.eps);
  logit *= factor;
  if (has_expert) {
    logits[thread] = logit;
    args.router_logits[token * route.num_experts + thread] = logit;
  }
#pragma unroll
  for (int i = 0; i < kFinishQuads; ++i) {
    const int at = i * kThreads + thread;
    if (at >= route.quads) break;
    const float4& w = weight[i];
    args.normed[token * route.quads + at] = {w.x * (x[i].x * factor), w.y * (x[i].y * factor),
                                             w.z * (x[i].z * factor), w.w * (x[i].w * factor)};
  }
  __syncthreads();
  if (thread >= 32) return;
  choose_experts_of<kMostExperts / 32>(
      [&](int e) { return logits[e]; }, args.correction_bias, route.num_experts, args.top_k, scores,
      args.topk_ids + token * args.top_k, args.topk_weights + token * args.top_k);
}

int slices_of(std::int64_t hidden_size) {
  return static_cast<int>((hidden_size / 4 + kSliceQuads - 1) / kSliceQuads);
}

bool fits(const RmsNormArgs& norm, const MoeRouteArgs& route) {
  const std::int64_t hidden_size = norm.input.shape[1];
  return norm.input.shape[0] <= kMostTokens && route.gate.dtype == DType::kF32 &&
         route.gate.rows <= kMostExperts && hidden_size % 4 == 0 &&
         hidden_size <= 4 * kFinishQuads * kThreads && slices_of(hidden_size) <= kMostSlices &&
         is_aligned(norm.input.data) && is_aligned(norm.output.data) &&
         is_aligned(norm.weight.data) && is_aligned(route.gate.data);
}

}  // namespace

bool tiled_norm_route(const RmsNormArgs& norm, const MoeRouteArgs& route, Context& context) {
  if (!fits(norm, route)) return false;
  const std::int64_t num_tokens = norm.input.shape[0];
  const std::int64_t num_experts = route.gate.rows;
  const int slices = slices_of(norm.input.shape[1]);
  const TiledRoute args = {.input = static_cast<const float4*>(norm.input.data),
                           .weight = static_cast<const float4*>(norm.weight.data),
                           .gate = static_cast<const float4*>(route.gate.data),
                           .partial = context.route_partials.get<float>(
                               static_cast<std::size_t>(slices * num_tokens * num_experts)),
                           .num_tokens = static_cast<int>(num_tokens),
                           .quads = static_cast<int>(norm.input.shape[1] / 4),
                           .num_experts = static_cast<int>(num_experts)};
  const int rows = kTileExperts + (static_cast<int>(num_tokens) + kSide - 1) / kSide * kSide;
  const int num_bytes = rows * kPitch * static_cast<int>(sizeof(float4));
  allow_shared_memory(route_slices_kernel, num_bytes);
  const dim3 grid(static_cast<unsigned>((num_experts + kTileExperts - 1) / kTileExperts),
                  static_cast<unsigned>(slices));
  launch_kernel(context, route_slices_kernel, grid, kThreads, num_bytes, args);
  const auto top_k = static_cast<int>(route.topk_ids.shape[1]);
  launch_kernel(context, finish_route_kernel, static_cast<unsigned>(num_tokens), kThreads,
                (args.num_experts + top_k) * static_cast<int>(sizeof(float)),
                {.route = args,
                 .slices = slices,
                 .eps = norm.eps,
                 .normed = static_cast<float4*>(norm.output.data),
                 .router_logits = route.router_logits.as<float>(),
                 .correction_bias = route.correction_bias.as<float>(),
                 .topk_ids = route.topk_ids.as<std::int32_t>(),
                 .topk_weights = route.topk_weights.as<float>(),
                 .top_k = top_k});
  return true;
}

}  // namespace m2::cuda
