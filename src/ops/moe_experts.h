// The mixture-of-experts feed-forward block, after routing.
#pragma once

#include <cstdint>
#include <span>

#include "ops/activation.h"
#include "quant/weight_view.h"

namespace m2 {

struct ExpertWeights {
  WeightView gate;  // [I, H], w1 of the checkpoint
  WeightView up;    // [I, H], w3
  WeightView down;  // [H, I], w2
};

struct MoeExpertsArgs {
  TensorView hidden_states;                // [T, H] f32
  TensorView topk_ids;                     // [T, K] i32, each in [0, E): as moe_route writes them
  TensorView topk_weights;                 // [T, K] f32
  std::span<const ExpertWeights> experts;  // [E]
  Activation activation = Activation::kSilu;
  TensorView output;  // [T, H] f32: output += result, the residual connection
};

/// Looks at shapes and types; what topk_ids holds may lie on a device.
void check(const MoeExpertsArgs& args);

namespace reference {
/// output[t] += sum_j topk_weights[t, j] * down_e(act(gate_e x) * up_e x), e = topk_ids[t, j]; the
/// sum over j in float32 in the router's order, then one addition to the output.
void moe_experts(const MoeExpertsArgs& args);
}  // namespace reference
}  // namespace m2
