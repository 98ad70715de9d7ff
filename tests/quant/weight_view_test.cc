#include "quant/weight_view.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "m2/error.h"

namespace m2 {
namespace {

// 5 x 7 in blocks of 2 x 3: the last row and the last column of blocks are partial.
struct BlockScaled {
  BlockScaled() {
    for (std::size_t i = 0; i < 35; ++i) codes[i + 1] = static_cast<std::uint8_t>(i * 7);
    for (std::size_t i = 0; i < 9; ++i) {
      const float scale = 0.5F + static_cast<float>(i);
      std::memcpy(scales.data() + 1 + i * sizeof(float), &scale, sizeof(scale));
    }
  }

  [[nodiscard]] WeightView view() const {
    return {.data = codes.data() + 1,
            .dtype = DType::kF8E4M3,
            .rows = 5,
            .cols = 7,
            .scale = reinterpret_cast<const float*>(scales.data() + 1),  // unaligned, as in files
            .block_rows = 2,
            .block_cols = 3};
  }

  std::vector<std::uint8_t> codes = std::vector<std::uint8_t>(36);
  std::vector<std::uint8_t> scales = std::vector<std::uint8_t>(9 * sizeof(float) + 1);
};

TEST(WeightView, DecodesBlockScales) {
  const BlockScaled weight;
  EXPECT_EQ(weight.view().scale_cols(), 3);
  EXPECT_EQ(weight.view().num_bytes(), 35 + 9 * 4);
  std::vector<float> row(7);
  for (std::int64_t r = 0; r < 5; ++r) {
    decode_row(weight.view(), r, row.data());
    for (std::int64_t c = 0; c < 7; ++c) {
      const auto code = static_cast<std::uint8_t>((r * 7 + c) * 7);
      const float scale = 0.5F + static_cast<float>(r / 2 * 3 + c / 3);
      const float expected = to_float(f8e4m3{code}) * scale;
      const float got = row[static_cast<std::size_t>(c)];
      EXPECT_TRUE(got == expected || (std::isnan(got) && std::isnan(expected)))
          << "[" << r << ", " << c << "]: " << got << ", expected " << expected;
    }
  }
}

TEST(WeightView, DecodesPlainTypes) {
  const std::vector<bf16> brain = {to_bf16(1.5F), to_bf16(-2.0F), to_bf16(0.25F), to_bf16(8.0F)};
  float row[2];
  decode_row({.data = brain.data(), .dtype = DType::kBF16, .rows = 2, .cols = 2}, 1, row);
  EXPECT_EQ(row[0], 0.25F);
  EXPECT_EQ(row[1], 8.0F);
  const std::vector<f16> half = {to_f16(-0.5F), to_f16(3.0F)};
  decode_row({.data = half.data(), .dtype = DType::kF16, .rows = 1, .cols = 2}, 0, row);
  EXPECT_EQ(row[0], -0.5F);
  EXPECT_EQ(row[1], 3.0F);
}

void expect_refused(const WeightView& weight, const std::string& part) {
  try {
    check_weight(weight, "here");
    ADD_FAILURE() << "no error; expected \"" << part << "\"";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInternal);
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
  }
}

TEST(WeightView, IncompleteViewsAreRefused) {
  const BlockScaled weight;
  EXPECT_NO_THROW(check_weight(weight.view(), "here"));
  expect_refused({}, "here: absent weight");
  WeightView view = weight.view();
  view.scale = nullptr;
  expect_refused(view, "scales");
  view = weight.view();
  view.dtype = DType::kBF16;
  expect_refused(view, "scales");
  view = weight.view();
  view.block_cols = 0;
  expect_refused(view, "blocks of 2 x 0");
  view = weight.view();
  view.dtype = DType::kI32;
  expect_refused(view, "I32 cannot be multiplied");
  view = weight.view();
  view.rows = 0;
  expect_refused(view, "absent weight");
}

}  // namespace
}  // namespace m2
