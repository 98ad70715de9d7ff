#include "m2/dtype.h"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>
#include <vector>

#include "m2/error.h"
#include "support/paths.h"

namespace m2 {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// A small float read by its definition: sign, biased exponent, fraction.
double value_by_definition(unsigned code, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const int exponent = static_cast<int>(code >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const int mantissa = static_cast<int>(code & ((1U << mantissa_bits) - 1U));
  const double fraction = std::ldexp(mantissa, -mantissa_bits);
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1.0 + fraction, exponent - bias);
  return (code >> (exponent_bits + mantissa_bits)) != 0 ? -magnitude : magnitude;
}

template <typename T>
struct Traits;
template <>
struct Traits<f8e4m3> {
  static constexpr int kExponentBits = 4;
  static constexpr int kMantissaBits = 3;
  static constexpr unsigned kLargest = 0x7E;  // the code of the largest finite value
  static f8e4m3 from(float value) { return to_f8e4m3(value); }
};
template <>
struct Traits<f16> {
  static constexpr int kExponentBits = 5;
  static constexpr int kMantissaBits = 10;
  static constexpr unsigned kLargest = 0x7BFF;
  static f16 from(float value) { return to_f16(value); }
};
template <>
struct Traits<bf16> {
  static constexpr int kExponentBits = 8;
  static constexpr int kMantissaBits = 7;
  static constexpr unsigned kLargest = 0x7F7F;
  static bf16 from(float value) { return to_bf16(value); }
};

template <typename T>
T make(unsigned code) {
  return {static_cast<decltype(T::bits)>(code)};
}

template <typename T>
class SmallFloatTest : public testing::Test {};
using SmallFloats = testing::Types<f8e4m3, f16, bf16>;
TYPED_TEST_SUITE(SmallFloatTest, SmallFloats);

TYPED_TEST(SmallFloatTest, EveryCodeDecodesAndComesBack) {
  using Format = Traits<TypeParam>;
  const unsigned sign = 1U << (Format::kExponentBits + Format::kMantissaBits);
  for (unsigned code = 0; code < 2 * sign; ++code) {
    const float value = to_float(make<TypeParam>(code));
    if ((code & ~sign) > Format::kLargest) {
      EXPECT_FALSE(std::isfinite(value)) << "code " << code;
      continue;
    }
    EXPECT_EQ(double{value},
              value_by_definition(code, Format::kExponentBits, Format::kMantissaBits))
        << "code " << code;
    EXPECT_EQ(std::signbit(value), (code & sign) != 0);
    EXPECT_EQ(Format::from(value).bits, code);
  }
}

// Between every two neighbours: the middle goes to the even code, its own neighbours to the nearer.
TYPED_TEST(SmallFloatTest, RoundsToNearestTiesToEven) {
  using Format = Traits<TypeParam>;
  const unsigned sign = 1U << (Format::kExponentBits + Format::kMantissaBits);
  for (unsigned code = 0; code < Format::kLargest; ++code) {
    const double low = to_float(make<TypeParam>(code));
    const double high = to_float(make<TypeParam>(code + 1));
    const auto middle = static_cast<float>((low + high) / 2.0);
    ASSERT_EQ(double{middle}, (low + high) / 2.0) << "code " << code;
    const unsigned even = code % 2 == 0 ? code : code + 1;
    EXPECT_EQ(Format::from(middle).bits, even) << "code " << code;
    EXPECT_EQ(Format::from(-middle).bits, even | sign) << "code " << code;
    EXPECT_EQ(Format::from(std::nextafter(middle, 0.0F)).bits, code) << "code " << code;
    EXPECT_EQ(Format::from(std::nextafter(middle, kInfinity)).bits, code + 1) << "code " << code;
  }
}

TEST(DType, F8SaturatesAndKeepsNan) {
  for (const float value : {448.0F, 464.0F, 480.0F, 1e30F, kInfinity}) {
    EXPECT_EQ(to_f8e4m3(value).bits, 0x7E) << value;
    EXPECT_EQ(to_f8e4m3(-value).bits, 0xFE) << value;
  }
  EXPECT_TRUE(std::isnan(to_float(f8e4m3{0x7F})));
  EXPECT_TRUE(std::isnan(to_float(f8e4m3{0xFF})));
  EXPECT_EQ(to_f8e4m3(kNan).bits & 0x7FU, 0x7FU);
}

TEST(DType, F16AndBf16OverflowToInfinityAndKeepNan) {
  EXPECT_EQ(to_f16(65519.996F).bits, 0x7BFF);
  EXPECT_EQ(to_f16(65520.0F).bits, 0x7C00);
  EXPECT_EQ(to_f16(-1e30F).bits, 0xFC00);
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()).bits, 0x7F80);
  EXPECT_EQ(to_float(f16{0xFC00}), -kInfinity);
  EXPECT_EQ(to_float(bf16{0x7F80}), kInfinity);
  // A NaN whose upper mantissa bits are zero must not become infinity.
  const auto low_nan = std::bit_cast<float>(0x7F800001U);
  EXPECT_TRUE(std::isnan(to_float(to_bf16(low_nan))));
  EXPECT_TRUE(std::isnan(to_float(to_f16(low_nan))));
  for (unsigned code = 0x7C01; code < 0x8000; ++code) {
    EXPECT_TRUE(std::isnan(to_float(make<f16>(code)))) << code;
  }
}

