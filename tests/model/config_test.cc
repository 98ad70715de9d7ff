#include "m2/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "checkpoint/file_images.h"
#include "support/paths.h"

namespace m2 {
namespace {

using test::error_of;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

MiniMaxM2Config parse(const std::string& text, bool strict = false,
                      std::vector<std::string>* warnings = nullptr) {
  return MiniMaxM2Config::from_json(text, {.strict = strict, .warnings = warnings});
}

std::string error(const std::string& text, bool strict = false) {
  return error_of([&] { parse(text, strict); });
}

std::vector<std::string> warnings(const std::string& text) {
  std::vector<std::string> sentences;
  parse(text, /*strict=*/false, &sentences);
  return sentences;
}

TEST(Config, EmptyObjectGivesTheClassDefaults) {
  const auto config = parse("{}");
  EXPECT_EQ(config, MiniMaxM2Config());
  EXPECT_EQ(config.rotary_dim(), 128);
  MiniMaxM2Config().validate();
}

TEST(Config, ReadsEveryField) {
  const auto config = parse(R"({
    "model_type": "minimax_m2", "architectures": ["MiniMaxM2ForCausalLM"], "vocab_size": 100,
    "hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "head_dim": 16, "hidden_act": "gelu",
    "max_position_embeddings": 1000, "initializer_range": 0.5, "rms_norm_eps": 1e-5,
    "use_cache": false, "pad_token_id": 7, "bos_token_id": null, "eos_token_id": [1, 2],
    "tie_word_embeddings": true, "attention_dropout": 0.25, "num_experts_per_tok": 2,
    "num_local_experts": 4, "output_router_logits": true, "router_aux_loss_coef": 0.5,
    "router_jitter_noise": 0.125, "torch_dtype": "bfloat16", "transformers_version": "1"})");
  EXPECT_EQ(config.vocab_size, 100);
  EXPECT_EQ(config.hidden_size, 64);
  EXPECT_EQ(config.intermediate_size, 32);
  EXPECT_EQ(config.num_hidden_layers, 3);
  EXPECT_EQ(config.num_attention_heads, 6);
  EXPECT_EQ(config.num_key_value_heads, 2);
  EXPECT_EQ(config.head_dim, 16);
  EXPECT_EQ(config.hidden_act, "gelu");
  EXPECT_EQ(config.max_position_embeddings, 1000);
  EXPECT_EQ(config.initializer_range, 0.5);
  EXPECT_EQ(config.rms_norm_eps, 1e-5);
  EXPECT_FALSE(config.use_cache);
  EXPECT_EQ(config.pad_token_id, 7);
  EXPECT_EQ(config.bos_token_id, std::nullopt);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(1, 2));
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(config.attention_dropout, 0.25);
  EXPECT_EQ(config.num_experts_per_tok, 2);
  EXPECT_EQ(config.num_local_experts, 4);
  EXPECT_TRUE(config.output_router_logits);
  EXPECT_EQ(config.router_aux_loss_coef, 0.5);
  EXPECT_EQ(config.router_jitter_noise, 0.125);
  EXPECT_EQ(config.dtype, "bfloat16");
  EXPECT_THAT(config.architectures, ElementsAre("MiniMaxM2ForCausalLM"));
  EXPECT_THAT(config.extra, IsEmpty());
}

TEST(Config, AliasesAndPriorities) {
  EXPECT_EQ(parse(R"({"num_experts": 16})").num_local_experts, 16);
  EXPECT_EQ(parse(R"({"num_experts": 16, "num_local_experts": 32})").num_local_experts, 16);
  EXPECT_EQ(parse(R"({"dtype": "float16", "torch_dtype": "bfloat16"})").dtype, "float16");
  EXPECT_EQ(parse(R"({"dtype": null, "torch_dtype": "bfloat16"})").dtype, "bfloat16");
  EXPECT_THAT(parse(R"({"eos_token_id": null})").eos_token_ids, IsEmpty());
}

