#include "model/gguf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "checkpoint/file_images.h"
#include "m2/config.h"
#include "model/weight_names.h"

namespace m2 {
namespace {

using test::error_of;
using test::TempDir;
using ::testing::HasSubstr;

MiniMaxM2Config small_config() {
  MiniMaxM2Config config;
  config.vocab_size = 96;
  config.hidden_size = 64;
  config.intermediate_size = 32;
  config.num_hidden_layers = 3;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 32;
  config.num_local_experts = 6;
  config.num_experts_per_tok = 2;
  config.max_position_embeddings = 512;
  config.rope.partial_rotary_factor = 0.5;
  config.rope.rope_theta = 1e6;
  config.bos_token_id = 7;
  config.eos_token_ids = {9};
  return config;
}

// The config of a file, after `change` had the writer.
MiniMaxM2Config round_trip(const MiniMaxM2Config& config,
                           const std::function<void(GgufWriter&)>& change = {}) {
  const TempDir dir;
  GgufWriter writer;
  write_gguf_config(config, writer);
  if (change) change(writer);
  writer.write(dir.path() / "m.gguf");
  return MiniMaxM2Config::from_pretrained(dir.path() / "m.gguf");
}

TEST(GgufConfig, SaysWhatTheConfigSaid) {
  const MiniMaxM2Config config = small_config();
  const MiniMaxM2Config read = round_trip(config);
  EXPECT_EQ(read.vocab_size, 96);
  EXPECT_EQ(read.hidden_size, 64);
  EXPECT_EQ(read.intermediate_size, 32);
  EXPECT_EQ(read.num_hidden_layers, 3);
  EXPECT_EQ(read.num_attention_heads, 4);
  EXPECT_EQ(read.num_key_value_heads, 2);
  EXPECT_EQ(read.head_dim, 32);
  EXPECT_EQ(read.num_local_experts, 6);
  EXPECT_EQ(read.num_experts_per_tok, 2);
  EXPECT_EQ(read.max_position_embeddings, 512);
  EXPECT_EQ(read.rms_norm_eps, 1e-6);
  EXPECT_EQ(read.rotary_dim(), 16);
  EXPECT_EQ(read.rope.rope_theta, 1e6);
  EXPECT_EQ(read.bos_token_id, 7);
  EXPECT_EQ(read.eos_token_ids, std::vector<std::int64_t>{9});
  EXPECT_EQ(read.pad_token_id, std::nullopt);
  EXPECT_TRUE(read.tie_word_embeddings);  // there is no output.weight
}

TEST(GgufConfig, KeepsYarnAndLinearScaling) {
  MiniMaxM2Config config = small_config();
  config.rope.type = RopeType::kYarn;
  config.rope.factor = 4.0;
  config.rope.original_max_position_embeddings = 128;
  MiniMaxM2Config read = round_trip(config);
  EXPECT_EQ(read.rope.type, RopeType::kYarn);
  EXPECT_EQ(read.rope.factor, 4.0);
  EXPECT_EQ(read.rope.original_max_position_embeddings, 128);
  config.rope.type = RopeType::kLinear;
  config.rope.original_max_position_embeddings.reset();
  read = round_trip(config);
  EXPECT_EQ(read.rope.type, RopeType::kLinear);
  EXPECT_EQ(read.rope.factor, 4.0);
}

TEST(GgufConfig, RefusesWhatTheModelDoesNotDo) {
  const MiniMaxM2Config config = small_config();
  const auto error_with = [&](const std::function<void(GgufWriter&)>& change) {
    return error_of([&] { (void)round_trip(config, change); });
  };
  EXPECT_THAT(error_with([](GgufWriter& w) { w.set_uint32("minimax-m2.expert_shared_count", 1); }),
              HasSubstr("minimax-m2.expert_shared_count: only 0 is supported, got 1"));
  EXPECT_THAT(
      error_with([](GgufWriter& w) { w.set_text("minimax-m2.rope.scaling.type", "longrope"); }),
      HasSubstr("minimax-m2.rope.scaling.type: longrope is not supported"));
  EXPECT_THAT(
      error_with([](GgufWriter& w) { w.set_text("minimax-m2.rope.scaling.type", "linear"); }),
      HasSubstr("the metadata has no minimax-m2.rope.scaling.factor"));
  EXPECT_THAT(
      error_with([](GgufWriter& w) { w.set_float32("minimax-m2.expert_weights_scale", 2.5F); }),
      HasSubstr("minimax-m2.expert_weights_scale: only 1 is supported, got 2.5"));
  MiniMaxM2Config longrope = config;
  longrope.rope.type = RopeType::kLlama3;
  longrope.rope.factor = 8;
  longrope.rope.original_max_position_embeddings = 128;
  longrope.rope.low_freq_factor = 1;
  longrope.rope.high_freq_factor = 4;
  EXPECT_THAT(error_of([&] { (void)round_trip(longrope); }),
              HasSubstr("rope settings of type llama3"));
}

TEST(GgufConfig, AbsentKeysAreNamed) {
  const TempDir dir;
  GgufWriter writer;
  writer.set_text("general.architecture", "minimax-m2");
  writer.write(dir.path() / "m.gguf");
  EXPECT_THAT(error_of([&] { (void)MiniMaxM2Config::from_pretrained(dir.path()); }),
              HasSubstr("m.gguf: the metadata has no minimax-m2.embedding_length"));
}

TEST(GgufNames, AreFoundAndGiven) {
  const std::pair<Place, const char*> names[] = {
      {{Part::kEmbedTokens}, "token_embd.weight"},
      {{Part::kLmHead}, "output.weight"},
      {{Part::kNorm}, "output_norm.weight"},
      {{Part::kAttnOut, 12}, "blk.12.attn_output.weight"},
      {{Part::kPostAttentionNorm, 0}, "blk.0.ffn_norm.weight"},
      {{Part::kCorrectionBias, 3}, "blk.3.exp_probs_b.bias"},
      {{Part::kStackedUp, 3}, "blk.3.ffn_up_exps.weight"},
      {{Part::kFusedDown, 61}, "blk.61.ffn_down_exps.weight"},
  };
  for (const auto& [place, name] : names) {
    EXPECT_EQ(gguf_name(place), name);
    const auto parsed = parse_tensor_name(name);
    ASSERT_TRUE(parsed.has_value()) << name;
    EXPECT_EQ(parsed->part, place.part);
    EXPECT_EQ(parsed->layer, place.layer);
  }
  EXPECT_FALSE(parse_tensor_name("blk.01.attn_q.weight").has_value());
  EXPECT_FALSE(parse_tensor_name("blk.1.attn_qkv.weight").has_value());
}

}  // namespace
}  // namespace m2
