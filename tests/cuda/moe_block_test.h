// The experts' half of a layer with random weights, as one call and as its parts.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <span>

#include "cuda/device_cases.h"

namespace m2::test {

class MoeBlockTest : public DeviceTest {
 protected:
  struct BlockOutputs {
    Tensor residual, normed, logits, ids, weights;
  };

  /// Router and norm for experts of this width.
  void make_router(std::int64_t num_experts, std::int64_t hidden_size, Random& random) {
    gate_ = place(StoredWeight(DType::kF32, num_experts, hidden_size, random).view());
    factors_ = to_device(random.tensor({hidden_size}).view());
    bias_ = to_device(random.tensor({num_experts}, 0.01F).view());
  }

  /// input [T, H] on the host.
  BlockOutputs run_block(const Tensor& input, std::span<const ExpertWeights> experts,
                         std::int64_t top_k, bool fused) {
    const std::int64_t num_tokens = input.shape()[0];
    BlockOutputs out = {to_device(input.view()), backend_->allocate(DType::kF32, input.shape()),
                        backend_->allocate(DType::kF32, {num_tokens, gate_.rows}),
                        backend_->allocate(DType::kI32, {num_tokens, top_k}),
                        backend_->allocate(DType::kF32, {num_tokens, top_k})};
    const RmsNormArgs norm = {out.residual.view(), factors_.view(), 1e-6F, out.normed.view()};
    const MoeRouteArgs route = {out.normed.view(), gate_,          bias_.view(),
                                out.logits.view(), out.ids.view(), out.weights.view()};
    const MoeExpertsArgs args = {.hidden_states = out.normed.view(),
                                 .topk_ids = out.ids.view(),
                                 .topk_weights = out.weights.view(),
                                 .experts = experts,
                                 .output = out.residual.view()};
    if (fused) {
      backend_->moe_block({norm, route, args});
    } else {
      backend_->norm_route(norm, route);
      backend_->moe_experts(args);
    }
    return out;
  }

  void expect_same_bits(const Tensor& got, const Tensor& expected) {
    test::expect_same_bits(floats(to_host(got)), floats(to_host(expected)));
  }
  void expect_same_choice(const BlockOutputs& got, const BlockOutputs& expected) {
    expect_same_bits(got.weights, expected.weights);
    const Tensor ids = to_host(got.ids);
    const Tensor expected_ids = to_host(expected.ids);
    EXPECT_EQ(std::memcmp(ids.view().data, expected_ids.view().data, ids.view().num_bytes()), 0);
  }

  WeightView gate_;  // [E, H]
  Tensor factors_;   // [H]
  Tensor bias_;      // [E]
};

}  // namespace m2::test