TEST(DType, CastsAgreeWithTorch) {
  const auto golden =
      nlohmann::json::parse(test::read_file(test::golden_path("tensor/dtype_casts.json")));
  const std::vector<std::uint32_t> decoded = golden["f8_e4m3_values"];
  ASSERT_EQ(decoded.size(), 256U);
  for (unsigned code = 0; code < 256; ++code) {
    const auto expected = std::bit_cast<float>(decoded[code]);
    const float got = to_float(make<f8e4m3>(code));
    EXPECT_TRUE(got == expected || (std::isnan(got) && std::isnan(expected))) << code;
  }
  const std::vector<std::uint32_t> values = golden["f32"];
  const std::vector<unsigned> f8 = golden["f8_e4m3"];
  const std::vector<unsigned> half = golden["f16"];
  const std::vector<unsigned> brain = golden["bf16"];
  ASSERT_GT(values.size(), 1000U);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto value = std::bit_cast<float>(values[i]);
    EXPECT_EQ(to_f8e4m3(value).bits, f8[i]) << value;
    EXPECT_EQ(to_f16(value).bits, half[i]) << value;
    EXPECT_EQ(to_bf16(value).bits, brain[i]) << value;
  }
}

TEST(DType, NamesAndSizes) {
  const std::vector<std::pair<std::string_view, std::size_t>> known = {
      {"F64", 8}, {"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F8_E4M3", 1}, {"I64", 8},
      {"I32", 4}, {"I16", 2}, {"I8", 1},  {"U8", 1},   {"BOOL", 1}};
  for (const auto& [name, size] : known) {
    const auto dtype = dtype_from_name(name);
    ASSERT_TRUE(dtype.has_value()) << name;
    EXPECT_EQ(dtype_name(*dtype), name);
    EXPECT_EQ(dtype_size(*dtype), size);
    EXPECT_EQ(is_floating(*dtype), name.find('F') != name.npos);
  }
  EXPECT_FALSE(dtype_from_name("f32").has_value());
  EXPECT_FALSE(dtype_from_name("").has_value());
}

TEST(DType, LoadFloatNeedsNoAlignment) {
  std::array<char, 24> bytes{};
  const double wide = 0.5;
  std::memcpy(bytes.data() + 9, &wide, sizeof(wide));
  EXPECT_EQ(load_float(bytes.data() + 1, DType::kF64, 1), 0.5F);
  const float single = -3.25F;
  std::memcpy(bytes.data() + 5, &single, sizeof(single));
  EXPECT_EQ(load_float(bytes.data() + 1, DType::kF32, 1), -3.25F);
  EXPECT_THROW((void)load_float(bytes.data(), DType::kI32, 0), Error);
}

}  // namespace
}  // namespace m2
