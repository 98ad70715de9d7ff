#include "ops/linear.h"

#include <gtest/gtest.h>

#include <limits>

#include "ops/op_cases.h"

namespace m2 {
namespace {

using test::BackendCase;
using test::Random;
using test::StoredWeight;

struct Case {
  std::int64_t num_tokens;
  std::int64_t rows;
  std::int64_t cols;
  std::int64_t block_rows = 128;
  std::int64_t block_cols = 128;
};

// Zero and one token, every small tile and one past it, rows and columns that fill no tile, no
// vector and no scale block, several panels.
constexpr Case kCases[] = {
    {0, 16, 128},
    {1, 1, 1},
    {1, 8, 128},
    {1, 13, 200},
    {1, 129, 1027},
    {1, 64, 3072},
    {2, 9, 63},
    {3, 5, 65},
    {4, 7, 130},
    {4, 140, 1100},
    {5, 6, 31},
    {6, 4, 64},
    {7, 11, 129},
    {13, 135, 257},
    {25, 17, 2049},
    {97, 10, 96},
    {200, 6, 40},
    {1, 70, 300, 16, 100},
    {9, 70, 300, 16, 100},
    {2, 33, 90, 7, 1},
    {6, 33, 90, 1, 33},
    {12, 20, 1500, 128, 1024},
};

struct Expected {
  std::vector<double> values;
  std::vector<double> magnitudes;  // sum of |input * weight|
};

Expected expected_product(const Tensor& input, const WeightView& weight, const Tensor& initial,
                          bool accumulate) {
  const auto weights = test::decode(weight);
  Expected result;
  for (std::int64_t t = 0; t < input.shape()[0]; ++t) {
    for (std::int64_t n = 0; n < weight.rows; ++n) {
      double sum = 0.0;
      double magnitude = 0.0;
      for (std::int64_t k = 0; k < weight.cols; ++k) {
        const double product = double{input.as<float>()[t * weight.cols + k]} *
                               weights[static_cast<std::size_t>(n * weight.cols + k)];
        sum += product;
        magnitude += std::fabs(product);
      }
      const double start = accumulate ? double{initial.as<float>()[t * weight.rows + n]} : 0.0;
      result.values.push_back(start + sum);
      result.magnitudes.push_back(std::fabs(start) + magnitude);
    }
  }
  return result;
}

class LinearTest : public testing::TestWithParam<BackendCase> {};

TEST_P(LinearTest, MatchesFloat64) {
  CpuBackend backend(GetParam().num_threads, GetParam().target);
  unsigned seed = 1;
  for (const Case& c : kCases) {
    for (const DType dtype : test::kWeightTypes) {
      for (const bool accumulate : {false, true}) {
        SCOPED_TRACE(testing::Message() << "[" << c.num_tokens << "] x [" << c.rows << ", "
                                        << c.cols << "] " << dtype_name(dtype));
        Random random(++seed);
        const StoredWeight weight(dtype, c.rows, c.cols, random, c.block_rows, c.block_cols);
        const Tensor input = random.tensor({c.num_tokens, c.cols});
        const Tensor output = random.tensor({c.num_tokens, c.rows});
        auto expected = expected_product(input, weight.view(), output, accumulate);
        backend.linear({.input = input.view(),
                        .weight = weight.view(),
                        .output = output.view(),
                        .accumulate = accumulate});
        // Scaled formats round once more, when the scale meets the activation.
        const double roundings = test::dot_roundings(c.cols, GetParam().target) + 1.0;
        for (double& m : expected.magnitudes) m *= roundings * test::kUnitRoundoff;
        test::expect_close(test::floats(output), expected.values, expected.magnitudes);
      }
    }
  }
}

// Codes and special values one by one: a unit vector picks one element of every row.
TEST_P(LinearTest, EveryE4m3CodeIsExact) {
  CpuBackend backend(GetParam().num_threads, GetParam().target);
  for (const std::int64_t num_tokens : {1, 9}) {
    Random random(7);
    StoredWeight weight(DType::kF8E4M3, 256, 150, random);
    for (std::int64_t row = 0; row < 256; ++row) {
      std::memset(weight.bytes() + row * 150, static_cast<int>(row), 150);
    }
    const std::vector<float> ones(4, 1.0F);
    WeightView view = weight.view();
    view.scale = ones.data();
    const Tensor input(DType::kF32, {num_tokens, 150});
    for (std::int64_t t = 0; t < num_tokens; ++t)
      input.as<float>()[t * 150 + (t * 37 + 149) % 150] = 1.0F;
    const Tensor output(DType::kF32, {num_tokens, 256});
    backend.linear({.input = input.view(), .weight = view, .output = output.view()});
    for (std::int64_t i = 0; i < num_tokens * 256; ++i) {
      const float expected = to_float(f8e4m3{static_cast<std::uint8_t>(i % 256)});
      const float got = output.as<float>()[i];
      if (std::isnan(expected)) {
        EXPECT_TRUE(std::isnan(got)) << "code " << i % 256 << " gives " << got;
      } else {
        EXPECT_EQ(got, expected) << "code " << i % 256;
      }
    }
  }
}

TEST_P(LinearTest, EveryF16IsExact) {
  CpuBackend backend(GetParam().num_threads, GetParam().target);
  for (const std::int64_t num_tokens : {1, 8}) {
    Random random(8);
    StoredWeight weight(DType::kF16, 65536, 1, random);
    for (std::int64_t row = 0; row < 65536; ++row) {
      const auto bits = static_cast<std::uint16_t>(row);
      std::memcpy(weight.bytes() + row * 2, &bits, 2);
    }
    const Tensor input(DType::kF32, {num_tokens, 1});
    std::fill_n(input.as<float>(), num_tokens, 1.0F);
    const Tensor output(DType::kF32, {num_tokens, 65536});
    backend.linear({.input = input.view(), .weight = weight.view(), .output = output.view()});
    for (std::int64_t i = 0; i < num_tokens * 65536; ++i) {
      const float expected = to_float(f16{static_cast<std::uint16_t>(i % 65536)});
      const float got = output.as<float>()[i];
      ASSERT_TRUE(got == expected || (std::isnan(got) && std::isnan(expected)))
          << "bits " << i % 65536 << ": got " << got << ", expected " << expected;
    }
  }
}

// A NaN spoils its row and no other, wherever it lies; the tail of a row is no exception.
TEST_P(LinearTest, NanOfE4m3SpoilsItsRowOnly) {
  CpuBackend backend(GetParam().num_threads, GetParam().target);
  for (const std::int64_t num_tokens : {1, 3, 7}) {
    for (const std::int64_t col : {0, 63, 64, 1023, 1024, 1190}) {
      Random random(9);
      StoredWeight weight(DType::kF8E4M3, 11, 1191, random);
      weight.bytes()[5 * 1191 + col] = 0xFF;
      const Tensor input = random.tensor({num_tokens, 1191});
      input.as<float>()[col] = 0.0F;
      const Tensor output(DType::kF32, {num_tokens, 11});
      backend.linear({.input = input.view(), .weight = weight.view(), .output = output.view()});
      for (std::int64_t i = 0; i < num_tokens * 11; ++i) {
        EXPECT_EQ(std::isnan(output.as<float>()[i]), i % 11 == 5) << "row " << i % 11;
      }
    }
  }
}

// A token's result does not depend on who shares the batch, nor on the number of threads.
TEST_P(LinearTest, TokensAreIndependent) {
  CpuBackend batch_backend(GetParam().num_threads, GetParam().target);
  CpuBackend single_backend(1, GetParam().target);
  for (const DType dtype : test::kWeightTypes) {
    for (const std::int64_t num_tokens : {2, 3, 4, 5, 8, 19, 130}) {
      Random random(10);
      const StoredWeight weight(dtype, 150, 1500, random);
      const Tensor input = random.tensor({num_tokens, 1500});
      const Tensor together(DType::kF32, {num_tokens, 150});
      const Tensor alone(DType::kF32, {num_tokens, 150});
      batch_backend.linear(
          {.input = input.view(), .weight = weight.view(), .output = together.view()});
      for (std::int64_t t = 0; t < num_tokens; ++t) {
        single_backend.linear({.input = {input.as<float>() + t * 1500, DType::kF32, {1, 1500}},
                               .weight = weight.view(),
                               .output = {alone.as<float>() + t * 150, DType::kF32, {1, 150}}});
      }
      test::expect_same_bits(test::floats(together), test::floats(alone));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, LinearTest, testing::ValuesIn(test::backend_cases()));

TEST(LinearContract, NamesWhatDoesNotMatch) {
  Random random(1);
  const StoredWeight weight(DType::kF32, 4, 8, random);
  const Tensor input(DType::kF32, {3, 7});
  const Tensor output(DType::kF32, {3, 4});
  test::expect_contract_error(
      [&] {
        reference::linear(
            {.input = input.view(), .weight = weight.view(), .output = output.view()});
      },
      {"linear: weight [4, 8] does not match input [3, 7]"});
  const Tensor wide(DType::kF32, {3, 8});
  test::expect_contract_error(
      [&] {
        reference::linear({.input = wide.view(), .weight = weight.view(), .output = input.view()});
      },
      {"output [3, 7]", "[3, 8]"});
  test::expect_contract_error(
      [&] {
        reference::linear({.input = wide.view(),
                           .weight = weight.view(),
                           .output = {wide.as<float>() + 4, DType::kF32, {3, 4}}});
      },
      {"output overlaps input"});
  WeightView no_scale = weight.view();
  no_scale.dtype = DType::kF8E4M3;
  test::expect_contract_error(
      [&] {
        reference::linear({.input = wide.view(), .weight = no_scale, .output = output.view()});
      },
      {"linear", "scales"});
}

}  // namespace
}  // namespace m2
