#include "bench/step_cost.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "bench/weight_format.h"

namespace m2::bench {
namespace {

// Two layers, H 8, two heads of 4 and one KV head, four experts of width 16 of which 2, V 10.
struct Sizes {
  Sizes() {
    config.hidden_size = 8;
    config.num_attention_heads = 2;
    config.num_key_value_heads = 1;
    config.head_dim = 4;
    config.num_local_experts = 4;
    config.num_experts_per_tok = 2;
    const WeightFormat bf16;
    const ExpertWeights expert = {.gate = unplaced_weight(bf16, 16, 8),
                                  .up = unplaced_weight(bf16, 16, 8),
                                  .down = unplaced_weight(bf16, 8, 16)};
    const LayerWeights layer = {.q = unplaced_weight(bf16, 8, 8),
                                .k = unplaced_weight(bf16, 4, 8),
                                .v = unplaced_weight(bf16, 4, 8),
                                .attn_out = unplaced_weight(bf16, 8, 8),
                                .gate = unplaced_weight({DType::kF32}, 4, 8),
                                .experts = {4, expert}};
    weights.layers = {layer, layer};
    weights.embed_tokens = unplaced_weight(bf16, 10, 8);
    weights.lm_head = unplaced_weight(bf16, 10, 8);
  }
  MiniMaxM2Config config;
  ModelWeights weights;
};

constexpr double kDenseBytes = 2 * (2 * (64 + 32 + 32 + 64) + 4 * 32);  // both layers
constexpr double kExpertBytes = 2 * 3 * 128;
constexpr double kTokenOperations = 2 * 2 * (64 + 32 + 32 + 64 + 32 + 2 * 3 * 128);

TEST(StepCost, OneTokenReadsItsExpertsAndItsContext) {
  const Sizes sizes;
  const CostModel costs(sizes.config, sizes.weights, KvFormat::kBF16);
  const StepCost cost = costs.cost({.num_cached = 99, .num_logits = 1, .experts_used = 4});
  EXPECT_EQ(cost.weight_bytes, kDenseBytes + 4 * kExpertBytes + 160 + 16);
  EXPECT_EQ(cost.kv_bytes, 100 * 2 * 2 * 4 * 2);
  EXPECT_EQ(cost.operations, kTokenOperations + 100 * 2 * 4 * 8 + 2 * 80);
}

TEST(StepCost, SeveralTokensShareWhatTheyRead) {
  const Sizes sizes;
  const CostModel costs(sizes.config, sizes.weights, KvFormat::kF32);
  const StepCost cost = costs.cost({.num_seqs = 3, .num_tokens = 5, .experts_used = 7});
  EXPECT_EQ(cost.weight_bytes, kDenseBytes + 7 * kExpertBytes + 15 * 16);
  EXPECT_EQ(cost.kv_bytes, 3 * 5 * 2 * 2 * 4 * 4);
  EXPECT_EQ(cost.operations, 15 * kTokenOperations + 3 * (1 + 2 + 3 + 4 + 5) * 2 * 4 * 8);
}

TEST(WeightFormat, HasNames) {
  for (const char* name : {"f32", "f16", "bf16", "fp8", "int8_g32", "int4_g32", "int4_g128"}) {
    EXPECT_EQ(weight_format_name(weight_format_from_name(name)), name);
  }
  EXPECT_THROW((void)weight_format_from_name("int5"), Error);
}

}  // namespace
}  // namespace m2::bench
