#include "quantizer/recipe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "checkpoint/file_images.h"
#include "support/tiny_model.h"

namespace m2 {
namespace {

using test::error_of;
using ::testing::HasSubstr;

std::map<std::string, std::string> chosen(const std::string& format,
                                          const std::vector<std::string>& rules = {},
                                          bool tied = false, DType dtype = DType::kBF16) {
  auto config = test::tiny_config();
  config.intermediate_size = 32;  // whole blocks of q4_0
  config.tie_word_embeddings = tied;
  const ModelWeights weights = random_weights(config, dtype, 1);
  Recipe recipe = {.format = parse_target_format(format)};
  for (const std::string& rule : rules) recipe.rules.push_back(parse_tensor_rule(rule));
  const auto tensors = saved_tensors(weights, {});
  const auto targets = recipe.choose(tensors, weights.tied);
  std::map<std::string, std::string> result;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    result[tensors[i].name] = target_format_name(targets[i]);
  }
  return result;
}

constexpr const char* kEmbed = "model.embed_tokens.weight";
constexpr const char* kHead = "lm_head.weight";
constexpr const char* kQuery = "model.layers.1.self_attn.q_proj.weight";
constexpr const char* kExpert = "model.layers.1.block_sparse_moe.experts.5.w2.weight";
constexpr const char* kRouter = "model.layers.0.block_sparse_moe.gate.weight";
constexpr const char* kBias = "model.layers.0.block_sparse_moe.e_score_correction_bias";
constexpr const char* kNorm = "model.layers.0.input_layernorm.weight";

TEST(Recipe, DefaultsFollowTheRole) {
  const struct {
    const char* format;
    const char* wide;
    const char* embedding;
  } cases[] = {{"int4_g32", "int8_g32", "stored"},
               {"int4_g128", "int8_g32", "stored"},
               {"int8_g32", "int8_g32", "stored"},
               {"q4_0", "q8_0", "stored"},
               {"f16", "f16", "f16"},
               {"stored", "stored", "stored"}};
  for (const auto& [format, wide, embedding] : cases) {
    SCOPED_TRACE(format);
    auto targets = chosen(format);
    EXPECT_EQ(targets[kExpert], format);
    EXPECT_EQ(targets[kQuery], wide);
    EXPECT_EQ(targets[kHead], wide);
    EXPECT_EQ(targets[kEmbed], embedding);
    for (const char* name : {kRouter, kBias, kNorm}) EXPECT_EQ(targets[name], "stored") << name;
  }
  EXPECT_EQ(chosen("int4_g32", {}, /*tied=*/true)[kEmbed], "int8_g32");
  EXPECT_EQ(chosen("int4_g32", {}, false, DType::kF32)[kEmbed], "bf16");
}

TEST(Recipe, TheFirstRuleThatMatchesWins) {
  auto targets = chosen("int4_g32", {"layers.1.*experts.5.w2=bf16", "experts=int8_g32", "norm=f32",
                                     "w?.weight=int4_g128"});
  EXPECT_EQ(targets[kExpert], "bf16");
  EXPECT_EQ(targets["model.layers.0.block_sparse_moe.experts.5.w2.weight"], "int8_g32");
  EXPECT_EQ(targets[kNorm], "f32");
  EXPECT_EQ(targets[kQuery], "int8_g32");
}

TEST(Recipe, RefusesWhatCannotBe) {
  const struct {
    const char* format;
    std::vector<std::string> rules;
    const char* message;
  } cases[] = {
      {"int3", {}, "format \"int3\": expected one of stored, f32, bf16, f16, int8_g32"},
      {"q5_k", {}, "format \"q5_k\": expected one of"},
      {"q4_k", {}, "rows of 32 weights are no whole blocks of q4_k"},
      {"int8_g32", {"input_layernorm=int8_g32"}, "input_layernorm.weight: a vector [32] cannot"},
      {"int8_g32", {"expert.9.=bf16"}, "no tensor's name contains \"expert.9.\""},
      {"int8_g32", {"=bf16"}, "expected PATTERN=FORMAT"},
      {"int8_g32", {"q_proj"}, "expected PATTERN=FORMAT"},
  };
  for (const auto& [format, rules, message] : cases) {
    EXPECT_THAT(error_of([&, f = format, &r = rules] { chosen(f, r); }), HasSubstr(message));
  }
}

}  // namespace
}  // namespace m2
