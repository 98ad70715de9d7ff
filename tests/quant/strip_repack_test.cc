#include "quant/strip_repack.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "m2/error.h"
#include "quant/ggml_format.h"
#include "quant/strip_format.h"

namespace m2 {
namespace {

TEST(StripRepack, KeepsEveryValue) {
  std::mt19937 engine(3);
  std::normal_distribution<float> normal;
  for (const auto& [from, to] : {std::pair{BlockFormat::kQ8_0, BlockFormat::kInt8G32},
                                 std::pair{BlockFormat::kQ4_0, BlockFormat::kInt4G32}}) {
    for (const std::int64_t rows : {1, 7, 16}) {
      constexpr std::int64_t kCols = 96;
      const std::int64_t row_bytes = ggml_layout(from).row_bytes(kCols);
      std::vector<std::byte> blocks(static_cast<std::size_t>(rows * row_bytes));
      std::vector<float> values(kCols);
      for (std::int64_t row = 0; row < rows; ++row) {
        for (float& value : values) value = normal(engine);
        encode_ggml_row(from, values.data(), kCols, blocks.data() + row * row_bytes);
      }
      std::vector<std::byte> strip(static_cast<std::size_t>(block_matrix_bytes(to, rows, kCols)),
                                   std::byte{0x5A});
      repack_strip(from, blocks.data(), rows, kCols, to, strip.data());
      std::vector<float> repacked(kCols);
      for (std::int64_t row = 0; row < kStripRows; ++row) {
        decode_strip_row(to, strip.data(), row, kCols, repacked.data());
        std::fill(values.begin(), values.end(), 0.0F);
        if (row < rows)
          decode_ggml_row(from, blocks.data() + row * row_bytes, kCols, values.data());
        EXPECT_EQ(repacked, values) << block_format_name(from) << " row " << row << " of " << rows;
      }
    }
  }
}

TEST(StripRepack, RefusesACodeThatStripsDoNotHave) {
  std::vector<std::byte> block(34);
  block[5] = std::byte{0x80};
  std::vector<std::byte> strip(
      static_cast<std::size_t>(block_matrix_bytes(BlockFormat::kInt8G32, 1, 32)));
  EXPECT_THROW(
      repack_strip(BlockFormat::kQ8_0, block.data(), 1, 32, BlockFormat::kInt8G32, strip.data()),
      Error);
}

TEST(StripRepack, OtherPairsNeedAnEncoder) {
  EXPECT_FALSE(can_repack(BlockFormat::kQ8_0, BlockFormat::kInt4G32));
  EXPECT_FALSE(can_repack(BlockFormat::kQ4_1, BlockFormat::kInt4G32));
  EXPECT_FALSE(can_repack(BlockFormat::kNone, BlockFormat::kInt8G32));
}

}  // namespace
}  // namespace m2
