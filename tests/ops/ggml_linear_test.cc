// Matrix products with weights in GGUF's block formats.
#include <gtest/gtest.h>

#include <iterator>

#include "ops/linear.h"
#include "ops/moe_experts.h"
#include "ops/op_cases.h"
#include "ops/quantized_oracle.h"
#include "quant/ggml_format.h"

namespace m2 {
namespace {

using test::BackendCase;
using test::Random;

std::vector<BlockFormat> ggml_formats() {
  std::vector<BlockFormat> formats;
  std::ranges::copy_if(block_formats(), std::back_inserter(formats), is_ggml_format);
  return formats;
}

// Bytes of a block that begin an f16.
std::vector<std::int64_t> half_positions(BlockFormat format) {
  switch (format) {
    case BlockFormat::kQ4_1:
    case BlockFormat::kQ5_1:
    case BlockFormat::kQ4_K:
    case BlockFormat::kQ5_K:
      return {0, 2};
    case BlockFormat::kQ2_K:
      return {80, 82};
    case BlockFormat::kQ3_K:
      return {108};
    case BlockFormat::kQ6_K:
      return {208};
    default:
      return {0};
  }
}

// Random bytes with finite scales, at an odd address as anywhere in a file.
class GgmlWeight {
 public:
  GgmlWeight(BlockFormat format, std::int64_t rows, std::int64_t cols, Random& random) {
    view_ = {.dtype = DType::kU8, .rows = rows, .cols = cols};
    view_.block_format = format;
    const std::int64_t size = view_.num_bytes();
    bytes_.resize(static_cast<std::size_t>(size) + 1);
    for (auto& byte : bytes_)
      byte = static_cast<std::uint8_t>(static_cast<int>(random.normal() * 1e4F));
    for (std::int64_t block = 0; block < size; block += ggml_layout(format).block_bytes) {
      for (const std::int64_t position : half_positions(format)) {
        const f16 half = to_f16(random.normal() * 0.1F);
        std::memcpy(bytes_.data() + 1 + block + position, &half, sizeof(half));
      }
    }
    view_.data = bytes_.data() + 1;
  }

  [[nodiscard]] const WeightView& view() const { return view_; }

  /// All bytes but the f16 numbers.
  void fill(int byte) {
    const std::int64_t block_bytes = ggml_layout(view_.block_format).block_bytes;
    for (std::int64_t block = 0; block < view_.num_bytes(); block += block_bytes) {
      for (std::int64_t i = 0; i < block_bytes; ++i) {
        const bool half = std::ranges::any_of(half_positions(view_.block_format),
                                              [&](auto at) { return i / 2 == at / 2; });
        if (!half)
          bytes_[static_cast<std::size_t>(1 + block + i)] = static_cast<std::uint8_t>(byte);
      }
    }
  }

