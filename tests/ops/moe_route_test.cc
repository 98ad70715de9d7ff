#include "ops/moe_route.h"

#include <gtest/gtest.h>

#include <limits>
#include <numeric>

#include "ops/op_cases.h"

namespace m2 {
namespace {

using test::Random;

struct Router {
  Router(std::int64_t tokens, std::int64_t experts, std::int64_t hidden, std::int64_t top_k,
         unsigned seed, DType dtype = DType::kF32)
      : random(seed),
        gate(dtype, experts, hidden, random),
        hidden_states(random.tensor({tokens, hidden}, 0.3F)),
        bias(random.tensor({experts})),
        logits(DType::kF32, {tokens, experts}),
        ids(DType::kI32, {tokens, top_k}),
        weights(DType::kF32, {tokens, top_k}) {}

  [[nodiscard]] MoeRouteArgs args() const {
    return {.hidden_states = hidden_states.view(),
            .gate = gate.view(),
            .correction_bias = bias.view(),
            .router_logits = logits.view(),
            .topk_ids = ids.view(),
            .topk_weights = weights.view()};
  }

  [[nodiscard]] std::vector<std::int32_t> chosen(std::int64_t token) const {
    const std::int64_t top_k = ids.shape()[1];
    const std::int32_t* first = ids.as<std::int32_t>() + token * top_k;
    return {first, first + top_k};
  }

  Random random;
  test::StoredWeight gate;
  Tensor hidden_states;
  Tensor bias;
  Tensor logits;
  Tensor ids;
  Tensor weights;
};

// By sorting: descending score + bias, then ascending index.
std::vector<std::int32_t> expected_choice(const Router& router, std::int64_t token) {
  const std::int64_t experts = router.bias.shape()[0];
  std::vector<float> choice;
  for (std::int64_t e = 0; e < experts; ++e) {
    const float logit = router.logits.as<float>()[token * experts + e];
    choice.push_back(1.0F / (1.0F + std::exp(-logit)) + router.bias.as<float>()[e]);
  }
  std::vector<std::int32_t> order(static_cast<std::size_t>(experts));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](std::int32_t a, std::int32_t b) {
    return choice[static_cast<std::size_t>(a)] > choice[static_cast<std::size_t>(b)];
  });
  order.resize(static_cast<std::size_t>(router.ids.shape()[1]));
  return order;
}

void expect_weights_of_unbiased_scores(const Router& router) {
  const std::int64_t experts = router.bias.shape()[0];
  const std::int64_t top_k = router.ids.shape()[1];
  std::vector<double> expected;
  for (std::int64_t token = 0; token < router.ids.shape()[0]; ++token) {
    double sum = 0.0;
    for (const auto id : router.chosen(token)) {
      expected.push_back(
          1.0 / (1.0 + std::exp(-double{router.logits.as<float>()[token * experts + id]})));
      sum += expected.back();
    }
    for (auto it = expected.end() - top_k; it != expected.end(); ++it) *it /= sum;
  }
  std::vector<double> tolerance;
  for (const double value : expected) {
    // exp, sum and quotient of the score; K additions and a quotient of the weight.
    tolerance.push_back(value * static_cast<double>(top_k + 8) * test::kUnitRoundoff);
  }
  test::expect_close(test::floats(router.weights), expected, tolerance);
}

class MoeRouteTest : public testing::TestWithParam<test::BackendCase> {
 protected:
  MoeRouteTest() : backend_(GetParam().num_threads, GetParam().target) {}
  CpuBackend backend_;
};

TEST_P(MoeRouteTest, ChoosesByBiasedAndWeighsByUnbiasedScores) {
  for (const std::int64_t tokens : {0, 1, 7, 100}) {
    for (const auto& [experts, top_k] : {std::pair{256, 8}, {8, 2}, {5, 5}, {1, 1}}) {
      for (const DType dtype : test::kWeightTypes) {
        Router router(tokens, experts, 130, top_k, 5, dtype);
        const Router plain(tokens, experts, 130, top_k, 5, dtype);
        backend_.moe_route(router.args());
        reference::moe_route(plain.args());
        for (const Router* tested : {&std::as_const(router), &plain}) {
          for (std::int64_t t = 0; t < tokens; ++t) {
            EXPECT_EQ(tested->chosen(t), expected_choice(*tested, t));
          }
          expect_weights_of_unbiased_scores(*tested);
        }
      }
    }
  }
}

