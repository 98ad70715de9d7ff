#include "ops/random_fill.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "ops/op_cases.h"
#include "ops/reference_backend.h"
#include "quant/strip_format.h"

namespace m2 {
namespace {

constexpr std::int64_t kRows = 200;
constexpr std::int64_t kCols = 640;

struct Format {
  DType dtype;
  BlockFormat block_format;
};

const std::vector<Format> kFormats = {
    {DType::kF32, BlockFormat::kNone},    {DType::kF16, BlockFormat::kNone},
    {DType::kBF16, BlockFormat::kNone},   {DType::kF8E4M3, BlockFormat::kNone},
    {DType::kU8, BlockFormat::kInt8G32},  {DType::kU8, BlockFormat::kInt4G32},
    {DType::kU8, BlockFormat::kInt4G128},
};

std::string name_of(const Format& format) {
  return format.block_format == BlockFormat::kNone
             ? std::string(dtype_name(format.dtype))
             : std::string(block_format_name(format.block_format));
}

class RandomFillTest : public testing::TestWithParam<test::BackendCase> {
 protected:
  RandomFillTest() : backend_(GetParam().num_threads, GetParam().target) {}

  CpuBackend backend_;
  ReferenceBackend plain_;
};

// Memory of a weight, filled by a backend.
std::vector<std::uint8_t> filled(Backend& backend, const Format& format, std::int64_t num_bytes,
                                 std::uint64_t seed) {
  const WeightView view = {
      .dtype = format.dtype, .rows = kRows, .cols = kCols, .block_format = format.block_format};
  const Tensor memory(DType::kU8, {num_bytes + 16});
  backend.random_fill({.data = memory.view().data,
                       .num_bytes = num_bytes,
                       .pattern = random_pattern(view, 0.05F),
                       .seed = seed});
  const auto* bytes = memory.as<std::uint8_t>();
  return {bytes, bytes + num_bytes + 16};
}

TEST_P(RandomFillTest, IsTheSameEverywhere) {
  for (const Format& format : kFormats) {
    for (const std::int64_t num_bytes : {0, 1, 16, 17, 70000, 1000003}) {
      const auto expected = filled(plain_, format, num_bytes, 5);
      EXPECT_EQ(filled(backend_, format, num_bytes, 5), expected) << name_of(format);
      for (int i = 0; i < 16; ++i) EXPECT_EQ(expected[static_cast<std::size_t>(num_bytes + i)], 0);
    }
    EXPECT_NE(filled(backend_, format, 4096, 5), filled(backend_, format, 4096, 6));
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, RandomFillTest, testing::ValuesIn(test::backend_cases()));

TEST(RandomFill, MakesFiniteNumbersOfTheSizeAskedFor) {
  constexpr float kDeviation = 0.05F;
  ReferenceBackend backend;
  for (const Format& format : kFormats) {
    const bool scaled = format.dtype == DType::kF8E4M3;
    const float scale = kDeviation / kRandomF8Deviation;
    const std::vector<float> scales(kRows * kCols, scale);
    WeightView view = {
        .dtype = format.dtype, .rows = kRows, .cols = kCols, .block_format = format.block_format};
    const std::int64_t num_bytes = view.num_bytes();
    const Tensor memory(DType::kU8, {num_bytes});
    backend.random_fill({.data = memory.view().data,
                         .num_bytes = num_bytes,
                         .pattern = random_pattern(view, kDeviation),
                         .seed = 1});
    view.data = memory.view().data;
    if (scaled) view.scale = scales.data();
    std::vector<float> row(kCols);
    double sum = 0.0;
    double squares = 0.0;
    for (std::int64_t r = 0; r < kRows; ++r) {
      decode_row(view, r, row.data());
      for (const float value : row) {
        ASSERT_TRUE(std::isfinite(value)) << name_of(format) << " row " << r;
        sum += double{value};
        squares += double{value} * double{value};
      }
    }
    constexpr double kCount = kRows * kCols;
    const double deviation = std::sqrt(squares / kCount);
    // Exponents are whole, so the size is right within a factor of the root of two.
    EXPECT_GT(deviation, 0.68 * double{kDeviation}) << name_of(format);
    EXPECT_LT(deviation, 1.48 * double{kDeviation}) << name_of(format);
    // Codes are not quite symmetric: half a step off for 4 bits.
    EXPECT_LT(std::fabs(sum / kCount), 0.15 * deviation) << name_of(format);
  }
}

TEST(RandomFillContract, NamesWhatDoesNotFit) {
  const Tensor memory(DType::kU8, {64});
  auto* bytes = memory.as<std::uint8_t>();
  test::expect_contract_error([&] { check(RandomFillArgs{.data = bytes + 4, .num_bytes = 8}); },
                              {"random_fill: data must be aligned to 16 bytes"});
  test::expect_contract_error([&] { check(RandomFillArgs{.num_bytes = 8}); },
                              {"random_fill: 8 bytes"});
  test::expect_contract_error([&] { (void)random_pattern(DType::kI32, 1.0F); },
                              {"random_fill: elements of type I32"});
}

}  // namespace
}  // namespace m2