 private:
  std::vector<std::uint8_t> bytes_;
  WeightView view_;
};

struct Case {
  std::int64_t num_tokens;
  std::int64_t rows;
  std::int64_t blocks;  // of 256 columns
};

// Zero and one token, every size of a register tile, one past it and past a pass; rows that fill no
// vector and no pass; several blocks.
constexpr Case kCases[] = {{0, 16, 1}, {1, 1, 1},  {1, 16, 1},  {1, 17, 2},  {1, 70, 5},
                           {2, 9, 1},  {3, 5, 2},  {4, 130, 3}, {5, 33, 1},  {6, 32, 1},
                           {7, 11, 5}, {8, 64, 1}, {13, 47, 1}, {97, 10, 1}, {200, 20, 2}};

// Formats of 32 need no whole 256.
std::int64_t cols_of(const Case& c, BlockFormat format) {
  return c.blocks * 256 - (ggml_layout(format).block_cols == 32 ? 96 : 0);
}

class GgmlLinear : public testing::TestWithParam<BackendCase> {};

TEST_P(GgmlLinear, MatchesExactSumsOfQuantisedActivations) {
  CpuBackend backend(GetParam().num_threads, GetParam().target);
  unsigned seed = 100;
  for (const Case& c : kCases) {
    for (const BlockFormat format : ggml_formats()) {
      const std::int64_t cols = cols_of(c, format);
      SCOPED_TRACE(testing::Message() << "[" << c.num_tokens << "] x [" << c.rows << ", " << cols
                                      << "] " << block_format_name(format));
      Random random(++seed);
      const GgmlWeight weight(format, c.rows, cols, random);
      const Tensor input = random.tensor({c.num_tokens, cols});
      const Tensor output = random.tensor({c.num_tokens, c.rows});
      const bool accumulate = c.rows % 2 == 0;
      auto expected = test::coded_product(input, weight.view(), output, accumulate);
      backend.linear({input.view(), weight.view(), output.view(), accumulate});
      // Two fused sums for every 16 columns, and offsets and codes that cancel in the weights.
      for (double& tolerance : expected.tolerance) tolerance = 16 * (tolerance + 1e-7);
      test::expect_close(test::floats(output), expected.values, expected.tolerance);
    }
  }
}

TEST_P(GgmlLinear, IsWithinHalfAStepOfEveryActivation) {
  CpuBackend backend(GetParam().num_threads, GetParam().target);
  for (const BlockFormat format : ggml_formats()) {
    for (const std::int64_t num_tokens : {1, 11}) {
      SCOPED_TRACE(block_format_name(format));
      Random random(200);
      const GgmlWeight weight(format, 70, 768, random);
      const Tensor input = random.tensor({num_tokens, 768});
      const Tensor output(DType::kF32, {num_tokens, 70});
      const auto expected = test::plain_product(input, weight.view());
      backend.linear({.input = input.view(), .weight = weight.view(), .output = output.view()});
      test::expect_close(test::floats(output), expected.values, expected.tolerance);
    }
  }
}

// The largest codes of both sides with one sign: the longest integers.
TEST_P(GgmlLinear, LargestCodesDoNotOverflow) {
  CpuBackend backend(GetParam().num_threads, GetParam().target);
  for (const BlockFormat format : ggml_formats()) {
    for (const int code : {0x00, 0x80, 0xFF}) {
      SCOPED_TRACE(testing::Message() << block_format_name(format) << " " << code);
      Random random(300);
      GgmlWeight weight(format, 16, 512, random);
      weight.fill(code);
      for (const float x : {-127.0F, 127.0F}) {
        const Tensor input(DType::kF32, {9, 512});
        std::fill_n(input.as<float>(), 9 * 512, x);
        const Tensor output(DType::kF32, {9, 16});
        auto expected = test::coded_product(input, weight.view(), output, false);
        backend.linear({.input = input.view(), .weight = weight.view(), .output = output.view()});
        for (double& tolerance : expected.tolerance) tolerance = 16 * (tolerance + 1e-7);
        test::expect_close(test::floats(output), expected.values, expected.tolerance);
      }
    }
  }
}

// An infinity or a NaN spoils its token and no other.
TEST_P(GgmlLinear, SpecialActivations) {
  CpuBackend backend(GetParam().num_threads, GetParam().target);
  for (const BlockFormat format : ggml_formats()) {
    Random random(400);
    const GgmlWeight weight(format, 40, 256, random);
    const Tensor input(DType::kF32, {4, 256});
    input.as<float>()[69] = std::numeric_limits<float>::quiet_NaN();
    input.as<float>()[2 * 256 + 3] = -std::numeric_limits<float>::infinity();
    const Tensor output(DType::kF32, {4, 40});
    backend.linear({.input = input.view(), .weight = weight.view(), .output = output.view()});
    for (std::int64_t i = 0; i < 4 * 40; ++i) {
      const float got = output.as<float>()[i];
      if (i / 40 % 2 == 0) {
        EXPECT_TRUE(std::isnan(got)) << block_format_name(format) << " " << i;
      } else {
        EXPECT_EQ(got, 0.0F) << block_format_name(format) << " " << i;
      }
    }
  }
}

TEST_P(GgmlLinear, TokensAreIndependent) {
  CpuBackend batch_backend(GetParam().num_threads, GetParam().target);
  CpuBackend single_backend(1, GetParam().target);
  constexpr std::int64_t kCols = 1280;
  constexpr std::int64_t kRows = 75;
  for (const BlockFormat format : ggml_formats()) {
    for (const std::int64_t num_tokens : {2, 5, 8, 100, 130}) {
      Random random(10);
      const GgmlWeight weight(format, kRows, kCols, random);
      const Tensor input = random.tensor({num_tokens, kCols});
      const Tensor together(DType::kF32, {num_tokens, kRows});
      const Tensor alone(DType::kF32, {num_tokens, kRows});
      batch_backend.linear(
          {.input = input.view(), .weight = weight.view(), .output = together.view()});
      for (std::int64_t t = 0; t < num_tokens; ++t) {
        single_backend.linear({.input = {input.as<float>() + t * kCols, DType::kF32, {1, kCols}},
                               .weight = weight.view(),
                               .output = {alone.as<float>() + t * kRows, DType::kF32, {1, kRows}}});
      }
      SCOPED_TRACE(block_format_name(format));
      test::expect_same_bits(test::floats(together), test::floats(alone));
    }
  }
}

// The experts of a layer may have different formats.
TEST_P(GgmlLinear, ExpertsMatchTheReference) {
  CpuBackend backend(GetParam().num_threads, GetParam().target);
  Random random(11);
  const BlockFormat formats[] = {BlockFormat::kQ4_K, BlockFormat::kQ6_K, BlockFormat::kQ8_0};
  std::vector<GgmlWeight> weights;
  std::vector<ExpertWeights> experts;
  for (const BlockFormat format : formats) {
    weights.emplace_back(format, 256, 512, random);
    weights.emplace_back(format, 256, 512, random);
    weights.emplace_back(BlockFormat::kQ6_K, 512, 256, random);
  }
  for (std::size_t e = 0; e < weights.size(); e += 3) {
    experts.push_back({weights[e].view(), weights[e + 1].view(), weights[e + 2].view()});
  }
  const Tensor input = random.tensor({5, 512});
  const Tensor ids(DType::kI32, {5, 2});
  const Tensor shares = random.tensor({5, 2});
  for (int i = 0; i < 10; ++i) ids.as<std::int32_t>()[i] = (i % 2 + i / 2) % 3;
  const Tensor output = random.tensor({5, 512});
  const Tensor expected = Tensor::copy_of(output.view());
  const auto args = [&](const Tensor& to) {
    return MoeExpertsArgs{.hidden_states = input.view(),
                          .topk_ids = ids.view(),
                          .topk_weights = shares.view(),
                          .experts = experts,
                          .output = to.view()};
  };
  reference::moe_experts(args(expected));
  backend.moe_experts(args(output));
  double largest = 0;
  for (const float value : test::floats(expected))
    largest = std::max(largest, std::fabs(double{value}));
  for (std::size_t i = 0; i < test::floats(expected).size(); ++i) {
    EXPECT_NEAR(test::floats(output)[i], test::floats(expected)[i], 0.02 * largest) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, GgmlLinear, testing::ValuesIn(test::backend_cases()));

// Integer sums are exact and the rest is fused the same way.
TEST(GgmlLinearSets, WithFusedProductsAgree) {
  for (const BlockFormat format : ggml_formats()) {
    for (const std::int64_t num_tokens : {1, 3, 8, 37}) {
      Random random(500);
      const GgmlWeight weight(format, 90, 1280, random);
      const Tensor input = random.tensor({num_tokens, 1280});
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
