#include "ops/moe_route.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/error.h"
#include "ops/contract.h"
#include "ops/linear.h"

namespace m2 {

void check(const MoeRouteArgs& args) {
  check_weight(args.gate, "moe_route");
  check_tensor("moe_route", "hidden_states", args.hidden_states, DType::kF32, 2);
  const Shape& hidden = args.hidden_states.shape;
  const std::int64_t num_experts = args.gate.rows;
  M2_CHECK(hidden[1] == args.gate.cols, "moe_route: gate [", num_experts, ", ", args.gate.cols,
           "] does not match hidden_states ", hidden);
  check_tensor("moe_route", "correction_bias", args.correction_bias, DType::kF32, 1);
  M2_CHECK(args.correction_bias.shape[0] == num_experts, "moe_route: correction_bias ",
           args.correction_bias.shape, " does not match gate of ", num_experts, " experts");
  check_shape("moe_route", "router_logits", args.router_logits, DType::kF32,
              {hidden[0], num_experts}, "gate and hidden_states", hidden);
  check_tensor("moe_route", "topk_ids", args.topk_ids, DType::kI32, 2);
  const Shape& topk = args.topk_ids.shape;
  M2_CHECK(topk[0] == hidden[0] && topk[1] >= 1 && topk[1] <= num_experts, "moe_route: topk_ids ",
           topk, " does not match hidden_states ", hidden, " and ", num_experts, " experts");
  check_shape("moe_route", "topk_weights", args.topk_weights, DType::kF32, topk, "topk_ids", topk);
}

void choose_experts(const MoeRouteArgs& args, std::int64_t token, std::span<float> scores,
                    std::span<float> choice) {
  const std::int64_t num_experts = args.gate.rows;
  const std::int64_t top_k = args.topk_ids.shape[1];
  const float* logits = args.router_logits.as<float>() + token * num_experts;
  const float* bias = args.correction_bias.as<float>();
  std::int32_t* ids = args.topk_ids.as<std::int32_t>() + token * top_k;
  float* weights = args.topk_weights.as<float>() + token * top_k;
  for (std::size_t e = 0; e < scores.size(); ++e) {
    scores[e] = 1.0F / (1.0F + std::exp(-logits[e]));
    choice[e] = scores[e] + bias[e];
    // A NaN compares with nothing; as the smallest value it is still a valid expert.
    if (std::isnan(choice[e])) choice[e] = -HUGE_VALF;
  }
  float sum = 0.0F;
  for (std::int64_t j = 0; j < top_k; ++j) {
    std::size_t best = scores.size();
    for (std::size_t e = 0; e < scores.size(); ++e) {
      const bool taken = std::find(ids, ids + j, static_cast<std::int32_t>(e)) != ids + j;
      if (!taken && (best == scores.size() || choice[e] > choice[best])) best = e;
    }
    ids[j] = static_cast<std::int32_t>(best);
    weights[j] = scores[best];
    sum += scores[best];
  }
  for (std::int64_t j = 0; j < top_k; ++j) weights[j] /= sum;
}

namespace reference {

void moe_route(const MoeRouteArgs& args) {
  check(args);
  linear({.input = args.hidden_states, .weight = args.gate, .output = args.router_logits});
  std::vector<float> scores(static_cast<std::size_t>(args.gate.rows));
  std::vector<float> choice(scores.size());
  for (std::int64_t token = 0; token < args.hidden_states.shape[0]; ++token) {
    choose_experts(args, token, scores, choice);
  }
}

}  // namespace reference
}  // namespace m2
