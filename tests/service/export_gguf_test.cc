// The shipped model as a GGUF file: everything that from_pretrained reads comes back.
#include "service/export_gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "checkpoint/checkpoint.h"
#include "checkpoint/file_images.h"
#include "m2/chat.h"
#include "m2/config.h"
#include "m2/generation_config.h"
#include "m2/tokenizer.h"
#include "model/weights.h"
#include "service/loaded_model.h"
#include "support/paths.h"

namespace m2 {
namespace {

using test::error_of;
using test::shipped_model;
using test::TempDir;
using ::testing::HasSubstr;

class ExportGguf : public ::testing::Test {
 protected:
  std::filesystem::path exported(const char* format) const {
    const auto path = dir_.path() / (std::string(format) + ".gguf");
    export_gguf(shipped_model(), path, {.format = gguf_format_from_name(format), .num_threads = 2});
    return path;
  }

  TempDir dir_;
};

TEST_F(ExportGguf, ConfigComesBack) {
  const auto path = exported("bf16");
  const auto config = MiniMaxM2Config::from_pretrained(path);
  const auto expected = MiniMaxM2Config::from_pretrained(shipped_model());
  EXPECT_EQ(config.vocab_size, expected.vocab_size);
  EXPECT_EQ(config.hidden_size, expected.hidden_size);
  EXPECT_EQ(config.intermediate_size, expected.intermediate_size);
  EXPECT_EQ(config.num_hidden_layers, expected.num_hidden_layers);
  EXPECT_EQ(config.num_attention_heads, expected.num_attention_heads);
  EXPECT_EQ(config.num_key_value_heads, expected.num_key_value_heads);
  EXPECT_EQ(config.head_dim, expected.head_dim);
  EXPECT_EQ(config.rotary_dim(), expected.rotary_dim());
  EXPECT_EQ(config.rope.rope_theta, expected.rope.rope_theta);
  EXPECT_EQ(config.rms_norm_eps, expected.rms_norm_eps);
  EXPECT_EQ(config.num_local_experts, expected.num_local_experts);
  EXPECT_EQ(config.num_experts_per_tok, expected.num_experts_per_tok);
  EXPECT_EQ(config.max_position_embeddings, expected.max_position_embeddings);
  EXPECT_EQ(config.bos_token_id, expected.bos_token_id);
  EXPECT_EQ(config.eos_token_ids, expected.eos_token_ids);
  EXPECT_FALSE(config.tie_word_embeddings);
  // A directory with nothing but the file means the file.
  EXPECT_EQ(MiniMaxM2Config::from_pretrained(dir_.path()).hidden_size, expected.hidden_size);
  EXPECT_EQ(GenerationConfig::from_pretrained(path).eos_token_id,
            GenerationConfig::from_pretrained(shipped_model()).eos_token_id);
}

TEST_F(ExportGguf, TokenizerAndTemplateComeBack) {
  const auto path = exported("bf16");
  const auto tokenizer = Tokenizer::from_pretrained(path);
  const auto expected = Tokenizer::from_pretrained(shipped_model());
  EXPECT_EQ(tokenizer.vocab_size(), expected.vocab_size());
  EXPECT_EQ(tokenizer.vocab_size(false), expected.vocab_size(false));
  EXPECT_EQ(tokenizer.id_limit(), expected.id_limit());
  EXPECT_EQ(tokenizer.bos_id(), expected.bos_id());
  EXPECT_EQ(tokenizer.eos_id(), expected.eos_id());
  EXPECT_EQ(tokenizer.unk_id(), expected.unk_id());
  for (TokenId id = 0; id < static_cast<TokenId>(tokenizer.id_limit()); ++id) {
    EXPECT_EQ(tokenizer.id_to_token(id), expected.id_to_token(id));
    EXPECT_EQ(tokenizer.is_special(id), expected.is_special(id));
  }
  const ChatRequest request = {.messages_json = R"([{"role": "user", "content": "<think>Hi"}])"};
  const auto prompt = ChatTemplate::from_directory(path).render(request);
  const auto expected_prompt = ChatTemplate::from_directory(shipped_model()).render(request);
  EXPECT_EQ(prompt.text, expected_prompt.text);
  EXPECT_EQ(tokenizer.encode_ids({prompt.text, prompt.untrusted}),
            expected.encode_ids({expected_prompt.text, expected_prompt.untrusted}));
}

std::vector<float> decoded(const WeightView& view) {
  std::vector<float> values(static_cast<std::size_t>(view.rows * view.cols));
  for (std::int64_t row = 0; row < view.rows; ++row) {
    decode_row(view, row, values.data() + row * view.cols);
  }
  return values;
}

double relative_error(const WeightView& view, const WeightView& expected) {
  const auto values = decoded(view);
  const auto reference = decoded(expected);
  double error = 0;
  double square = 0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    error += std::pow(double{values[i]} - double{reference[i]}, 2);
    square += std::pow(double{reference[i]}, 2);
  }
  return std::sqrt(error / square);
}

TEST_F(ExportGguf, WeightsComeBack) {
  const auto config = MiniMaxM2Config::from_pretrained(shipped_model());
  const ModelWeights expected = load_weights(config, Checkpoint::open(shipped_model()));
  const std::pair<const char*, double> limits[] = {{"f32", 0},     {"bf16", 0},   {"q8_0", 0.01},
                                                   {"q4_0", 0.13}, {"q4_k", 0.1}, {"q6_k", 0.03}};
  for (const auto& [format, limit] : limits) {
    SCOPED_TRACE(format);
    LoadReport report;
    const ModelWeights weights = load_weights(config, Checkpoint::open(exported(format)), &report);
    EXPECT_TRUE(report.unexpected.empty());
    const LayerWeights& layer = weights.layers[3];
    const LayerWeights& other = expected.layers[3];
    EXPECT_LE(relative_error(layer.q, other.q), limit);
    EXPECT_LE(relative_error(layer.experts[7].gate, other.experts[7].gate), limit);
    EXPECT_LE(relative_error(layer.experts[7].up, other.experts[7].up), limit);
    EXPECT_LE(relative_error(layer.experts[7].down, other.experts[7].down), limit);
    EXPECT_LE(relative_error(weights.lm_head, expected.lm_head), limit);
    EXPECT_EQ(relative_error(layer.gate, other.gate), 0);  // the router stays float32
    EXPECT_EQ(layer.correction_bias.as<float>()[5], other.correction_bias.as<float>()[5]);
  }
}

TEST_F(ExportGguf, AnsweredAsFromTheDirectory) {
  FromPretrainedOptions options;
  options.num_threads = 2;
  const auto continued = [&](const std::filesystem::path& path) {
    LoadedModel model(path.string(), options);
    std::vector<TokenId> ids =
        model.tokenizer().encode_ids("]~b]user\nWhat is 17 * 25?[e~[\n]~b]ai\n");
    GenerateInputs inputs;
    inputs.input_ids = {ids.data(), DType::kI32, {1, std::ssize(ids)}};
    GenerationConfig config;
    config.max_new_tokens = 24;
    config.do_sample = false;
    const GenerateOutput output = model.generate(inputs, config);
    const auto* tokens = output.sequences.as<std::int64_t>();
    return std::vector<std::int64_t>(tokens, tokens + output.sequences.shape().num_elements());
  };
  EXPECT_EQ(continued(exported("bf16")), continued(shipped_model()));
}

TEST_F(ExportGguf, RefusesUnknownFormats) {
  EXPECT_THAT(error_of([] { (void)gguf_format_from_name("q5_k"); }),
              HasSubstr("expected one of f32 f16 bf16 q8_0 q4_0 q4_k q6_k, got q5_k"));
}

}  // namespace
}  // namespace m2