TEST(Config, KeepsUnknownKeysInTheirOrder) {
  const auto config =
      parse(R"({"zeta": {"b": [1, 2.5], "a": "\u00fc"}, "vocab_size": 10, "alpha": null})");
  EXPECT_THAT(config.extra,
              ElementsAre(Pair("zeta", "{\"b\":[1,2.5],\"a\":\"\u00fc\"}"), Pair("alpha", "null")));
}

TEST(Config, PublishedFile) {
  const auto path = test::external_data("minimax-m2/config.json");
  if (!path.has_value()) GTEST_SKIP() << "the published config.json is not here";
  std::vector<std::string> sentences;
  const auto config =
      MiniMaxM2Config::from_pretrained(path->parent_path(), {.warnings = &sentences});
  EXPECT_THAT(sentences, IsEmpty());
  EXPECT_EQ(config.rotary_dim(), 64);
  EXPECT_EQ(config.rope.rope_theta, 5000000.0);
  EXPECT_EQ(config.quantization->weight_block_size, (std::array<std::int64_t, 2>{128, 128}));
  EXPECT_EQ(MiniMaxM2Config::from_pretrained(path->parent_path(), {.strict = true}).rotary_dim(),
            128);
}

TEST(Config, HubFormAndInternalFormSayTheSame) {
  const auto hub = parse(R"({"head_dim": 128, "rotary_dim": 64, "rope_theta": 5000000})");
  const auto internal = parse(R"({"head_dim": 128, "rope_parameters":
      {"rope_type": "default", "rope_theta": 5000000.0, "partial_rotary_factor": 0.5}})");
  EXPECT_EQ(hub.rope, internal.rope);
}

TEST(Rotary, DimensionGivesTheFactorOnlyWhereNoneIsGiven) {
  EXPECT_EQ(parse(R"({"rotary_dim": 64})").rotary_dim(), 64);
  EXPECT_EQ(parse(R"({"rotary_dim": 64})", /*strict=*/true).rotary_dim(), 128);
  EXPECT_EQ(parse(R"({"rotary_dim": null})").rotary_dim(), 128);
  EXPECT_EQ(parse(R"({"rotary_dim": 64, "partial_rotary_factor": 0.25})").rotary_dim(), 32);
  EXPECT_THAT(warnings(R"({"rotary_dim": 64, "partial_rotary_factor": 0.25})"),
              ElementsAre(HasSubstr("rotary_dim 64 is ignored")));
  EXPECT_THAT(warnings(R"({"rotary_dim": 64, "partial_rotary_factor": 0.5})"), IsEmpty());
}

TEST(Rotary, EveryEvenDimensionSurvivesTheFactor) {
  for (int head_dim = 2; head_dim <= 256; ++head_dim) {
    for (int rotary_dim = 2; rotary_dim <= head_dim; rotary_dim += 2) {
      const auto config = parse("{\"head_dim\": " + std::to_string(head_dim) +
                                ", \"rotary_dim\": " + std::to_string(rotary_dim) + "}");
      ASSERT_EQ(config.rotary_dim(), rotary_dim) << head_dim;
    }
  }
}

TEST(Rope, LegacyScalingReplacesTheParameters) {
  const auto config = parse(R"({"rope_scaling": {"type": "linear", "factor": 2.0},
      "rope_parameters": {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 3.0},
      "rope_theta": 77.0})");
  EXPECT_EQ(config.rope.type, RopeType::kLinear);
  EXPECT_EQ(config.rope.factor, 2.0);
  EXPECT_EQ(config.rope.rope_theta, 77.0);
  const auto empty = parse(R"({"rope_scaling": null, "rope_parameters": {"rope_theta": 3.0}})");
  EXPECT_EQ(empty.rope.rope_theta, 3.0);
  EXPECT_EQ(parse(R"({"rope_scaling": {}, "rope_theta": 5})").rope.rope_theta, 5.0);
}

TEST(Rope, ThetaOfTheDictionaryWins) {
  EXPECT_EQ(parse(R"({"rope_theta": 2.0, "rope_parameters": {"rope_theta": 3.0}})").rope.rope_theta,
            3.0);
}

