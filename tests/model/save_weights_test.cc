#include "model/save_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <set>

#include "checkpoint/file_images.h"
#include "model/edited_checkpoint.h"
#include "support/paths.h"
#include "support/tiny_model.h"

namespace m2 {
namespace {

namespace fs = std::filesystem;

using test::EditedCheckpoint;
using test::error_of;
using test::golden_path;
using test::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

std::vector<std::string> file_names(const fs::path& directory) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(directory)) {
    names.push_back(entry.path().filename().string());
  }
  std::ranges::sort(names);
  return names;
}

// Name, type, shape and bytes of every tensor must agree.
void expect_same_tensors(const Checkpoint& a, const Checkpoint& b) {
  ASSERT_EQ(a.tensors().size(), b.tensors().size());
  for (const CheckpointTensor& tensor : a.tensors()) {
    SCOPED_TRACE(tensor.name);
    const CheckpointTensor* other = b.find(tensor.name);
    ASSERT_NE(other, nullptr);
    EXPECT_EQ(tensor.view.dtype, other->view.dtype);
    ASSERT_EQ(tensor.view.shape, other->view.shape);
    EXPECT_EQ(std::memcmp(tensor.view.data, other->view.data, tensor.view.num_bytes()), 0);
  }
}

class SavedGolden : public ::testing::TestWithParam<std::string> {};

TEST_P(SavedGolden, ComesBackBitForBit) {
  const auto directory = golden_path("checkpoints/" + GetParam());
  const auto config = MiniMaxM2Config::from_pretrained(directory);
  const auto checkpoint = Checkpoint::open(directory);
  const ModelWeights weights = load_weights(config, checkpoint);
  const TempDir out;
  save_weights(config, weights, out.path(), {.hub_names = GetParam() != "internal_names"});
  EXPECT_THAT(file_names(out.path()), ElementsAre("model.safetensors"));
  expect_same_tensors(*checkpoint, *Checkpoint::open(out.path()));
  // A single file of the reference holds the same bytes altogether.
  if (checkpoint->num_files() == 1) {
    EXPECT_EQ(test::read_file(out.path() / "model.safetensors"),
              test::read_file(directory / "model.safetensors"));
  }
}
INSTANTIATE_TEST_SUITE_P(All, SavedGolden,
                         ::testing::Values("bf16", "f16", "fp8", "fp8_small_blocks", "gqa",
                                           "internal_names", "mha", "mqa", "sharded", "tied"),
                         [](const auto& test) { return test.param; });

