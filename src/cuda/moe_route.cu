#include "ops/moe_route.h"

#include "base/error.h"
#include "cuda/choose_experts.cuh"
#include "cuda/context.h"
#include "cuda/few_tokens_route.h"
#include "cuda/launch.cuh"
#include "cuda/sm90/gemm.h"
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
  RouterScores scores;
  if (few_tokens_route(norm, route, scores, context)) {
    choose_by_scores(scores, route.topk_ids, route.topk_weights, context);
  } else if (!tiled_norm_route(norm, route, context)) {
    const LinearArgs gate = gate_product(route);
    if (route.gate.dtype == DType::kF32 && sm90::fits_linears({&gate, 1}, context)) {
      sm90::linears({&gate, 1}, &norm, context);
    } else {
      rms_norm(norm, context);
      linear(gate, context);
    }
    return choose(route, context);
  }
  check_launch("norm_route");
}

void moe_block(const MoeBlockArgs& args, Context& context) {
  check(args.norm);
  check_route(args.route);
  check(args.experts);
  RouterScores scores;
  if (args.norm.input.shape[0] > 0 && few_tokens_route(args.norm, args.route, scores, context)) {
    check_launch("norm_route");
    return moe_experts(args.experts, &scores, context);
  }
  const LinearArgs gate = gate_product(args.route);
  if (sm90::norms_into_experts(args, gate, context)) {
    const sm90::OperandRows tokens = sm90::norm_into_experts(args, gate, context);
    choose(args.route, context);
    return sm90::experts(args.experts, &tokens, context);
  }
  norm_route(args.norm, args.route, context);
  moe_experts(args.experts, nullptr, context);
}

}  // namespace m2::cuda
