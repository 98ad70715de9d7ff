// linear with weights in strips (quant/strip_format.h).
#include <gtest/gtest.h>

#include "ops/linear.h"
#include "ops/op_cases.h"
#include "ops/quantized_oracle.h"

namespace m2 {
namespace {

using test::Random;
using test::StoredWeight;

struct Case {
  std::int64_t num_tokens;
  std::int64_t rows;
  std::int64_t cols;
};

// Zero and one token, every size of a register tile, one past it and past a pass; rows and columns
// that fill no strip, no pair of strips, no group and no block of columns.
constexpr Case kCases[] = {
    {0, 16, 128},  {1, 1, 1},     {1, 16, 32},   {1, 17, 33},    {1, 48, 1027},
    {1, 130, 544}, {2, 9, 63},    {3, 5, 65},    {4, 32, 130},   {5, 33, 1100},
    {6, 64, 64},   {7, 47, 129},  {8, 15, 96},   {9, 100, 257},  {10, 40, 1056},
    {11, 17, 160}, {12, 66, 300}, {13, 34, 700}, {16, 31, 512},  {17, 16, 513},
    {32, 48, 200}, {47, 33, 416}, {121, 33, 40}, {125, 20, 640}, {245, 18, 100},
};

class StripLinearTest : public testing::TestWithParam<test::BackendCase> {
 protected:
  StripLinearTest() : backend_(GetParam().num_threads, GetParam().target) {}
  CpuBackend backend_;
};

TEST_P(StripLinearTest, MatchesExactSumsOfQuantisedActivations) {
  unsigned seed = 100;
  for (const Case& c : kCases) {
    for (const BlockFormat format : test::kStripFormats) {
      Random random(++seed);
      const StoredWeight weight(format, c.rows, c.cols, random);
      for (const bool accumulate : {false, true}) {
        SCOPED_TRACE(testing::Message() << "[" << c.num_tokens << "] x [" << c.rows << ", "
                                        << c.cols << "] " << block_format_name(format));
        const Tensor input = random.tensor({c.num_tokens, c.cols});
        const Tensor output = random.tensor({c.num_tokens, c.rows});
        const auto expected = test::coded_product(input, weight.view(), output, accumulate);
        backend_.linear({.input = input.view(),
                         .weight = weight.view(),
                         .output = output.view(),
                         .accumulate = accumulate});
        test::expect_close(test::floats(output), expected.values, expected.tolerance);
      }
    }
  }
}

TEST_P(StripLinearTest, IsWithinHalfAStepOfEveryActivation) {
  for (const BlockFormat format : test::kStripFormats) {
    for (const std::int64_t num_tokens : {1, 11}) {
      Random random(200);
      const StoredWeight weight(format, 70, 900, random);
      const Tensor input = random.tensor({num_tokens, 900});
      const Tensor output(DType::kF32, {num_tokens, 70});
      const auto expected = test::plain_product(input, weight.view());
      backend_.linear({.input = input.view(), .weight = weight.view(), .output = output.view()});
      test::expect_close(test::floats(output), expected.values, expected.tolerance);
    }
  }
}

// The largest codes of both sides with one sign: the longest integers.
TEST_P(StripLinearTest, LargestCodesDoNotOverflow) {
  for (const BlockFormat format : test::kStripFormats) {
    const std::int64_t bytes = block_matrix_bytes(format, 16, 128);
    const StripLayout layout = strip_layout(format, 128);
    for (const int code : {0x00, 0xFF}) {
      std::vector<std::uint8_t> strip(static_cast<std::size_t>(bytes),
                                      static_cast<std::uint8_t>(code));
      const f16 one = to_f16(1.0F);
      for (std::int64_t i = layout.code_bytes(); i < bytes; i += 2) {
        std::memcpy(strip.data() + i, &one, sizeof(one));
      }
      const WeightView weight{.data = strip.data(),
                              .dtype = DType::kU8,
                              .rows = 16,
                              .cols = 128,
                              .block_format = format};
      for (const std::int64_t num_tokens : {1, 9}) {
        const Tensor input(DType::kF32, {num_tokens, 128});
        std::fill_n(input.as<float>(), num_tokens * 128, -127.0F);
        const Tensor output(DType::kF32, {num_tokens, 16});
        backend_.linear({.input = input.view(), .weight = weight, .output = output.view()});
        const int least = layout.bits == 8 ? -128 : -8;
        const int q = code == 0 ? least : -least - 1;
        for (const float got : test::floats(output)) {
          EXPECT_EQ(got, static_cast<float>(-127 * q * 128)) << block_format_name(format);
        }
      }
    }
  }
}

// An infinity or a NaN spoils its token and no other; groups of zeros and of tiny numbers are zero.
TEST_P(StripLinearTest, SpecialActivations) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  for (const BlockFormat format : test::kStripFormats) {
    Random random(300);
    const StoredWeight weight(format, 40, 70, random);
    const Tensor input(DType::kF32, {5, 70});
    input.as<float>()[69] = std::numeric_limits<float>::quiet_NaN();
    input.as<float>()[2 * 70 + 3] = -kInfinity;
    std::fill_n(input.as<float>() + 3 * 70, 70, 1e-38F);
    const Tensor output(DType::kF32, {5, 40});
    backend_.linear({.input = input.view(), .weight = weight.view(), .output = output.view()});
    for (std::int64_t i = 0; i < 5 * 40; ++i) {
      const float got = output.as<float>()[i];
      if (i / 40 == 0 || i / 40 == 2) {
        EXPECT_TRUE(std::isnan(got)) << i;
      } else {
        EXPECT_EQ(got, 0.0F) << i;
      }
    }
  }
}

TEST_P(StripLinearTest, TokensAreIndependent) {
  CpuBackend single_backend(1, GetParam().target);
  for (const BlockFormat format : test::kStripFormats) {
    Random random(400);
    const StoredWeight weight(format, 150, 1500, random);
    for (const std::int64_t num_tokens : {2, 3, 4, 5, 8, 19, 130}) {
      const Tensor input = random.tensor({num_tokens, 1500});
      const Tensor together(DType::kF32, {num_tokens, 150});
      const Tensor alone(DType::kF32, {num_tokens, 150});
      backend_.linear({.input = input.view(), .weight = weight.view(), .output = together.view()});
      for (std::int64_t t = 0; t < num_tokens; ++t) {
        single_backend.linear({.input = {input.as<float>() + t * 1500, DType::kF32, {1, 1500}},
                               .weight = weight.view(),
                               .output = {alone.as<float>() + t * 150, DType::kF32, {1, 150}}});
      }
      test::expect_same_bits(test::floats(together), test::floats(alone));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, StripLinearTest, testing::ValuesIn(test::backend_cases()));

// Integer sums are exact and the rest is fused the same way.
TEST(StripLinear, SetsWithFusedProductsAgree) {
  for (const BlockFormat format : test::kStripFormats) {
    for (const std::int64_t num_tokens : {1, 3, 8, 37}) {
      Random random(500);
      const StoredWeight weight(format, 90, 1300, random);
      const Tensor input = random.tensor({num_tokens, 1300});
      std::vector<Tensor> outputs;
      for (const auto& target : test::targets_with_fused_products()) {
        outputs.emplace_back(DType::kF32, Shape{num_tokens, 90});
        CpuBackend(2, target).linear(
            {.input = input.view(), .weight = weight.view(), .output = outputs.back().view()});
        test::expect_same_bits(test::floats(outputs.back()), test::floats(outputs.front()));
      }
    }
  }
}

}  // namespace
}  // namespace m2
