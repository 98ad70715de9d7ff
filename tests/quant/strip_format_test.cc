#include "quant/strip_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "m2/error.h"
#include "quant/weight_view.h"

namespace m2 {
namespace {

std::vector<float> normal_values(std::int64_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(engine);
  return values;
}

std::vector<std::byte> encode(BlockFormat format, const std::vector<float>& values,
                              std::int64_t rows, std::int64_t cols) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(block_matrix_bytes(format, rows, cols)));
  const StripLayout layout = strip_layout(format, cols);
  for (std::int64_t row = 0; row < rows; row += kStripRows) {
    encode_strip(format, values.data() + row * cols, std::min(kStripRows, rows - row), cols,
                 bytes.data() + row / kStripRows * layout.strip_bytes());
  }
  return bytes;
}

WeightView view_of(BlockFormat format, const std::vector<std::byte>& bytes, std::int64_t rows,
                   std::int64_t cols) {
  WeightView view = {bytes.data(), DType::kU8, rows, cols};
  view.block_format = format;
  return view;
}

TEST(StripFormat, NamesAreUnique) {
  for (const BlockFormat format : block_formats()) {
    EXPECT_EQ(block_format_from_name(block_format_name(format)), format);
  }
  EXPECT_EQ(block_format_from_name("none"), std::nullopt);
}

TEST(StripFormat, SizesAreThoseOfTheHeader) {
  EXPECT_EQ(block_matrix_bytes(BlockFormat::kInt8G32, 1536, 3072), 1536 * 3072 * 17 / 16);
  EXPECT_EQ(block_matrix_bytes(BlockFormat::kInt4G32, 1536, 3072), 1536 * 3072 * 9 / 16);
  EXPECT_EQ(block_matrix_bytes(BlockFormat::kInt4G128, 1536, 3072), 1536 * 3072 * 33 / 64);
  EXPECT_EQ(block_matrix_bytes(BlockFormat::kInt4G128, 17, 1), 2 * 16 * (128 / 2 + 2));
}

TEST(StripFormat, CodesLieInLinesOfFourColumns) {
  // Values that the formats hold exactly: q of (row, col) times 1.
  const auto q8 = [](std::int64_t row, std::int64_t col) {
    return col == 0 ? 127.0F : static_cast<float>((row * 7 + col) % 100);
  };
  std::vector<float> values(16 * 32);
  for (std::int64_t i = 0; i < 16 * 32; ++i) {
    values[static_cast<std::size_t>(i)] = q8(i / 32, i % 32);
  }
  const auto bytes = encode(BlockFormat::kInt8G32, values, 16, 32);
  EXPECT_EQ(std::to_integer<int>(bytes[2 * 64 + 4 * 5 + 3]), 128 + static_cast<int>(q8(5, 11)));
  f16 scale;
  std::memcpy(&scale, bytes.data() + 16 * 32 + 2 * 5, 2);
  EXPECT_EQ(to_float(scale), 1.0F);

  const auto q4 = [](std::int64_t row, std::int64_t col) {
    return col == 0 ? -8.0F : static_cast<float>((row + col) % 16 - 8);
  };
  for (std::int64_t i = 0; i < 16 * 32; ++i) {
    values[static_cast<std::size_t>(i)] = q4(i / 32, i % 32);
  }
  const auto nibbles = encode(BlockFormat::kInt4G32, values, 16, 32);
  const int byte = std::to_integer<int>(nibbles[1 * 64 + 4 * 5 + 3]);
  EXPECT_EQ(byte & 15, 8 + static_cast<int>(q4(5, 11)));
  EXPECT_EQ(byte >> 4, 8 + static_cast<int>(q4(5, 15)));
}

TEST(StripFormat, ErrorsStayWithinTheStep) {
  const struct {
    BlockFormat format;
    double largest;   // error over the largest value of the group
    double relative;  // root mean square error over that of the values
  } cases[] = {{BlockFormat::kInt8G32, 0.0041, 0.0061},
               {BlockFormat::kInt4G32, 0.17, 0.089},
               {BlockFormat::kInt4G128, 0.23, 0.115}};
  for (const auto& [format, largest, relative] : cases) {
    const std::int64_t group = strip_layout(format, 1).group_size;
    for (const auto& [rows, cols] :
         {std::pair<std::int64_t, std::int64_t>{1, 1}, {16, 256}, {33, 200}, {5, 1000}}) {
      const auto values = normal_values(rows * cols, static_cast<unsigned>(rows));
      const auto bytes = encode(format, values, rows, cols);
      const WeightView view = view_of(format, bytes, rows, cols);
      double errors = 0.0;
      double squares = 0.0;
      std::vector<float> row(static_cast<std::size_t>(cols));
      for (std::int64_t r = 0; r < rows; ++r) {
        decode_row(view, r, row.data());
        const float* expected = values.data() + r * cols;
        for (std::int64_t c = 0; c < cols; ++c) {
          float bound = 0.0F;
          const std::int64_t begin = c / group * group;
          for (std::int64_t i = begin; i < std::min(cols, begin + group); ++i) {
            bound = std::max(bound, std::fabs(expected[i]));
          }
          const double error = row[static_cast<std::size_t>(c)] - expected[c];
          ASSERT_LE(std::fabs(error), largest * bound)
              << block_format_name(format) << " row " << r << " col " << c;
          errors += error * error;
          squares += double{expected[c]} * expected[c];
        }
      }
      EXPECT_LE(std::sqrt(errors / squares), relative)
          << block_format_name(format) << " " << rows << " x " << cols;
    }
  }
}

TEST(StripFormat, HoldsItsOwnValuesExactly) {
  for (const BlockFormat format : block_formats()) {
    if (!is_strip_format(format)) continue;
    const auto first = encode(format, normal_values(16 * 256, 3), 16, 256);
    std::vector<float> values(16 * 256);
    for (std::int64_t r = 0; r < 16; ++r) {
      decode_row(view_of(format, first, 16, 256), r, values.data() + r * 256);
    }
    const auto second = encode(format, values, 16, 256);
    std::vector<float> again(256);
    for (std::int64_t r = 0; r < 16; ++r) {
      decode_row(view_of(format, second, 16, 256), r, again.data());
      for (std::size_t c = 0; c < 256; ++c) {
        EXPECT_NEAR(again[c], values[static_cast<std::size_t>(r) * 256 + c],
                    1e-3 * std::fabs(again[c]))
            << block_format_name(format);
      }
    }
  }
}

TEST(StripFormat, RefusesWhatHasNoScale) {
  std::vector<float> values(32, 1.0F);
  std::vector<std::byte> strip(
      static_cast<std::size_t>(strip_layout(BlockFormat::kInt4G32, 32).strip_bytes()));
  for (const float bad :
       {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN(), 1e9F}) {
    values[3] = bad;
    EXPECT_THROW(encode_strip(BlockFormat::kInt4G32, values.data(), 1, 32, strip.data()), Error);
  }
}

}  // namespace
}  // namespace m2
