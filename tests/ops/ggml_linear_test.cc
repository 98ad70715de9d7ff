// Matrix products with weights in GGUF's block formats.
#include <gtest/gtest.h>

#include <iterator>

#include "ops/linear.h"
#include "ops/moe_experts.h"
#include "ops/op_cases.h"
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
    for (auto& byte : bytes_) byte = static_cast<std::uint8_t>(static_cast<int>(random.normal() * 1e4F));
    for (std::int64_t block = 0; block < size; block += ggml_layout(format).block_bytes) {
      for (const std::int64_t position : half_positions(format)) {
        const f16 half = to_f16(random.normal() * 0.1F);
        std::memcpy(bytes_.data() + 1 + block + position, &half, sizeof(half));
      }
    }
    view_.data = bytes_.data() + 1;
  }

  [[nodiscard]] const WeightView& view() const { return view_; }

 private:
  std::vector<std::uint8_t> bytes_;
  WeightView view_;
};

struct Case {
  std::int64_t num_tokens;
  std::int64_t rows;
  std::int64_t blocks;  // of 256 columns
};

// Zero and one token, all small tiles and one past them, rows that fill no tile, several panels.
constexpr Case kCases[] = {{0, 16, 1}, {1, 1, 1},  {1, 8, 4},   {1, 13, 5},
                           {1, 70, 9}, {2, 9, 1},  {3, 5, 2},   {4, 130, 3},
                           {6, 4, 1},  {7, 11, 5}, {97, 10, 1}, {200, 6, 2}};

class GgmlLinear : public testing::TestWithParam<BackendCase> {};

TEST_P(GgmlLinear, MatchesTheReference) {
  CpuBackend backend(GetParam().num_threads, GetParam().target);
  unsigned seed = 100;
  for (const Case& c : kCases) {
    for (const BlockFormat format : ggml_formats()) {
      // Formats of 32 need no whole 256.
      const std::int64_t cols = c.blocks * 256 - (ggml_layout(format).block_cols == 32 ? 96 : 0);
      SCOPED_TRACE(testing::Message() << "[" << c.num_tokens << "] x [" << c.rows << ", " << cols
                                      << "] " << block_format_name(format));
      Random random(++seed);
      const GgmlWeight weight(format, c.rows, cols, random);
      const Tensor input = random.tensor({c.num_tokens, cols});
      const Tensor output = random.tensor({c.num_tokens, c.rows});
      const Tensor expected = Tensor::copy_of(output.view());
      const bool accumulate = c.rows % 2 == 0;
      const auto args = [&](const Tensor& to) {
        return LinearArgs{input.view(), weight.view(), to.view(), accumulate};
      };
      reference::linear(args(expected));
      backend.linear(args(output));
      const auto weights = test::decode(weight.view());
      std::vector<double> tolerances;
      for (std::int64_t t = 0; t < c.num_tokens; ++t) {
        for (std::int64_t n = 0; n < c.rows; ++n) {
          double magnitude = 1;
          for (std::int64_t k = 0; k < cols; ++k) {
            magnitude += std::fabs(double{input.as<float>()[t * cols + k]} *
                                   weights[static_cast<std::size_t>(n * cols + k)]);
          }
          // Offsets are larger than what is left of scale * code + offset.
          const double roundings = test::dot_roundings(cols, GetParam().target) + 64;
          tolerances.push_back(magnitude * roundings * test::kUnitRoundoff);
        }
      }
      const auto values = test::floats(expected);
      test::expect_close(test::floats(output), std::vector<double>(values.begin(), values.end()),
                         tolerances);
    }
  }
}

TEST_P(GgmlLinear, TokensAreIndependent) {
  CpuBackend batch_backend(GetParam().num_threads, GetParam().target);
  CpuBackend single_backend(1, GetParam().target);
  constexpr std::int64_t kCols = 1280;
  constexpr std::int64_t kRows = 75;
  for (const BlockFormat format : ggml_formats()) {
    for (const std::int64_t num_tokens : {2, 5, 100}) {
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
    EXPECT_NEAR(test::floats(output)[i], test::floats(expected)[i], 1e-4 * largest) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, GgmlLinear, testing::ValuesIn(test::backend_cases()));

}  // namespace
}  // namespace m2
