#include "quant/ggml_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "quant/weight_view.h"
#include "support/paths.h"

namespace m2 {
namespace {

using test::golden_path;
using test::read_file;

std::string golden(BlockFormat format, const char* kind) {
  std::string name(block_format_name(format));
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
  return read_file(golden_path("gguf/" + name + "." + kind));
}

std::vector<float> floats(const std::string& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

std::vector<BlockFormat> ggml_formats() {
  std::vector<BlockFormat> formats;
  std::ranges::copy_if(block_formats(), std::back_inserter(formats), is_ggml_format);
  return formats;
}

class GgmlFormat : public ::testing::TestWithParam<BlockFormat> {};

TEST_P(GgmlFormat, DecodesBitForBitAsTheGgufPackage) {
  const std::string blocks = golden(GetParam(), "blocks");
  const std::vector<float> expected = floats(golden(GetParam(), "floats"));
  const auto cols = static_cast<std::int64_t>(expected.size());
  ASSERT_EQ(ggml_layout(GetParam()).row_bytes(cols), static_cast<std::int64_t>(blocks.size()));
  std::vector<float> decoded(expected.size());
  decode_ggml_row(GetParam(), blocks.data(), cols, decoded.data());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    ASSERT_EQ(std::memcmp(&decoded[i], &expected[i], sizeof(float)), 0)
        << "weight " << i << ": " << decoded[i] << ", expected " << expected[i];
  }
}

TEST_P(GgmlFormat, AWeightViewFindsItsRows) {
  const std::string blocks = golden(GetParam(), "blocks");
  const std::vector<float> expected = floats(golden(GetParam(), "floats"));
  const std::int64_t cols = ggml_layout(GetParam()).block_cols;
  const auto rows = static_cast<std::int64_t>(expected.size()) / cols;
  WeightView weight = {.data = blocks.data(), .dtype = DType::kU8, .rows = rows, .cols = cols};
  weight.block_format = GetParam();
  check_weight(weight, "test");
  EXPECT_EQ(weight.num_bytes(), static_cast<std::int64_t>(blocks.size()));
  std::vector<float> decoded(static_cast<std::size_t>(cols));
  decode_row(weight, rows - 1, decoded.data());
  EXPECT_EQ(std::memcmp(decoded.data(), expected.data() + (rows - 1) * cols,
                        decoded.size() * sizeof(float)),
            0);
}

TEST_P(GgmlFormat, RowsMustBeWholeBlocks) {
  EXPECT_TRUE(block_format_fits(GetParam(), 512));
  EXPECT_FALSE(block_format_fits(GetParam(), 48));
  EXPECT_THROW((void)block_matrix_bytes(GetParam(), 2, 48), Error);
  EXPECT_EQ(block_matrix_bytes(GetParam(), 3, 512),
            3 * 512 / ggml_layout(GetParam()).block_cols * ggml_layout(GetParam()).block_bytes);
}

INSTANTIATE_TEST_SUITE_P(All, GgmlFormat, ::testing::ValuesIn(ggml_formats()),
                         [](const auto& format) {
                           return std::string(block_format_name(format.param));
                         });

TEST(GgmlEncode, GivesTheBytesOfTheGgufPackage) {
  for (const BlockFormat format : {BlockFormat::kQ8_0, BlockFormat::kQ4_0}) {
    const std::vector<float> source = floats(golden(format, "source"));
    const std::string expected = golden(format, "encoded");
    std::string encoded(expected.size(), '\0');
    encode_ggml_row(format, source.data(), static_cast<std::int64_t>(source.size()),
                    reinterpret_cast<std::byte*>(encoded.data()));
    EXPECT_EQ(encoded, expected) << block_format_name(format);
  }
}

// Normal numbers with a few that stick out, as weights are.
std::vector<float> weights(std::size_t count, float mean) {
  std::mt19937 random(20261126);
  std::normal_distribution<float> normal(mean, 0.02F);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  for (std::size_t i = 7; i < count; i += 100) values[i] *= 5;
  return values;
}

// Root of the mean squared error relative to the root of the mean square.
double relative_error(BlockFormat format, const std::vector<float>& row) {
  const auto cols = static_cast<std::int64_t>(row.size());
  std::vector<std::byte> bytes(static_cast<std::size_t>(ggml_layout(format).row_bytes(cols)));
  encode_ggml_row(format, row.data(), cols, bytes.data());
  std::vector<float> decoded(row.size());
  decode_ggml_row(format, bytes.data(), cols, decoded.data());
  double error = 0;
  double square = 0;
  for (std::size_t i = 0; i < row.size(); ++i) {
    error += std::pow(double{decoded[i]} - double{row[i]}, 2);
    square += std::pow(double{row[i]}, 2);
  }
  return square == 0 ? std::sqrt(error) : std::sqrt(error / square);
}

TEST(GgmlEncode, ErrorsAreThoseOfTheirBits) {
  // Half a step of the codes over the usual extremes of a group, and a little for packed scales.
  const std::pair<BlockFormat, double> limits[] = {{BlockFormat::kQ8_0, 0.008},
                                                   {BlockFormat::kQ4_0, 0.13},
                                                   {BlockFormat::kQ4_K, 0.09},
                                                   {BlockFormat::kQ6_K, 0.025}};
  for (const auto& [format, limit] : limits) {
    EXPECT_LT(relative_error(format, weights(2560, 0)), limit) << block_format_name(format);
    EXPECT_LT(relative_error(format, weights(2560, 0.1F)), limit) << block_format_name(format);
    EXPECT_LT(relative_error(format, weights(2560, -0.1F)), limit) << block_format_name(format);
  }
}

TEST(GgmlEncode, UnusualRowsStayFinite) {
  for (const BlockFormat format :
       {BlockFormat::kQ8_0, BlockFormat::kQ4_0, BlockFormat::kQ4_K, BlockFormat::kQ6_K}) {
    EXPECT_EQ(relative_error(format, std::vector<float>(256, 0.0F)), 0);
    EXPECT_LT(relative_error(format, std::vector<float>(256, 1.0F)), 0.02);
    EXPECT_LT(relative_error(format, std::vector<float>(256, -1.0F)), 0.02);
    EXPECT_LT(relative_error(format, std::vector<float>(256, 60000.0F)), 0.02);
    EXPECT_LE(relative_error(format, std::vector<float>(256, 1e-20F)), 1.0);
  }
}

TEST(GgmlEncode, RefusesWhatHasNoCode) {
  std::vector<std::byte> out(256);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity(), 70000.0F}) {
    std::vector<float> row(32, 0.0F);
    row[9] = bad;
    EXPECT_THROW(encode_ggml_row(BlockFormat::kQ8_0, row.data(), 32, out.data()), Error);
  }
  EXPECT_FALSE(can_encode_ggml(BlockFormat::kQ5_K));
  EXPECT_FALSE(can_encode_ggml(BlockFormat::kInt8G32));
}

}  // namespace
}  // namespace m2
