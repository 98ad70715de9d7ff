// Types, dequantising and random initialisation while weights load, and what is reported.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "model/edited_checkpoint.h"
#include "model/save_weights.h"
#include "support/tiny_model.h"

namespace m2 {
namespace {

using test::EditedCheckpoint;
using test::error_of;
using test::golden_path;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

struct Loaded {
  MiniMaxM2Config config;
  std::shared_ptr<const Checkpoint> checkpoint;
  LoadReport report;
  ModelWeights weights;
};

Loaded load(const std::string& golden, const WeightLoadOptions& options) {
  const auto directory = golden_path("checkpoints/" + golden);
  Loaded loaded{MiniMaxM2Config::from_pretrained(directory), Checkpoint::open(directory), {}, {}};
  loaded.weights = load_weights(loaded.config, loaded.checkpoint, &loaded.report, {}, options);
  return loaded;
}

float first(const WeightView& view) {
  std::vector<float> row(static_cast<std::size_t>(view.cols));
  decode_row(view, 0, row.data());
  return row[0];
}

TEST(LoadDtype, WideningKeepsTheBytesOfTheFile) {
  const Loaded plain = load("bf16", {});
  const Loaded wide = load("bf16", {.dtype = DType::kF32});
  EXPECT_EQ(wide.weights.layers[0].q.dtype, DType::kBF16);
  EXPECT_EQ(wide.report.converted_bytes, plain.report.converted_bytes);
  const test::TempDir out;
  save_weights(wide.config, wide.weights, out.path());
  const auto saved = Checkpoint::open(out.path());
  for (const CheckpointTensor& tensor : saved->tensors()) {
    EXPECT_EQ(tensor.view.dtype, DType::kF32) << tensor.name;
    const TensorView& file = wide.checkpoint->find(tensor.name)->view;
    for (std::int64_t i = 0; i < file.num_elements(); ++i) {
      ASSERT_EQ(tensor.view.as<float>()[i], load_float(file.data, file.dtype, i)) << tensor.name;
    }
  }
}

TEST(LoadDtype, NarrowingRoundsAllButTheFloatRouter) {
  for (const DType dtype : {DType::kBF16, DType::kF16}) {
    const Loaded loaded = load("gqa", {.dtype = dtype});
    const Loaded strict = load("gqa", {.dtype = dtype, .strict = true});
    const LayerWeights& layer = loaded.weights.layers[0];
    EXPECT_EQ(layer.q.dtype, dtype);
    EXPECT_EQ(layer.experts[1].down.dtype, dtype);
    EXPECT_EQ(layer.gate.dtype, DType::kF32);
    EXPECT_EQ(strict.weights.layers[0].gate.dtype, dtype);
    const float value = load("gqa", {}).weights.norm.as<float>()[0];
    const float rounded =
        dtype == DType::kBF16 ? to_float(to_bf16(value)) : to_float(to_f16(value));
    EXPECT_EQ(loaded.weights.norm.as<float>()[0], rounded);
    const test::TempDir out;
    save_weights(strict.config, strict.weights, out.path());
    const auto saved = Checkpoint::open(out.path());
    for (const auto& tensor : saved->tensors()) {
      EXPECT_EQ(tensor.view.dtype, dtype) << tensor.name;
    }
  }
}

TEST(LoadDtype, Fp8StaysUnlessDequantized) {
  const Loaded plain = load("fp8", {.dtype = DType::kBF16});
  EXPECT_EQ(plain.weights.layers[0].q.dtype, DType::kF8E4M3);
  EXPECT_EQ(plain.weights.layers[0].gate.dtype, DType::kF32);
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    const Loaded loaded = load("fp8", {.dtype = dtype, .dequantize = true});
    const WeightView& down = loaded.weights.layers[0].experts[2].down;
    EXPECT_EQ(down.dtype, dtype);
    EXPECT_EQ(down.scale, nullptr);
    const float value = first(plain.weights.layers[0].experts[2].down);
    EXPECT_EQ(first(down), dtype == DType::kF32 ? value : to_float(to_bf16(value)));
    EXPECT_EQ(loaded.weights.layers[0].gate.dtype, DType::kF32);
  }
  EXPECT_EQ(load("fp8", {.dequantize = true}).weights.layers[0].v.dtype, DType::kBF16);
}

TEST(LoadFp8, HonoursTheQuantizationConfig) {
  EditedCheckpoint edited("fp8");
  edited.config.quantization->activation_scheme = "static";
  EXPECT_THAT(edited.error(), HasSubstr("activation_scheme \"static\" is not supported"));
  edited.config.quantization->activation_scheme = "dynamic";
  edited.config.quantization->modules_to_not_convert = {"self_attn.o_proj"};
  EXPECT_THAT(edited.error(), HasSubstr("o_proj.weight is F8_E4M3, but modules_to_not_convert"));
  edited.config.quantization->modules_to_not_convert = std::nullopt;
  EXPECT_EQ(edited.error(), "no error");
}

TEST(RandomWeights, AreThoseOfAFreshModel) {
  auto config = test::tiny_config();
  config.pad_token_id = 5;
  const ModelWeights weights = random_weights(config, DType::kF32, 1);
  const LayerWeights& layer = weights.layers[1];
  double sum = 0;
  double squares = 0;
  const std::int64_t count = layer.q.rows * layer.q.cols;
  for (std::int64_t i = 0; i < count; ++i) {
    const double value = load_float(layer.q.data, DType::kF32, i);
    sum += value;
    squares += value * value;
  }
  const double n = static_cast<double>(count);
  EXPECT_NEAR(sum / n, 0.0, 5 * 0.02 / std::sqrt(n));
  EXPECT_NEAR(std::sqrt(squares / n), 0.02, 5 * 0.02 / std::sqrt(2 * n));
  EXPECT_EQ(layer.input_norm.as<float>()[3], 1.0F);
  EXPECT_EQ(layer.correction_bias.as<float>()[3], 0.0F);
  std::vector<float> row(32);
  decode_row(weights.embed_tokens, 5, row.data());
  EXPECT_THAT(row, ::testing::Each(0.0F));
}

TEST(RandomWeights, DependOnSeedAndNameAlone) {
  const auto config = test::tiny_config();
  const ModelWeights a = random_weights(config, DType::kF32, 1);
  const ModelWeights b = random_weights(config, DType::kF32, 1);
  const ModelWeights c = random_weights(config, DType::kF32, 2);
  EXPECT_EQ(first(a.layers[1].k), first(b.layers[1].k));
  EXPECT_NE(first(a.layers[1].k), first(c.layers[1].k));
  EXPECT_NE(first(a.layers[1].k), first(a.layers[0].k));
  EXPECT_NE(first(a.layers[0].experts[0].gate), first(a.layers[0].experts[0].up));
  const ModelWeights half = random_weights(config, DType::kBF16, 1);
  EXPECT_EQ(half.layers[1].k.dtype, DType::kBF16);
  EXPECT_EQ(first(half.layers[1].k), to_float(to_bf16(first(a.layers[1].k))));
}

TEST(RandomWeights, NoRangeMeansTheRuleOfTheBaseClassForItsOwnModules) {
  auto config = test::tiny_config();
  config.initializer_range = 0;
  const ModelWeights weights = random_weights(config, DType::kF32, 1);
  EXPECT_NE(first(weights.layers[0].q), 0.0F);
  EXPECT_EQ(first(weights.layers[0].gate), 0.0F);
  EXPECT_EQ(first(weights.layers[0].experts[0].up), 0.0F);
}

TEST(Initialize, FillsWhatIsMissing) {
  EditedCheckpoint edited("gqa");
  edited.drop("lm_head.weight").drop("model.layers.0.self_attn.q_norm.weight");
  edited.rename_all([](const std::string& name) {
    return name.find("layers.1.block_sparse_moe.experts") != std::string::npos ? "x." + name : name;
  });
  LoadReport report;
  const ModelWeights weights = edited.load(&report, {}, {.initialize_missing = true, .seed = 1});
  EXPECT_THAT(report.missing_keys,
              ElementsAre("lm_head.weight", "model.layers.0.self_attn.q_norm.weight",
                          "model.layers.1.mlp.experts.down_proj",
                          "model.layers.1.mlp.experts.gate_up_proj"));
  EXPECT_EQ(weights.layers[1].experts.size(), 8U);
  EXPECT_EQ(first(weights.layers[1].experts[2].up),
            first(random_weights(edited.config, DType::kF32, 1).layers[1].experts[2].up));
  EXPECT_EQ(weights.layers[0].q_norm.as<float>()[0], 1.0F);
}

TEST(Initialize, ReplacesWhatHasAnotherShape) {
  EditedCheckpoint edited("gqa");
  edited.config.vocab_size = 50;
  edited.config.num_local_experts = 6;
  LoadReport report;
  EXPECT_THAT(error_of([&] { edited.load(&report); }), HasSubstr("of another shape"));
  const ModelWeights weights = edited.load(&report, {}, {.initialize_mismatched = true});
  EXPECT_EQ(weights.lm_head.rows, 50);
  EXPECT_EQ(weights.layers[0].experts.size(), 6U);
  std::vector<std::string> names;
  for (const auto& item : report.mismatched_keys) names.push_back(item.name);
  EXPECT_THAT(names, ::testing::IsSupersetOf({"lm_head.weight", "model.embed_tokens.weight",
                                              "model.layers.0.mlp.experts.gate_up_proj",
                                              "model.layers.1.mlp.gate.weight"}));
  EXPECT_THAT(report.missing_keys, IsEmpty());
}

TEST(Initialize, ExpertsThatCannotBeStackedAreAlwaysAnError) {
  EditedCheckpoint edited("gqa");
  edited.drop("model.layers.0.block_sparse_moe.experts.3.w3.weight");
  LoadReport report;
  EXPECT_THAT(error_of([&] {
                edited.load(&report, {},
                            {.initialize_missing = true, .initialize_mismatched = true});
              }),
              HasSubstr("model.layers.0.mlp.experts.gate_up_proj cannot be made of the experts"));
  EXPECT_EQ(report.error_msgs.size(), 1U);
}

}  // namespace
}  // namespace m2
