#include "model/weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "m2/error.h"
#include "model/edited_checkpoint.h"

namespace m2 {
namespace {

using test::EditedCheckpoint;
using test::golden_path;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const char* const kLayer0 = "model.layers.0.";
const std::string kMoe = "model.layers.0.block_sparse_moe.";

struct Loaded {
  MiniMaxM2Config config;
  std::shared_ptr<const Checkpoint> checkpoint;
  LoadReport report;
  ModelWeights weights;
};

Loaded load(const std::string& name) {
  const auto directory = golden_path("checkpoints/" + name);
  Loaded loaded{MiniMaxM2Config::from_pretrained(directory), Checkpoint::open(directory), {}, {}};
  loaded.weights = load_weights(loaded.config, loaded.checkpoint, &loaded.report);
  return loaded;
}

class GoldenWeights : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenWeights, LoadCompletely) {
  const Loaded loaded = load(GetParam());
  const auto& [config, checkpoint, report, weights] = loaded;
  EXPECT_THAT(report.missing, IsEmpty());
  EXPECT_THAT(report.unexpected, IsEmpty());
  EXPECT_TRUE(report.mismatched.empty());
  EXPECT_THAT(report.warnings, IsEmpty());
  EXPECT_EQ(report.num_tensors, std::ssize(checkpoint->tensors()));
  EXPECT_EQ(report.copied_tensors, 0);
  // Norms and the bias of every layer, and the final norm.
  EXPECT_EQ(report.converted_tensors, config.num_hidden_layers * 5 + 1);
  std::int64_t bytes = 0;
  for (const auto& [dtype, count] : report.bytes_by_dtype) bytes += count;
  std::int64_t file_bytes = 0;
  for (const auto& tensor : checkpoint->tensors()) {
    file_bytes += static_cast<std::int64_t>(tensor.view.num_bytes());
  }
  EXPECT_EQ(bytes, file_bytes);

