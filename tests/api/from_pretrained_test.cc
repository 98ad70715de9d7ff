// Loading, saving and making models through the public classes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "checkpoint/checkpoint.h"
#include "checkpoint/file_images.h"
#include "m2/modeling.h"
#include "support/paths.h"
#include "support/tiny_model.h"

namespace m2 {
namespace {

namespace fs = std::filesystem;

using test::error_of;
using test::golden_path;
using test::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::StartsWith;

std::string checkpoint(const std::string& name) {
  return golden_path("checkpoints/" + name).string();
}

template <typename Model>
std::vector<float> values(Model& model, std::vector<std::int64_t> ids = {3, 4, 5, 6}) {
  const Shape shape{1, std::ssize(ids)};
  const auto outputs = model.forward({.input_ids = {ids.data(), DType::kI64, shape}});
  const Tensor* tensor = nullptr;
  if constexpr (requires { outputs.logits; }) {
    tensor = &outputs.logits;
  } else {
    tensor = &outputs.last_hidden_state;
  }
  const float* begin = tensor->template as<float>();
  return {begin, begin + tensor->shape().num_elements()};
}

MiniMaxM2ForCausalLM load(const std::string& name, const FromPretrainedOptions& options = {},
                          LoadingInfo* info = nullptr) {
  return MiniMaxM2ForCausalLM::from_pretrained(name, options, info);
}

class SavedModel : public ::testing::TestWithParam<std::string> {};

TEST_P(SavedModel, ComesBackWithEqualLogitsAndFiles) {
  auto model = load(checkpoint(GetParam()));
  for (const bool hub_names : {true, false}) {
    if (!hub_names && GetParam().starts_with("fp8")) continue;  // 88 and 24 rows: not whole blocks
    const TempDir out;
    model.save_pretrained(out.path(), {.save_original_format = hub_names});
    LoadingInfo info;
    auto again = load(out.path().string(), {}, &info);
    EXPECT_EQ(values(again), values(model));
    EXPECT_THAT(info.missing_keys, IsEmpty());
    EXPECT_THAT(info.unexpected_keys, IsEmpty());
    EXPECT_EQ(again.config().architectures, std::vector<std::string>{"MiniMaxM2ForCausalLM"});
    EXPECT_EQ(again.config().rope, model.config().rope);
    EXPECT_EQ(again.config().quantization, model.config().quantization);
    EXPECT_EQ(again.generation_config(), model.generation_config());
  }
}
INSTANTIATE_TEST_SUITE_P(All, SavedModel,
                         ::testing::Values("bf16", "f16", "fp8", "fp8_small_blocks", "gqa",
                                           "hub_config", "internal_names", "mqa", "sharded",
                                           "tied"),
                         [](const auto& test) { return test.param; });

TEST(SavePretrained, WritesTheReferencesFiles) {
  // These folders are what save_pretrained of the reference wrote.
  for (const std::string name : {"gqa", "bf16", "tied"}) {
    SCOPED_TRACE(name);
    const TempDir out;
    load(checkpoint(name)).save_pretrained(out.path());
    for (const char* file : {"config.json", "generation_config.json", "model.safetensors"}) {
      EXPECT_EQ(test::read_file(out.path() / file),
                test::read_file(golden_path("checkpoints/" + name) / file))
          << file;
    }
  }
}

TEST(SavePretrained, DoubtfulGenerationSettingsAreRefused) {
  auto model = load(checkpoint("gqa"));
  model.generation_config().temperature = 0.5;  // without do_sample
  const TempDir out;
  EXPECT_THAT(error_of([&] { model.save_pretrained(out.path()); }),
              StartsWith("invalid_argument: "));
  EXPECT_TRUE(fs::exists(out.path() / "config.json"));
  EXPECT_FALSE(fs::exists(out.path() / "model.safetensors"));
}

TEST(SavePretrained, TheBareModelLoadsIntoBothClasses) {
  auto model = load(checkpoint("tied"));
  const TempDir out;
  MiniMaxM2Model bare = model.model();
  bare.save_pretrained(out.path());
  EXPECT_FALSE(fs::exists(out.path() / "generation_config.json"));
  auto bare_again = MiniMaxM2Model::from_pretrained(out.path().string());
  EXPECT_EQ(values(bare_again), values(bare));
  auto causal = load(out.path().string());  // the head is tied to the embedding
  EXPECT_EQ(values(causal), values(model));
}

TEST(BareModel, FindsTheHeadOfACausalModelUnexpected) {
  LoadingInfo info;
  auto bare = MiniMaxM2Model::from_pretrained(checkpoint("gqa"), {}, &info);
  EXPECT_THAT(info.unexpected_keys, ElementsAre("lm_head.weight"));
  EXPECT_THAT(info.missing_keys, IsEmpty());
  auto causal = load(checkpoint("gqa"));
  auto decoder = causal.model();
  EXPECT_EQ(values(bare), values(decoder));
}

TEST(FromPretrained, ConvertsTypes) {
  auto plain = load(checkpoint("bf16"));
  EXPECT_EQ(plain.config().dtype, "bfloat16");
  auto wide = load(checkpoint("bf16"), {.dtype = "float32"});
  EXPECT_EQ(wide.config().dtype, "float32");
  EXPECT_EQ(values(wide), values(plain));
  auto narrow = load(checkpoint("gqa"), {.dtype = "bfloat16"});
  auto exact = load(checkpoint("gqa"));
  EXPECT_NE(values(narrow), values(exact));
  const TempDir out;
  narrow.save_pretrained(out.path());
  auto again = load(out.path().string());
  EXPECT_EQ(values(again), values(narrow));
  EXPECT_THAT(error_of([] { load(checkpoint("gqa"), {.dtype = "int8"}); }),
              HasSubstr("dtype: \"int8\": expected \"auto\""));
}

TEST(FromPretrained, DequantizesForGood) {
  auto model = load(checkpoint("fp8"), {.dequantize = true});
  EXPECT_FALSE(model.config().quantization.has_value());
  const TempDir out;
  model.save_pretrained(out.path());
  EXPECT_THAT(test::read_file(out.path() / "config.json"),
              ::testing::Not(HasSubstr("quantization_config")));
  auto again = load(out.path().string());
  EXPECT_EQ(values(again), values(model));
  auto blocks = load(checkpoint("fp8"));
  const auto expected = values(blocks);
  const auto actual = values(model);
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(actual[i], expected[i], 0.3);
}

TEST(FromPretrained, TakesAConfigVariantAndSubfolder) {
  const TempDir out;
  load(checkpoint("gqa")).save_pretrained(out.path() / "sub", {.variant = "v"});
  EXPECT_TRUE(fs::exists(out.path() / "sub" / "model.v.safetensors"));
  auto config = MiniMaxM2Config::from_pretrained(out.path() / "sub");
  config.output_router_logits = true;
  auto model = load(out.path().string(), {.config = config, .variant = "v", .subfolder = "sub"});
  EXPECT_TRUE(model.config().output_router_logits);
  EXPECT_THAT(error_of([&] { load((out.path() / "sub").string()); }),
              HasSubstr("no file named model.safetensors"));
  EXPECT_THAT(error_of([&] { load((out.path() / "none").string()); }), StartsWith("not_found: "));
}

TEST(FromPretrained, SaysWhereEverythingIs) {
  LoadingInfo info;
  auto model = load(checkpoint("gqa"), {.device_map = "auto"}, &info);
  EXPECT_EQ(info.device_map, model.device_map());
  EXPECT_THAT(info.device_map,
              ElementsAre(Pair("lm_head", "cpu"), Pair("model.embed_tokens", "cpu"),
                          Pair("model.layers.0", "cpu"), Pair("model.layers.1", "cpu"),
                          Pair("model.norm", "cpu")));
  EXPECT_THAT(info.device_report, StartsWith("cpu: model.embed_tokens - lm_head ("));
  DeviceMap half("auto");
  half.max_memory["cpu"] = 100'000;
  auto split = load(checkpoint("gqa"), {.device_map = half}, &info);
  EXPECT_EQ(info.device_map.at("model.layers.0"), "cpu");
  EXPECT_EQ(info.device_map.at("lm_head"), "disk");
  EXPECT_EQ(values(split), values(model));
  EXPECT_THAT(
      error_of([] { load(checkpoint("gqa"), {.device_map = "cuda:99"}); }),
      StartsWith("unsupported: device \"cuda:99\" is not available here; there is \"cpu\""));
}

TEST(FromConfig, IsSeededAndSavesAndLoads) {
  const auto config = test::tiny_config();
  MiniMaxM2ForCausalLM model(config, {.seed = 7});
  EXPECT_EQ(model.generation_config().eos_token_id, std::vector<std::int32_t>{2});
  MiniMaxM2ForCausalLM same(config, {.seed = 7});
  MiniMaxM2ForCausalLM other(config, {.seed = 8});
  EXPECT_EQ(values(model), values(same));
  EXPECT_NE(values(model), values(other));
  EXPECT_EQ(model.config().dtype, "float32");
  MiniMaxM2Model bare(config, {.seed = 7});
  auto decoder = model.model();
  EXPECT_EQ(values(bare), values(decoder));
  const TempDir out;
  model.save_pretrained(out.path(), {.max_shard_size = "60KB"});
  EXPECT_TRUE(fs::exists(out.path() / "model.safetensors.index.json"));
  auto again = load(out.path().string());
  EXPECT_EQ(values(again), values(model));
}

TEST(Resize, ChangesTheVocabulary) {
  for (const char* name : {"gqa", "tied", "fp8"}) {
    SCOPED_TRACE(name);
    auto model = load(checkpoint(name));
    const std::int64_t old = model.config().vocab_size;
    const auto before = values(model);
    EXPECT_EQ(model.resize_token_embeddings(0), old);
    EXPECT_EQ(values(model), before);
    EXPECT_EQ(model.resize_token_embeddings(old + 1, 64), 128);
    EXPECT_EQ(model.config().vocab_size, 128);
    const auto after = values(model);
    ASSERT_EQ(after.size(), 4U * 128);
    for (std::size_t i = 0; i < before.size(); ++i) {
      const auto width = static_cast<std::size_t>(old);
      EXPECT_EQ(after[i / width * 128 + i % width], before[i]);
    }
    const TempDir out;
    model.save_pretrained(out.path());
    auto again = load(out.path().string());
    EXPECT_EQ(values(again), after);
  }
}

}  // namespace
}  // namespace m2