// A bias far beyond the scores decides alone, and yet leaves no trace in the weights.
TEST_P(MoeRouteTest, LargeBiasDecidesTheChoiceOnly) {
  Router router(3, 16, 32, 4, 6);
  for (int e = 0; e < 16; ++e)
    router.bias.as<float>()[e] = static_cast<float>(100 * ((e * 5) % 16));
  backend_.moe_route(router.args());
  const std::vector<std::int32_t> largest = {3, 6, 9, 12};  // e * 5 mod 16 = 15, 14, 13, 12
  for (std::int64_t t = 0; t < 3; ++t) EXPECT_EQ(router.chosen(t), largest);
  expect_weights_of_unbiased_scores(router);
}

TEST_P(MoeRouteTest, TiesGoToTheLowestIndex) {
  Router router(2, 40, 32, 6, 7);
  std::fill_n(router.hidden_states.as<float>(), 64, 0.0F);
  std::fill_n(router.bias.as<float>(), 40, 0.25F);
  router.bias.as<float>()[30] = 0.5F;
  router.bias.as<float>()[20] = 0.5F;
  backend_.moe_route(router.args());
  EXPECT_EQ(router.chosen(1), (std::vector<std::int32_t>{20, 30, 0, 1, 2, 3}));
  for (int j = 0; j < 12; ++j) EXPECT_FLOAT_EQ(router.weights.as<float>()[j], 1.0F / 6.0F);
}

TEST_P(MoeRouteTest, InfiniteBiasExcludesOrForces) {
  Router router(4, 12, 32, 3, 8);
  for (const int e : {0, 4, 5, 6, 7, 8, 9, 10}) {
    router.bias.as<float>()[e] = -std::numeric_limits<float>::infinity();
  }
  router.bias.as<float>()[11] = std::numeric_limits<float>::infinity();
  backend_.moe_route(router.args());
  for (std::int64_t t = 0; t < 4; ++t) {
    auto chosen = router.chosen(t);
    EXPECT_EQ(chosen[0], 11);
    std::sort(chosen.begin(), chosen.end());
    EXPECT_TRUE(chosen[0] >= 1 && chosen[1] <= 3) << chosen[0] << " " << chosen[1];
  }
}

// All scores 0 give NaN weights, as the reference implementation does; the ids stay valid, and NaN
// logits do not break them either.
TEST_P(MoeRouteTest, UnderflowAndNanKeepIdsValid) {
  for (const float value : {-1e4F, std::numeric_limits<float>::quiet_NaN()}) {
    Router router(2, 9, 4, 3, 9);
    std::vector<float> ones(36, 1.0F);
    MoeRouteArgs args = router.args();
    args.gate = {.data = ones.data(), .dtype = DType::kF32, .rows = 9, .cols = 4};
    std::fill_n(router.hidden_states.as<float>(), 8, value);
    backend_.moe_route(args);
    for (std::int64_t t = 0; t < 2; ++t) {
      auto chosen = router.chosen(t);
      std::sort(chosen.begin(), chosen.end());
      EXPECT_TRUE(std::adjacent_find(chosen.begin(), chosen.end()) == chosen.end());
      EXPECT_TRUE(chosen.front() >= 0 && chosen.back() < 9);
      EXPECT_TRUE(std::isnan(router.weights.as<float>()[t * 3]));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, MoeRouteTest, testing::ValuesIn(test::backend_cases()));

TEST(MoeRouteContract, NamesWhatDoesNotMatch) {
  const Router router(2, 4, 8, 5, 10);
  test::expect_contract_error([&] { check(router.args()); },
                              {"moe_route: topk_ids [2, 5]", "4 experts"});
}

}  // namespace
}  // namespace m2