  check_weight(weights.embed_tokens, "embed_tokens");
  check_weight(weights.lm_head, "lm_head");
  ASSERT_EQ(std::ssize(weights.layers), config.num_hidden_layers);
  for (const auto& layer : weights.layers) {
    for (const auto* view : {&layer.q, &layer.k, &layer.v, &layer.attn_out, &layer.gate}) {
      check_weight(*view, "layer");
    }
    EXPECT_EQ(layer.q_norm.shape, (Shape{config.num_attention_heads * config.head_dim}));
    EXPECT_EQ(layer.correction_bias.shape, (Shape{config.num_local_experts}));
    ASSERT_EQ(std::ssize(layer.experts), config.num_local_experts);
    for (const auto& expert : layer.experts) {
      check_weight(expert.gate, "gate");
      check_weight(expert.up, "up");
      check_weight(expert.down, "down");
      EXPECT_EQ(expert.down.rows, config.hidden_size);
      EXPECT_EQ(expert.down.cols, config.intermediate_size);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, GoldenWeights,
                         ::testing::Values("gqa", "mqa", "mha", "tied", "bf16", "f16", "sharded",
                                           "internal_names", "hub_config", "fp8",
                                           "fp8_small_blocks"),
                         [](const auto& name) { return std::string(name.param); });

TEST(Weights, PointIntoTheMapping) {
  const Loaded loaded = load("gqa");
  const auto data = [&](const std::string& name) {
    return static_cast<const void*>(loaded.checkpoint->find(name)->view.data);
  };
  const LayerWeights& layer = loaded.weights.layers[1];
  const std::string prefix = "model.layers.1.";
  EXPECT_EQ(loaded.weights.embed_tokens.data, data("model.embed_tokens.weight"));
  EXPECT_EQ(loaded.weights.lm_head.data, data("lm_head.weight"));
  EXPECT_EQ(layer.q.data, data(prefix + "self_attn.q_proj.weight"));
  EXPECT_EQ(layer.k.data, data(prefix + "self_attn.k_proj.weight"));
  EXPECT_EQ(layer.v.data, data(prefix + "self_attn.v_proj.weight"));
  EXPECT_EQ(layer.attn_out.data, data(prefix + "self_attn.o_proj.weight"));
  EXPECT_EQ(layer.gate.data, data(prefix + "block_sparse_moe.gate.weight"));
  EXPECT_EQ(layer.experts[7].gate.data, data(prefix + "block_sparse_moe.experts.7.w1.weight"));
  EXPECT_EQ(layer.experts[7].down.data, data(prefix + "block_sparse_moe.experts.7.w2.weight"));
  EXPECT_EQ(layer.experts[7].up.data, data(prefix + "block_sparse_moe.experts.7.w3.weight"));
  EXPECT_FALSE(loaded.weights.tied);
}

TEST(Weights, VectorsBecomeFloats) {
  const Loaded loaded = load("bf16");
  const LayerWeights& layer = loaded.weights.layers[0];
  const std::vector<std::pair<std::string, TensorView>> vectors = {
      {"input_layernorm.weight", layer.input_norm},
      {"post_attention_layernorm.weight", layer.post_attention_norm},
      {"self_attn.q_norm.weight", layer.q_norm},
      {"self_attn.k_norm.weight", layer.k_norm},
      {"block_sparse_moe.e_score_correction_bias", layer.correction_bias},
  };
  for (const auto& [name, view] : vectors) {
    const TensorView& file = loaded.checkpoint->find(kLayer0 + name)->view;
    EXPECT_EQ(file.dtype, DType::kBF16);
    for (std::int64_t i = 0; i < view.num_elements(); ++i) {
      ASSERT_EQ(view.as<float>()[i], load_float(file.data, file.dtype, i)) << name << " " << i;
    }
  }
  EXPECT_EQ(loaded.report.converted_bytes, (2 * (32 + 32 + 64 + 32 + 8) + 32) * 4);
}

TEST(Weights, FusedExpertsAreCutWithoutCopies) {
  const Loaded loaded = load("internal_names");
  const auto* fused = loaded.checkpoint->find("model.layers.0.mlp.experts.gate_up_proj");
  const auto* down = loaded.checkpoint->find("model.layers.0.mlp.experts.down_proj");
  const std::int64_t inner = loaded.config.intermediate_size;
  const std::int64_t hidden = loaded.config.hidden_size;
  for (std::int64_t e = 0; e < loaded.config.num_local_experts; ++e) {
    const ExpertWeights& expert = loaded.weights.layers[0].experts[static_cast<std::size_t>(e)];
    const float* gate_up = fused->view.as<float>() + e * 2 * inner * hidden;
    EXPECT_EQ(expert.gate.data, gate_up);
    EXPECT_EQ(expert.up.data, gate_up + inner * hidden);
    EXPECT_EQ(expert.down.data, down->view.as<float>() + e * inner * hidden);
  }
}

TEST(Weights, TiedModelsShareOneMatrix) {
  const Loaded loaded = load("tied");
  EXPECT_TRUE(loaded.weights.tied);
  EXPECT_EQ(loaded.weights.lm_head.data, loaded.weights.embed_tokens.data);

  EditedCheckpoint only_head("tied");
  const ModelWeights weights =
      only_head.rename("model.embed_tokens.weight", "lm_head.weight").load();
  EXPECT_TRUE(weights.tied);
  EXPECT_EQ(weights.embed_tokens.data, weights.lm_head.data);
}

TEST(Weights, TiedConfigWithBothMatricesKeepsBoth) {
  EditedCheckpoint edited("gqa");
  edited.config.tie_word_embeddings = true;
  LoadReport report;
  const ModelWeights weights = edited.load(&report);
  EXPECT_FALSE(weights.tied);
  EXPECT_NE(weights.lm_head.data, weights.embed_tokens.data);
  EXPECT_THAT(report.warnings, ElementsAre(HasSubstr("they are not tied")));
}

TEST(Weights, TiedConfigWithNeitherMatrixNamesBoth) {
  EditedCheckpoint edited("tied");
  EXPECT_THAT(edited.drop("model.embed_tokens.weight").error(),
              HasSubstr("2 missing: model.embed_tokens.weight, lm_head.weight"));
}

TEST(Weights, BothNamesMayBeMixedAcrossLayers) {
  EditedCheckpoint edited("internal_names");
  const auto& config = edited.config;
  const TensorView gate_up = edited.tensors.at("model.layers.1.mlp.experts.gate_up_proj");
  const TensorView down = edited.tensors.at("model.layers.1.mlp.experts.down_proj");
  const std::int64_t size = config.intermediate_size * config.hidden_size;
  edited.drop("model.layers.1.mlp.experts.gate_up_proj")
      .drop("model.layers.1.mlp.experts.down_proj");
  for (std::int64_t e = 0; e < config.num_local_experts; ++e) {
    const std::string prefix = "model.layers.1.block_sparse_moe.experts." + std::to_string(e) + ".";
    const Shape wide{config.intermediate_size, config.hidden_size};
    const Shape tall{config.hidden_size, config.intermediate_size};
    edited.tensors[prefix + "w1.weight"] = {gate_up.as<float>() + 2 * e * size, DType::kF32, wide};
    edited.tensors[prefix + "w3.weight"] = {gate_up.as<float>() + (2 * e + 1) * size, DType::kF32,
                                            wide};
    edited.tensors[prefix + "w2.weight"] = {down.as<float>() + e * size, DType::kF32, tall};
  }
  edited.rename("model.layers.1.mlp.gate.weight", "model.layers.1.block_sparse_moe.gate.weight");
  const ModelWeights weights = edited.load();
  std::vector<float> row(static_cast<std::size_t>(config.hidden_size));
  decode_row(weights.layers[1].experts[3].up, 5, row.data());
  EXPECT_EQ(row[2], gate_up.as<float>()[(2 * 3 + 1) * size + 5 * config.hidden_size + 2]);
}

TEST(Weights, PrefixOfTheModelMayBeAbsent) {
  EditedCheckpoint edited("gqa");
  edited.rename_all(
      [](std::string name) { return name.starts_with("model.") ? name.substr(6) : name; });
  EXPECT_THAT(edited.error(), "no error");
}

TEST(Weights, PrefixMayBeSuperfluous) {
  EditedCheckpoint edited("gqa");
  EXPECT_THAT(edited.rename("lm_head.weight", "model.lm_head.weight").error(), "no error");
}

TEST(Weights, UnexpectedTensorsAreReported) {
  EditedCheckpoint edited("gqa");
  const std::vector<std::string> unexpected = {
      "model.layers.2.input_layernorm.weight",  // a layer too many
      "model.layers.0.self_attn.q_proj.bias",
      "model.layers.00.self_attn.q_proj.weight",
      kMoe + "experts.01.w1.weight",
      kMoe + "experts.1.w4.weight",
      kMoe + "experts.99999999999999999999.w1.weight",
      "model.mtp.0.weight",
      "layers.",
      "model.",
  };
  for (const auto& name : unexpected) edited.put(name, DType::kF32, {1});
  edited.put("model.layers.0.self_attn.rotary_emb.inv_freq", DType::kF32, {4});
  LoadReport report;
  edited.load(&report);
  EXPECT_THAT(report.unexpected, ::testing::UnorderedElementsAreArray(unexpected));
}

TEST(Weights, ProgressReachesTheTotal) {
  EditedCheckpoint edited("gqa");
  std::vector<std::int64_t> done;
  std::int64_t total = 0;
  edited.load(nullptr, [&](std::int64_t now, std::int64_t all) {
    done.push_back(now);
    total = all;
  });
  EXPECT_EQ(total, std::ssize(edited.tensors));
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.back(), total);
  EXPECT_GE(done.size(), 3U);
}

TEST(WeightErrors, MissingTensorIsNamedInBothForms) {
  EditedCheckpoint edited("gqa");
  edited.drop(kMoe + "gate.weight").drop("model.layers.1.self_attn.q_proj.weight");
  EXPECT_EQ(edited.error(),
            "corrupt_file: checkpoint does not fit the config: 2 missing: "
            "model.layers.0.block_sparse_moe.gate.weight (mlp.gate.weight), "
            "model.layers.1.self_attn.q_proj.weight");
}

TEST(WeightErrors, OnlyTheFirstMissingTensorsAreListed) {
  EditedCheckpoint edited("gqa");
  edited.rename_all([](const std::string& name) { return "other." + name; });
  LoadReport report;
  EXPECT_THROW(edited.load(&report), Error);
  // Three of the model and 10 + 3 of each layer, the experts of one kind together.
  EXPECT_EQ(report.missing.size(), 3U + 2 * 13);
  EXPECT_THAT(edited.error(), HasSubstr(", and 24 more"));
}

TEST(WeightErrors, WrongShapeShowsBoth) {
  EditedCheckpoint edited("gqa");
  edited.put("model.norm.weight", DType::kF32, {31});
  edited.put(kMoe + "experts.2.w2.weight", DType::kF32, {16, 32});
  EXPECT_THAT(edited.error(), HasSubstr("2 of another shape: model.norm.weight is [31] in the file "
                                        "and [32] in the model"));
  EXPECT_THAT(edited.error(),
              HasSubstr("experts.2.w2.weight (mlp.experts.down_proj) is [16, 32] in the file and "
                        "[32, 16] in the model"));
}

TEST(WeightErrors, MissingExpertsAreListedByNumber) {
  EditedCheckpoint edited("gqa");
  edited.drop(kMoe + "experts.3.w3.weight").drop(kMoe + "experts.5.w3.weight");
  EXPECT_THAT(edited.error(),
              HasSubstr("1 missing: model.layers.0.block_sparse_moe.experts.{3, 5}.w3.weight "
                        "(mlp.experts.gate_up_proj)"));
}

TEST(WeightErrors, SurplusExpertsDoNotFit) {
  EditedCheckpoint edited("gqa");
  edited.put(kMoe + "experts.8.w1.weight", DType::kF32, {16, 32});
  EXPECT_THAT(edited.error(), HasSubstr("experts.{8}.w1.weight (mlp.experts.gate_up_proj) is "
                                        "[9, 16, 32] in the file and [8, 16, 32] in the model"));
}

TEST(WeightErrors, FusedExpertsOfAnotherShape) {
  EditedCheckpoint edited("internal_names");
  edited.put("model.layers.0.mlp.experts.gate_up_proj", DType::kF32, {3, 40, 24});
  EXPECT_THAT(edited.error(), HasSubstr("(mlp.experts.gate_up_proj) is [3, 40, 24] in the file "
                                        "and [4, 40, 24] in the model"));
}

TEST(WeightErrors, OneTensorUnderTwoNames) {
  EditedCheckpoint edited("gqa");
  edited.put("model.layers.0.mlp.gate.weight", DType::kF32, {8, 32});
  EXPECT_THAT(edited.error(), HasSubstr("are the same tensor of the model"));
  EditedCheckpoint fused("internal_names");
  fused.put(kMoe + "experts.1.w2.weight", DType::kF32, {24, 20});
  EXPECT_THAT(fused.error(), HasSubstr("model.layers.0.mlp.experts.down_proj and "
                                       "model.layers.0.block_sparse_moe.experts.1.w2.weight"));
}

TEST(WeightErrors, UnsupportedDtypeIsNamed) {
  EditedCheckpoint edited("gqa");
  edited.put("model.layers.0.self_attn.v_proj.weight", DType::kI64, {32, 32});
  EXPECT_EQ(edited.error(),
            "unsupported: checkpoint: model.layers.0.self_attn.v_proj.weight: weights of dtype I64 "
            "are not supported");
  EditedCheckpoint doubles("gqa");
  doubles.put("model.layers.0.self_attn.v_proj.weight", DType::kF64, {32, 32});
  EXPECT_EQ(doubles.error(), "no error");
  EditedCheckpoint integers("gqa");
  integers.put("model.norm.weight", DType::kI32, {32});
  EXPECT_THAT(integers.error(), HasSubstr("model.norm.weight: dtype I32 is not supported"));
}

TEST(WeightErrors, Fp8NeedsScales) {
  EditedCheckpoint edited("fp8");
  edited.drop(kMoe + "experts.1.w1.weight_scale_inv");
  EXPECT_EQ(edited.error(),
            "corrupt_file: checkpoint: model.layers.0.block_sparse_moe.experts.1.w1.weight "
            "(mlp.experts.gate_up_proj) is F8_E4M3, but its scales "
            "model.layers.0.block_sparse_moe.experts.1.w1.weight_scale_inv "
            "(mlp.experts.gate_up_proj_scale_inv) are absent");
}

TEST(WeightErrors, Fp8NeedsAConfig) {
  EditedCheckpoint edited("fp8");
  edited.config.quantization.reset();
  EXPECT_THAT(edited.error(), HasSubstr("is F8_E4M3, but config.json has no quantization_config"));
}

TEST(WeightErrors, ScalesNeedAWeight) {
  EditedCheckpoint edited("fp8");
  edited.drop("model.layers.0.self_attn.q_proj.weight");
  EXPECT_THAT(edited.error(),
              HasSubstr("the scales model.layers.0.self_attn.q_proj.weight_scale_inv "
                        "have no weight model.layers.0.self_attn.q_proj.weight"));
  EditedCheckpoint fused("internal_names");
  fused.put("model.layers.0.mlp.experts.down_proj_scale_inv", DType::kF32, {4, 1, 1});
  fused.drop("model.layers.0.mlp.experts.down_proj");
  EXPECT_THAT(fused.error(), HasSubstr("have no weight"));
}

TEST(WeightErrors, OnlyFp8HasScales) {
  EditedCheckpoint edited("gqa");
  edited.put("model.layers.0.self_attn.q_proj.weight_scale_inv", DType::kF32, {1, 1});
  EXPECT_THAT(edited.error(), HasSubstr("is F32 and cannot have scales"));
  EditedCheckpoint vector("gqa");
  vector.put("model.norm.weight_scale_inv", DType::kF32, {1});
  EXPECT_THAT(vector.error(), HasSubstr("is a vector and cannot have scales"));
}

TEST(WeightErrors, ScaleShapeShowsBoth) {
  EditedCheckpoint edited("fp8");
  edited.put("model.layers.0.self_attn.q_proj.weight_scale_inv", DType::kF32, {2, 1});
  EXPECT_THAT(edited.error(), HasSubstr("expected shape [2, 2] for the weight of shape [144, 136], "
                                        "got [2, 1]"));
}

// Decodes a whole matrix.
std::vector<float> decode(const WeightView& view) {
  std::vector<float> values(static_cast<std::size_t>(view.rows * view.cols));
  for (std::int64_t r = 0; r < view.rows; ++r) decode_row(view, r, values.data() + r * view.cols);
  return values;
}

// Gives a checkpoint one fused FP8 layer: every number 1, scale s of expert e is e * 100 + s.
void make_fused_fp8(EditedCheckpoint& edited, std::array<std::int64_t, 2> block,
                    const Shape& gate_up_scales) {
  edited.config.quantization.emplace().weight_block_size = block;
  const auto fill = [&](const std::string& name, const Shape& shape, const Shape& scales) {
    edited.put(name, DType::kF8E4M3, shape);
    auto* numbers = static_cast<std::uint8_t*>(edited.tensors[name].data);
    std::fill_n(numbers, shape.num_elements(), to_f8e4m3(1.0F).bits);
    edited.put(name + "_scale_inv", DType::kF32, scales);
    auto* values = edited.tensors[name + "_scale_inv"].as<float>();
    const std::int64_t per_expert = scales.num_elements() / scales[0];
    for (std::int64_t i = 0; i < scales.num_elements(); ++i) {
      values[i] = static_cast<float>(i / per_expert * 100 + i % per_expert);
    }
  };
  fill("model.layers.0.mlp.experts.gate_up_proj", {4, 40, 24}, gate_up_scales);
  fill("model.layers.0.mlp.experts.down_proj", {4, 24, 20},
       {4, (24 + block[0] - 1) / block[0], (20 + block[1] - 1) / block[1]});
}

TEST(Weights, FusedFp8ScalesAreCutWithTheirExperts) {
  EditedCheckpoint edited("internal_names");
  make_fused_fp8(edited, {10, 16}, {4, 4, 2});
  const ModelWeights weights = edited.load();
  const ExpertWeights& expert = weights.layers[0].experts[3];
  const auto gate = decode(expert.gate);
  const auto up = decode(expert.up);
  EXPECT_EQ(gate[0], 300.0F);
  EXPECT_EQ(gate[16], 301.0F);            // second column block
  EXPECT_EQ(gate[19 * 24 + 23], 303.0F);  // second row block
  EXPECT_EQ(up[0], 304.0F);
  EXPECT_EQ(up[19 * 24 + 23], 307.0F);
  const auto down = decode(expert.down);
  EXPECT_EQ(down[23 * 20 + 19], 305.0F);  // 3 row blocks, 2 column blocks
}

TEST(Weights, FusedFp8BlocksMayNotReachFromGateToUp) {
  EditedCheckpoint edited("internal_names");
  make_fused_fp8(edited, {16, 16}, {4, 3, 2});
  EXPECT_THAT(edited.error(), HasSubstr("a block of 16 rows would reach over the border of the 2 "
                                        "matrices of 20 rows"));
}

TEST(Weights, OneScaleForAWholeMatrix) {
  EditedCheckpoint edited("internal_names");
  make_fused_fp8(edited, {40, 24}, {4, 1, 1});
  edited.config.quantization->weight_block_size.reset();
  edited.put("model.layers.0.mlp.experts.down_proj_scale_inv", DType::kF32, {4});
  const ModelWeights weights = edited.load();
  EXPECT_EQ(decode(weights.layers[0].experts[2].up)[0], 200.0F);
  EXPECT_EQ(decode(weights.layers[0].experts[2].down)[0], 0.0F);
}

// The FP8 golden's matrices against the numbers and scales of the file, element by element.
TEST(Weights, Fp8BlocksCoverEdges) {
  const Loaded loaded = load("fp8");
  const TensorView& numbers =
      loaded.checkpoint->find("model.layers.0.self_attn.o_proj.weight")->view;
  const TensorView& scales =
      loaded.checkpoint->find("model.layers.0.self_attn.o_proj.weight_scale_inv")->view;
  const WeightView& view = loaded.weights.layers[0].attn_out;
  ASSERT_EQ(numbers.shape, (Shape{136, 144}));
  const auto values = decode(view);
  for (std::int64_t i = 0; i < numbers.num_elements(); ++i) {
    const std::int64_t block = i / 144 / 128 * 2 + i % 144 / 128;
    const float expected = load_float(numbers.data, numbers.dtype, i) * scales.as<float>()[block];
    ASSERT_EQ(values[static_cast<std::size_t>(i)], expected) << i;
  }
}

}  // namespace
}  // namespace m2