TEST(SaveWeights, ShardsAreThoseOfTheReference) {
  const auto directory = golden_path("checkpoints/sharded");  // max_shard_size="30KB"
  const auto config = MiniMaxM2Config::from_pretrained(directory);
  const TempDir out;
  save_weights(config, load_weights(config, Checkpoint::open(directory)), out.path(),
               {.max_shard_bytes = 30'000});
  const auto reference = test::read_file(directory / "model.safetensors.index.json");
  EXPECT_EQ(test::read_file(out.path() / "model.safetensors.index.json"), reference);
  for (const auto& file : file_names(out.path())) {
    EXPECT_EQ(test::read_file(out.path() / file), test::read_file(directory / file)) << file;
  }
}

TEST(SaveWeights, ANewSetReplacesTheOldOne) {
  const auto config = test::tiny_config();
  const ModelWeights weights = random_weights(config, DType::kF32, 3);
  const TempDir out;
  save_weights(config, weights, out.path(), {.max_shard_bytes = 20'000});
  out.write("model-00001-of-00099.safetensors", "old");
  out.write("model-1-of-2.safetensors", "not a shard");
  save_weights(config, weights, out.path(), {.max_shard_bytes = 120'000});
  const std::vector<std::string> two = {"model-00001-of-00002.safetensors",
                                        "model-00002-of-00002.safetensors",
                                        "model-1-of-2.safetensors", "model.safetensors.index.json"};
  EXPECT_EQ(file_names(out.path()), two);
  save_weights(config, weights, out.path(), {.variant = "a"});
  save_weights(config, weights, out.path());
  EXPECT_THAT(file_names(out.path()),
              ElementsAre("model-1-of-2.safetensors", "model.a.safetensors", "model.safetensors"));
  save_weights(config, weights, out.path(), {.max_shard_bytes = 120'000, .variant = "a"});
  EXPECT_TRUE(fs::exists(out.path() / "model.a-00001-of-00002.safetensors"));
  EXPECT_TRUE(fs::exists(out.path() / "model.safetensors.index.a.json"));
  EXPECT_FALSE(fs::exists(out.path() / "model.a.safetensors"));
}

TEST(SaveWeights, MayOverwriteTheFilesThatItReads) {
  const TempDir out;
  const auto golden = golden_path("checkpoints/gqa");
  fs::copy_file(golden / "model.safetensors", out.path() / "model.safetensors");
  const auto config = MiniMaxM2Config::from_pretrained(golden);
  const ModelWeights weights = load_weights(config, Checkpoint::open(out.path()));
  save_weights(config, weights, out.path());
  expect_same_tensors(*Checkpoint::open(golden), *Checkpoint::open(out.path()));
}

TEST(SaveWeights, AFailureLeavesTheOldSet) {
  const auto config = test::tiny_config();
  const TempDir out;
  save_weights(config, random_weights(config, DType::kF32, 1), out.path());
  const auto before = test::read_file(out.path() / "model.safetensors");
  // The second shard cannot be written.
  fs::create_directories(out.path() / "model-00002-of-00002.safetensors");
  EXPECT_THAT(error_of([&] {
                save_weights(config, random_weights(config, DType::kF32, 2), out.path(),
                             {.max_shard_bytes = 120'000});
              }),
              HasSubstr("model-00002-of-00002.safetensors: is a directory"));
  EXPECT_EQ(test::read_file(out.path() / "model.safetensors"), before);
  EXPECT_THAT(file_names(out.path()),
              ElementsAre("model-00002-of-00002.safetensors", "model.safetensors"));
}

TEST(SaveWeights, FusedAndSingleExpertsSayTheSame) {
  for (const std::string golden : {"gqa", "fp8_small_blocks"}) {
    SCOPED_TRACE(golden);
    auto config = MiniMaxM2Config::from_pretrained(golden_path("checkpoints/" + golden));
    if (golden != "gqa") config.intermediate_size = 32;  // two blocks of 16 rows
    config.quantization.reset();
    const ModelWeights weights = random_weights(config, DType::kBF16, 5);
    const TempDir fused;
    const TempDir single;
    save_weights(config, weights, fused.path(), {.hub_names = false});
    const auto checkpoint = Checkpoint::open(fused.path());
    EXPECT_NE(checkpoint->find("model.layers.0.mlp.experts.gate_up_proj"), nullptr);
    save_weights(config, load_weights(config, checkpoint), single.path());
    const TempDir direct;
    save_weights(config, weights, direct.path());
    expect_same_tensors(*Checkpoint::open(direct.path()), *Checkpoint::open(single.path()));
  }
}

TEST(SaveWeights, BlocksOverTheBorderCannotBeFused) {
  const auto directory = golden_path("checkpoints/fp8");  // 88 rows, blocks of 128
  const auto config = MiniMaxM2Config::from_pretrained(directory);
  const TempDir out;
  EXPECT_THAT(error_of([&] {
                save_weights(config, load_weights(config, Checkpoint::open(directory)), out.path(),
                             {.hub_names = false});
              }),
              HasSubstr("save with the hub's names"));
  EXPECT_THAT(file_names(out.path()), ElementsAre());
}

TEST(SaveWeights, TheBareModelHasNoHeadAndNoPrefix) {
  const auto config = test::tiny_config();
  const TempDir out;
  save_weights(config, random_weights(config, DType::kF32, 5), out.path(), {.head = false});
  const auto checkpoint = Checkpoint::open(out.path());
  EXPECT_NE(checkpoint->find("embed_tokens.weight"), nullptr);
  EXPECT_NE(checkpoint->find("layers.1.self_attn.q_proj.weight"), nullptr);
  EXPECT_EQ(checkpoint->find("lm_head.weight"), nullptr);
  LoadReport report;
  load_weights(config, checkpoint, &report, {}, {.head = false});
  EXPECT_THAT(report.missing_keys, ElementsAre());
}

}  // namespace
}  // namespace m2
