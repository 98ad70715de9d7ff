#include "ops/rms_norm.h"

#include <gtest/gtest.h>

#include "ops/op_cases.h"

namespace m2 {
namespace {

using test::Random;

class RmsNormTest : public testing::TestWithParam<test::BackendCase> {};

TEST_P(RmsNormTest, MatchesFloat64) {
  CpuBackend backend(GetParam().num_threads, GetParam().target);
  for (const std::int64_t num_tokens : {0, 1, 5}) {
    for (const std::int64_t size : {1, 3, 16, 63, 64, 65, 130, 3072}) {
      SCOPED_TRACE(testing::Message() << "[" << num_tokens << ", " << size << "]");
      Random random(static_cast<unsigned>(size));
      const Tensor input = random.tensor({num_tokens, size}, 3.0F);
      const Tensor weight = random.tensor({size});
      constexpr float kEps = 1e-3F;
      std::vector<double> expected;
      std::vector<double> tolerance;
      for (std::int64_t t = 0; t < num_tokens; ++t) {
        const float* x = input.as<float>() + t * size;
        double sum = 0.0;
        for (std::int64_t i = 0; i < size; ++i) sum += double{x[i]} * double{x[i]};
        const double factor = 1.0 / std::sqrt(sum / static_cast<double>(size) + double{kEps});
        for (std::int64_t i = 0; i < size; ++i) {
          expected.push_back(double{weight.as<float>()[i]} * double{x[i]} * factor);
          // A sum of squares has no cancellation; the root halves its error.
          const double roundings = static_cast<double>(size) / 2.0 + 6.0;
          tolerance.push_back(roundings * test::kUnitRoundoff * std::fabs(expected.back()));
        }
      }
      const Tensor output(DType::kF32, {num_tokens, size});
      const RmsNormArgs args{
          .input = input.view(), .weight = weight.view(), .eps = kEps, .output = output.view()};
      reference::rms_norm(args);
      test::expect_close(test::floats(output), expected, tolerance);
      backend.rms_norm(args);
      test::expect_close(test::floats(output), expected, tolerance);
      RmsNormArgs in_place = args;
      in_place.output = input.view();
      backend.rms_norm(in_place);
      test::expect_same_bits(test::floats(input), test::floats(output));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, RmsNormTest, testing::ValuesIn(test::backend_cases()));

TEST(RmsNormContract, NamesWhatDoesNotMatch) {
  const Tensor input(DType::kF32, {5, 3071});
  const Tensor weight(DType::kF32, {3072});
  test::expect_contract_error(
      [&] {
        reference::rms_norm(
            {.input = input.view(), .weight = weight.view(), .output = input.view()});
      },
      {"rms_norm: weight [3072] does not match input [5, 3071]"});
  const Tensor half(DType::kBF16, {5, 3072});
  test::expect_contract_error(
      [&] {
        reference::rms_norm({.input = half.view(), .weight = weight.view(), .output = half.view()});
      },
      {"rms_norm: input must be F32, got BF16"});
}

}  // namespace
}  // namespace m2