TEST(Rope, TopLevelPartialFactorWinsForScaledTypesOnly) {
  const std::string top = R"({"partial_rotary_factor": 0.5, "rope_parameters": )";
  EXPECT_EQ(parse(top + R"({"partial_rotary_factor": 0.25}})").rotary_dim(), 32);
  EXPECT_EQ(parse(top + R"({"rope_theta": 2.0}})").rotary_dim(), 64);
  EXPECT_EQ(parse(top + R"({"rope_type": "linear", "factor": 2.0,
      "partial_rotary_factor": 0.25}})")
                .rotary_dim(),
            64);
}

TEST(Rope, OriginalLengthComesFromTheTopThenTheDictionaryThenTheMaximum) {
  const std::string yarn = R"("rope_type": "yarn", "factor": 2.0)";
  const auto original = [](const std::string& text) {
    return parse(text).rope.original_max_position_embeddings;
  };
  EXPECT_EQ(original(R"({"rope_parameters": {)" + yarn + "}}"), 196608);
  const std::string dictionary =
      R"("rope_parameters": {)" + yarn + R"(, "original_max_position_embeddings": 4096}})";
  EXPECT_EQ(original("{" + dictionary), 4096);
  EXPECT_EQ(original(R"({"original_max_position_embeddings": 8192, )" + dictionary), 8192);
  EXPECT_EQ(original(R"({"original_max_position_embeddings": 8192})"), std::nullopt);
}

TEST(Rope, WarnsAboutWhatIsProbablyMeantOtherwise) {
  const auto of = [](const std::string& rope) {
    return warnings(R"({"max_position_embeddings": 4096, "rope_parameters": {)" + rope + "}}");
  };
  EXPECT_THAT(of(R"("rope_type": "linear", "factor": 2)"),
              ElementsAre(HasSubstr("factor should be a fraction of at least 1.0")));
  EXPECT_THAT(of(R"("rope_type": "linear", "factor": 0.5)"),
              ElementsAre(HasSubstr("factor should be")));
  EXPECT_THAT(of(R"("rope_type": "linear", "factor": 2.0, "beta": 1)"),
              ElementsAre(HasSubstr("rope_type \"linear\" does not use the key beta")));
  EXPECT_THAT(of(R"("rope_type": "yarn", "factor": 2.0, "beta_fast": 1, "beta_slow": 2.0)"),
              ElementsAre(HasSubstr("beta_fast should be a fraction"),
                          HasSubstr("beta_fast should not be below beta_slow")));
  EXPECT_THAT(of(R"("rope_type": "yarn", "factor": 2.0,
                   "original_max_position_embeddings": 1024)"),
              ElementsAre(HasSubstr("factor is not max_position_embeddings /")));
  EXPECT_THAT(of(R"("rope_type": "llama3", "factor": 2.0, "low_freq_factor": 4.0,
                   "high_freq_factor": 1.0)"),
              ElementsAre(HasSubstr("high_freq_factor should be above"),
                          HasSubstr("should be below max_position_embeddings")));
  EXPECT_THAT(of(R"("rope_type": "yarn", "factor": 4.0,
                   "original_max_position_embeddings": 1024)"),
              IsEmpty());
  EXPECT_THAT(warnings(R"({"model_type": "llama"})"), ElementsAre(HasSubstr("model_type")));
}

TEST(Rope, ReadsFloatsThatJsonDoesNotHave) {
  EXPECT_THAT(error(R"({"rope_theta": {"__float__": "Infinity"}})"),
              HasSubstr("rope_theta is missing or has a value"));
}

TEST(Quantization, ReadsItsFields) {
  const auto of = [](const std::string& fields) {
    return *parse(R"({"quantization_config": {"quant_method": "fp8")" + fields + "}}").quantization;
  };
  EXPECT_EQ(of(""), QuantizationConfig());
  EXPECT_EQ(of(R"(, "weight_block_size": null)").weight_block_size, std::nullopt);
  EXPECT_EQ(of(R"(, "weight_block_size": [64, 32])").weight_block_size,
            (std::array<std::int64_t, 2>{64, 32}));
  EXPECT_EQ(of(R"(, "activation_scheme": "STATIC")").activation_scheme, "static");
  EXPECT_TRUE(of(R"(, "dequantize": true)").dequantize);
  EXPECT_EQ(of(R"(, "modules_to_not_convert": null)").modules_to_not_convert, std::nullopt);
  EXPECT_THAT(*of(R"(, "modules_to_not_convert": ["gate"], "fmt": "x")").modules_to_not_convert,
              ElementsAre("gate"));
  EXPECT_FALSE(parse(R"({"quantization_config": null})").quantization.has_value());
}

