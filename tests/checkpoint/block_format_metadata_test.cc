#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/checkpoint.h"
#include "checkpoint/file_images.h"

namespace m2 {
namespace {

using test::error_of;
using test::TempDir;
using ::testing::HasSubstr;

struct Written {
  std::string metadata;
  DType dtype = DType::kU8;
  std::int64_t bytes = 0;
};

const CheckpointTensor& write_and_find(const TempDir& dir, const Written& written,
                                       std::shared_ptr<const Checkpoint>& checkpoint) {
  const Tensor data(written.dtype,
                    {written.bytes / static_cast<std::int64_t>(dtype_size(written.dtype))});
  SafetensorsWriter writer;
  writer.add("a.weight", data.view());
  writer.set_metadata("a.weight", written.metadata);
  writer.write(dir.path() / "model.safetensors");
  checkpoint = Checkpoint::open(dir.path());
  return *checkpoint->find("a.weight");
}

TEST(BlockFormatMetadata, GivesTensorsTheirFormatAndShape) {
  const TempDir dir;
  std::shared_ptr<const Checkpoint> checkpoint;
  // Two experts of 20 x 40: two strips of two groups each.
  const std::int64_t bytes = 2 * block_matrix_bytes(BlockFormat::kInt4G32, 20, 40);
  EXPECT_EQ(bytes, 2 * 2 * (16 * 64 / 2 + 2 * 16 * 2));
  const Shape shape = {2, 20, 40};
  const auto& tensor = write_and_find(
      dir, {block_format_metadata(BlockFormat::kInt4G32, shape), DType::kU8, bytes}, checkpoint);
  EXPECT_EQ(tensor.block_format, BlockFormat::kInt4G32);
  EXPECT_EQ(tensor.shape, shape);
  EXPECT_EQ(tensor.view.shape, (Shape{bytes}));
}

TEST(BlockFormatMetadata, RefusesWhatDoesNotFit) {
  const struct {
    Written written;
    const char* message;
  } cases[] = {
      {{"int3_g7 [16, 32]", DType::kU8, 320}, "unsupported: "},
      {{"int4_g32 [16, 32]", DType::kU8, 287}, "has 288 bytes, got 287"},
      {{"int4_g32 [16, 32]", DType::kF32, 288}, "is stored as U8, got F32"},
      {{"int4_g32", DType::kU8, 288}, "expected a shape like"},
      {{"int4_g32 [16]", DType::kU8, 288}, "expected a shape like"},
      {{"int4_g32 [16, -32]", DType::kU8, 288}, "expected a shape like"},
      {{"int4_g32 [16, 32", DType::kU8, 288}, "expected a shape like"},
      {{"int4_g32 [16, 32,]", DType::kU8, 288}, "expected a shape like"},
      {{"int4_g32 [0, 32]", DType::kU8, 288}, "expected a shape like"},
      {{"int4_g32 [1, 1, 1, 1, 1, 16, 32]", DType::kU8, 288}, "expected a shape like"},
      {{"int4_g32 [99999999999999999999, 32]", DType::kU8, 288}, "expected a shape like"},
      {{"int4_g32 [2147483648, 2147483648]", DType::kU8, 288}, "bytes, got 288"},
  };
  for (const auto& [written, message] : cases) {
    const TempDir dir;
    std::shared_ptr<const Checkpoint> checkpoint;
    const std::string error =
        error_of([&, &record = written] { write_and_find(dir, record, checkpoint); });
    EXPECT_THAT(error, HasSubstr(message)) << written.metadata;
    EXPECT_THAT(error, HasSubstr("model.safetensors: a.weight")) << written.metadata;
  }
}

}  // namespace
}  // namespace m2
