#include "ops/qk_norm_rope.h"

#include <gtest/gtest.h>

#include "ops/op_cases.h"
#include "ops/reference_backend.h"

namespace m2 {
namespace {

using test::Random;

struct Case {
  std::int64_t num_tokens;
  std::int64_t num_heads;
  std::int64_t num_kv_heads;
  std::int64_t head_dim;
  std::int64_t rotary_dim;
};

// The model's sizes, a full rotation, none, and halves that fill no vector.
constexpr Case kCases[] = {{0, 2, 1, 16, 8},  {1, 48, 8, 128, 64}, {3, 6, 2, 16, 16},
                           {2, 3, 1, 20, 10}, {4, 2, 2, 34, 34},   {2, 2, 1, 16, 0}};

struct Expected {
  std::vector<double> values;
  std::vector<double> tolerance;
};

// One mean over all heads, then the rotation of the first R dims of every head.
Expected expected_heads(const Tensor& heads, const Tensor& weight, const Tensor& cos,
                        const Tensor& sin, const Case& c, float eps) {
  const std::int64_t width = heads.shape()[1];
  const std::int64_t half = c.rotary_dim / 2;
  Expected result;
  for (std::int64_t t = 0; t < c.num_tokens; ++t) {
    const float* x = heads.as<float>() + t * width;
    double sum = 0.0;
    for (std::int64_t i = 0; i < width; ++i) sum += double{x[i]} * double{x[i]};
    const double factor = 1.0 / std::sqrt(sum / static_cast<double>(width) + double{eps});
    const auto normed = [&](std::int64_t i) {
      return double{x[i]} * factor * double{weight.as<float>()[i]};
    };
    for (std::int64_t i = 0; i < width; ++i) {
      const std::int64_t dim = i % c.head_dim;
      double value = normed(i);
      double magnitude = std::fabs(value);
      if (dim < 2 * half) {
        const std::int64_t j = dim % half;
        const double cosine = cos.as<float>()[t * half + j];
        const double sine = sin.as<float>()[t * half + j];
        const double other = dim < half ? -normed(i + half) : normed(i - half);
        magnitude = std::fabs(value * cosine) + std::fabs(other * sine);
        value = value * cosine + other * sine;
      }
      result.values.push_back(value);
      const double roundings = static_cast<double>(width) / 2.0 + 9.0;
      result.tolerance.push_back(roundings * test::kUnitRoundoff * magnitude);
    }
  }
  return result;
}

class QkNormRopeTest : public testing::TestWithParam<test::BackendCase> {};

TEST_P(QkNormRopeTest, MatchesFloat64) {
  CpuBackend backend(GetParam().num_threads, GetParam().target);
  ReferenceBackend plain;
  for (const Case& c : kCases) {
    for (Backend* tested : {static_cast<Backend*>(&backend), static_cast<Backend*>(&plain)}) {
      SCOPED_TRACE(testing::Message() << tested->description() << ": head_dim " << c.head_dim);
      Random random(3);
      const Tensor q = random.tensor({c.num_tokens, c.num_heads * c.head_dim});
      const Tensor k = random.tensor({c.num_tokens, c.num_kv_heads * c.head_dim});
      const Tensor q_weight = random.tensor({c.num_heads * c.head_dim});
      const Tensor k_weight = random.tensor({c.num_kv_heads * c.head_dim});
      const Tensor cos = random.tensor({c.num_tokens, c.rotary_dim / 2});
      const Tensor sin = random.tensor({c.num_tokens, c.rotary_dim / 2});
      const auto expected_q = expected_heads(q, q_weight, cos, sin, c, 1e-6F);
      const auto expected_k = expected_heads(k, k_weight, cos, sin, c, 1e-6F);
      tested->qk_norm_rope({.q = q.view(),
                            .k = k.view(),
                            .q_weight = q_weight.view(),
                            .k_weight = k_weight.view(),
                            .eps = 1e-6F,
                            .cos = cos.view(),
                            .sin = sin.view(),
                            .head_dim = c.head_dim});
      test::expect_close(test::floats(q), expected_q.values, expected_q.tolerance);
      test::expect_close(test::floats(k), expected_k.values, expected_k.tolerance);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, QkNormRopeTest, testing::ValuesIn(test::backend_cases()));

TEST(QkNormRopeContract, NamesWhatDoesNotMatch) {
  const Tensor q(DType::kF32, {2, 64});
  const Tensor k(DType::kF32, {2, 32});
  const Tensor table(DType::kF32, {2, 8});
  const Tensor wide(DType::kF32, {2, 9});
  QkNormRopeArgs args{.q = q.view(),
                      .k = k.view(),
                      .q_weight = Tensor(DType::kF32, {64}).view(),
                      .k_weight = Tensor(DType::kF32, {32}).view(),
                      .cos = wide.view(),
                      .sin = wide.view(),
                      .head_dim = 16};
  test::expect_contract_error([&] { check(args); }, {"cos [2, 9]", "head_dim 16"});
  args.cos = table.view();
  test::expect_contract_error([&] { check(args); }, {"sin [2, 9] does not match cos [2, 8]"});
  args.head_dim = 24;
  test::expect_contract_error([&] { check(args); }, {"head_dim 24 does not divide q [2, 64]"});
}

}  // namespace
}  // namespace m2