struct Refusal {
  const char* text;
  const char* message;
};

TEST(ConfigErrors, NameTheKey) {
  const std::vector<Refusal> refusals = {
      {"", "corrupt_file: config: not valid JSON"},
      {"{\"a\": ", "corrupt_file: config: not valid JSON"},
      {"[1]", "corrupt_file: config: expected a JSON object, got array"},
      {R"({"hidden_size": "64"})", "config: hidden_size: expected an integer, got \"64\""},
      {R"({"hidden_size": 1.5})", "config: hidden_size: expected an integer, got 1.5"},
      {R"({"head_dim": null})", "config: head_dim: expected an integer, got null"},
      {R"({"hidden_size": 18446744073709551615})", "config: hidden_size: expected an integer"},
      {R"({"rms_norm_eps": "x"})", "config: rms_norm_eps: expected a number"},
      {R"({"rms_norm_eps": -1})", "config: rms_norm_eps: expected a finite number"},
      {R"({"use_cache": 1})", "config: use_cache: expected true or false, got 1"},
      {R"({"hidden_act": 1})", "config: hidden_act: expected a string"},
      {R"({"eos_token_id": ["a"]})", "config: eos_token_id: expected an integer"},
      {R"({"architectures": [1]})", "config: architectures: expected a list of strings"},
      {R"({"vocab_size": 0})", "config: vocab_size: expected a number from 1"},
      {R"({"hidden_size": -1})", "config: hidden_size: expected a number from 1"},
      {R"({"num_hidden_layers": 0})", "config: num_hidden_layers: expected a number from 1"},
      {R"({"num_hidden_layers": 1000000000})", "config: num_hidden_layers: expected a number"},
      {R"({"head_dim": 0})", "config: head_dim: expected a positive number"},
      {R"({"num_attention_heads": 7})",
       "config: num_attention_heads 7 is not a multiple of num_key_value_heads 8"},
      {R"({"num_experts_per_tok": 9, "num_local_experts": 8})",
       "config: num_experts_per_tok 9 exceeds num_local_experts 8"},
      {R"({"hidden_act": "prelu"})", "unsupported: config: hidden_act \"prelu\""},
      {R"({"dtype": "int8"})", "unsupported: config: dtype \"int8\""},
      {R"({"scoring_func": "softmax"})",
       "unsupported: config: scoring_func: only \"sigmoid\" is supported, got \"softmax\""},
      {R"({"qk_norm_type": "per_head"})", "unsupported: config: qk_norm_type"},
      {R"({"use_qk_norm": false})", "unsupported: config: use_qk_norm"},
      {R"({"use_routing_bias": false})", "unsupported: config: use_routing_bias"},
      {R"({"shared_intermediate_size": 512})", "unsupported: config: shared_intermediate_size"},
      {R"({"sliding_window": 512})", "unsupported: config: sliding_window"},
      {R"({"attn_type_list": [1, 0]})", "unsupported: config: attn_type_list"},
      {R"({"rotary_dim": 33})", "33 dimensions; expected an even number"},
      {R"({"rotary_dim": 130})", "config: rotary_dim: expected a number from 1 to head_dim 128"},
      {R"({"rotary_dim": "x"})", "config: rotary_dim: expected an integer"},
      {R"({"partial_rotary_factor": 1.5})", "config: partial_rotary_factor"},
      {R"({"partial_rotary_factor": 0.0})", "config: partial_rotary_factor"},
      {R"({"rope_theta": null})", "rope_theta: expected a number, got null"},
      {R"({"rope_theta": 0})", "config: rope_parameters: rope_theta is missing or has a value"},
      {R"({"rope_parameters": []})", "config: rope_parameters: expected an object"},
      {R"({"rope_parameters": {"rope_type": "mrope"}})",
       "unsupported: config: rope_parameters: rope_type \"mrope\""},
      {R"({"rope_parameters": {"rope_type": 1}})", "rope_type: expected a string"},
      {R"({"rope_parameters": {"full_attention": {"rope_type": "default"}}})",
       "rope settings for each layer type are not supported"},
      {R"({"rope_parameters": {"rope_type": "linear"}})",
       "config: rope_parameters: rope_type \"linear\" needs the key factor"},
      {R"({"rope_parameters": {"rope_type": "linear", "factor": null}})",
       "factor is missing or has a value that rope_type linear cannot use"},
      {R"({"rope_parameters": {"rope_type": "dynamic"}})", "\"dynamic\" needs the key factor"},
      {R"({"head_dim": 2, "rope_parameters": {"rope_type": "dynamic", "factor": 2.0}})",
       "partial_rotary_factor is missing or has a value that rope_type dynamic cannot use"},
      {R"({"rope_parameters": {"rope_type": "yarn"}})", "\"yarn\" needs the key factor"},
      {R"({"rope_parameters": {"rope_type": "yarn", "factor": 2.0, "rope_theta": 1.0}})",
       "rope_theta is missing or has a value"},
      {R"({"rope_parameters": {"rope_type": "longrope", "short_factor": [1.0]}})",
       "\"longrope\" needs the key long_factor"},
      {R"({"rope_parameters": {"rope_type": "longrope", "short_factor": [1.0],
           "long_factor": [1.0]}})",
       "config: rope_parameters: short_factor: expected 64 numbers, got 1"},
      {R"({"rope_parameters": {"rope_type": "longrope", "short_factor": ["a"],
           "long_factor": []}})",
       "short_factor: expected a number, got \"a\""},
      {R"({"rope_parameters": {"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 1.0}})",
       "\"llama3\" needs the key high_freq_factor"},
      {R"({"rope_parameters": {"rope_type": "llama3", "factor": 2.0, "low_freq_factor": 1.0,
           "high_freq_factor": 1.0}})",
       "high_freq_factor is missing or has a value"},
      {R"({"quantization_config": {}})", "config: quantization_config: quant_method is missing"},
      {R"({"quantization_config": {"quant_method": "awq"}})",
       "unsupported: config: quantization_config: quant_method \"awq\""},
      {R"({"quantization_config": {"quant_method": "fp8", "activation_scheme": "x"}})",
       "activation_scheme: expected \"dynamic\" or \"static\", got \"x\""},
      {R"({"quantization_config": {"quant_method": "fp8", "weight_block_size": [128]}})",
       "weight_block_size: expected two sizes, got [128]"},
      {R"({"quantization_config": {"quant_method": "fp8", "weight_block_size": [0, 128]}})",
       "weight_block_size: expected a number from 1"},
  };
  for (const auto& [text, message] : refusals) {
    EXPECT_THAT(error(text), HasSubstr(message)) << text;
  }
}

TEST(ConfigErrors, StrictIgnoresWhatTheReferenceIgnores) {
  EXPECT_EQ(error(R"({"scoring_func": "softmax", "rotary_dim": 33, "use_qk_norm": false})",
                  /*strict=*/true),
            "no error");
}

TEST(ConfigErrors, DepthIsBounded) {
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  EXPECT_THAT(error("{\"a\": " + deep + "}"), HasSubstr("nested deeper than 64"));
}

TEST(ConfigErrors, AbsentFileIsNamed) {
  const test::TempDir dir;
  EXPECT_THAT(error_of([&] { MiniMaxM2Config::from_pretrained(dir.path()); }),
              HasSubstr("not_found: " + (dir.path() / "config.json").string()));
  dir.write("config.json", "{");
  EXPECT_THAT(error_of([&] { MiniMaxM2Config::from_pretrained(dir.path()); }),
              HasSubstr((dir.path() / "config.json").string() + ": not valid JSON"));
}

}  // namespace
}  // namespace m2
