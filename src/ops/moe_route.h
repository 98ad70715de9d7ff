// The router: which experts a token goes to, and with what weights.
#pragma once

#include <cstdint>
#include <span>

#include "quant/weight_view.h"

namespace m2 {

struct MoeRouteArgs {
  TensorView hidden_states;    // [T, H] f32
  WeightView gate;             // [E, H]
  TensorView correction_bias;  // [E] f32
  TensorView router_logits;    // [T, E] f32, output
  TensorView topk_ids;         // [T, K] i32, output
  TensorView topk_weights;     // [T, K] f32, output
};

void check(const MoeRouteArgs& args);

/// The second half of the operation for one token, shared by the backends on the host: fills its
/// topk_ids and topk_weights from its router_logits. scores and choice are room for E values each.
void choose_experts(const MoeRouteArgs& args, std::int64_t token, std::span<float> scores,
                    std::span<float> choice);

namespace reference {
/// logits = hidden gate^T; s = sigmoid(logits); the K experts with the largest s + bias, in
/// descending order and ties to the lowest index; weights = s / sum of the chosen s: the bias
/// changes the choice only. If all chosen s are 0 the weights are NaN, as in the reference.
void moe_route(const MoeRouteArgs& args);
}  // namespace reference
}  // namespace m2
