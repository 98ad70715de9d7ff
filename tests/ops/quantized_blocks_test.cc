#include "ops/quantized_blocks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace m2 {
namespace {

// One group; `scale` is its scale.
std::vector<float> round_trip(const std::vector<float>& values, int bits, float* scale) {
  std::vector<std::uint8_t> codes(values.size() * static_cast<std::size_t>(bits) / 8);
  std::vector<float> groups(2);
  const auto group_size = static_cast<std::int64_t>(values.size());
  quantize_vector(values, bits, group_size, codes.data(), groups.data());
  std::vector<float> decoded(values.size());
  dequantize_vector(codes.data(), groups.data(), bits, group_size, decoded);
  *scale = groups[0];
  return decoded;
}

TEST(QuantizedBlocks, ValuesAreOffByHalfAStepAtMost) {
  std::mt19937 random(3);
  std::normal_distribution<float> normal;
  for (const int bits : {8, 4}) {
    for (const std::size_t size : {2U, 6U, 64U, 128U}) {
      for (const float magnitude : {1e-30F, 1e-3F, 1.0F, 1e30F}) {
        for (const float shift : {0.0F, 100.0F}) {
          std::vector<float> values(size);
          std::ranges::generate(values, [&] { return magnitude * (normal(random) + shift); });
          float scale = 0.0F;
          const auto decoded = round_trip(values, bits, &scale);
          const auto [low, high] = std::ranges::minmax(values);
          EXPECT_NEAR(scale, (double{high} - low) / (bits == 8 ? 255 : 15),
                      (std::fabs(double{high}) + std::fabs(double{low})) * 1e-7);
          for (std::size_t i = 0; i < size; ++i) {
            const double roundings =
                8 * 0x1p-24 * (std::fabs(double{low}) + std::fabs(double{high}));
            ASSERT_LE(std::fabs(double{decoded[i]} - values[i]), 0.5 * double{scale} + roundings)
                << bits << " bits, value " << i << " of " << size;
          }
        }
      }
    }
  }
}

TEST(QuantizedBlocks, EqualValuesAreExact) {
  for (const int bits : {8, 4}) {
    for (const float value : {0.0F, -0.75F, 3e38F, 1e-45F}) {
      float scale = 1.0F;
      EXPECT_EQ(round_trip({value, value, value, value}, bits, &scale),
                std::vector<float>(4, value));
    }
  }
}

TEST(QuantizedBlocks, DamageShows) {
  constexpr float kMax = std::numeric_limits<float>::max();
  const std::vector<std::vector<float>> cases = {
      {1.0F, std::numeric_limits<float>::quiet_NaN(), 2.0F, 3.0F},
      {1.0F, std::numeric_limits<float>::infinity(), 2.0F, 3.0F},
      {-kMax, kMax, 0.0F, 1.0F},
  };
  for (const auto& values : cases) {
    for (const int bits : {8, 4}) {
      float scale = 0.0F;
      for (const float value : round_trip(values, bits, &scale)) EXPECT_TRUE(std::isnan(value));
    }
  }
}

TEST(QuantizedBlocks, FourBitsLieInHalvesOfTheirGroup) {
  const std::vector<float> values = {0.0F, 1.0F, 2.0F, 15.0F, 10.0F, 25.0F, 22.0F, 11.0F};
  std::vector<std::uint8_t> codes(4);
  std::vector<float> groups(4);
  quantize_vector(values, 4, 4, codes.data(), groups.data());
  EXPECT_EQ(groups, (std::vector<float>{1.0F, 0.0F, 1.0F, 10.0F}));
  EXPECT_EQ(codes, (std::vector<std::uint8_t>{0x20, 0xF1, 0xC0, 0x1F}));
  std::vector<float> decoded(8);
  dequantize_vector(codes.data(), groups.data(), 4, 4, decoded);
  EXPECT_EQ(decoded, values);
}

}  // namespace
}  // namespace m2
