// GGUF files as checkpoints.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/file_images.h"
#include "gguf/writer.h"
#include "support/paths.h"

namespace m2 {
namespace {

using test::error_of;
using test::golden_path;
using test::TempDir;
using ::testing::HasSubstr;

GgufWriter writer_with(GgmlType type) {
  GgufWriter writer;
  writer.set_text("general.architecture", "minimax-m2");
  const std::int64_t bytes = 2 * ggml_type_info(type).block_bytes;
  writer.add("w", type, {2, ggml_type_info(type).block_elements},
             [bytes](const GgufWriter::Sink& sink) {
               sink(std::vector<std::byte>(static_cast<std::size_t>(bytes), std::byte{1}));
             });
  return writer;
}

TEST(GgufCheckpoint, ElementsHaveTheirTypeAndBlocksAreBytes) {
  const auto checkpoint = Checkpoint::open(golden_path("gguf/container.gguf"));
  const CheckpointTensor* embedding = checkpoint->find("token_embd.weight");
  ASSERT_NE(embedding, nullptr);
  EXPECT_EQ(embedding->view.dtype, DType::kF32);
  EXPECT_EQ(embedding->shape, (Shape{3, 4}));
  EXPECT_EQ(embedding->view.as<float>()[11], 11.0F);
  const CheckpointTensor* experts = checkpoint->find("blk.0.ffn_gate_exps.weight");
  ASSERT_NE(experts, nullptr);
  EXPECT_EQ(experts->block_format, BlockFormat::kQ8_0);
  EXPECT_EQ(experts->shape, (Shape{2, 3, 64}));
  EXPECT_EQ(experts->view.dtype, DType::kU8);
  EXPECT_EQ(experts->view.shape, (Shape{2 * 3 * 2 * 34}));
}

TEST(GgufCheckpoint, PartsAreFilesOfOneSet) {
  const auto checkpoint = Checkpoint::open(golden_path("gguf/split-00001-of-00002.gguf"));
  ASSERT_EQ(checkpoint->num_files(), 2U);
  const CheckpointTensor* last = checkpoint->find("output_norm.weight");
  ASSERT_NE(last, nullptr);
  EXPECT_EQ(checkpoint->file_path(last->file).filename(), "split-00002-of-00002.gguf");
  const auto place = checkpoint->locate(last->view.data, last->view.num_bytes());
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->file, last->file);
}

TEST(GgufCheckpoint, ADirectoryWithoutSafetensorsMeansItsOnlyGguf) {
  const TempDir dir;
  EXPECT_THAT(error_of([&] { (void)Checkpoint::open(dir.path()); }), HasSubstr("and no GGUF file"));
  writer_with(GgmlType::kQ4_K).write(dir.path() / "m.gguf");
  EXPECT_EQ(Checkpoint::open(dir.path())->tensors()[0].block_format, BlockFormat::kQ4_K);
}

TEST(GgufCheckpoint, TypesThatAreNotDecodedAreRefusedByName) {
  const TempDir dir;
  for (const GgmlType type : {GgmlType::kIQ2_XXS, GgmlType::kTQ1_0, GgmlType::kMXFP4}) {
    const auto path = dir.path() / "m.gguf";
    writer_with(type).write(path);
    EXPECT_EQ(error_of([&] { (void)Checkpoint::open(path); }),
              "unsupported: " + path.string() + ": tensor w: the type " +
                  std::string(ggml_type_info(type).name) + " is not supported");
  }
}

}  // namespace
}  // namespace m2
