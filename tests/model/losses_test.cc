#include "model/losses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "base/error.h"
#include "support/views.h"

namespace m2 {
namespace {

using test::view;
using testing::ElementsAre;
using testing::HasSubstr;

// Two rows of two positions over three tokens; the nll of target t in [0, 0, log 2] is
// log 4 - z[t].
const std::vector<float> kLogits = {0, 0, std::log(2.0F), 0, 0, std::log(2.0F),
                                    0, 0, std::log(2.0F), 0, 0, std::log(2.0F)};
const double kLog4 = std::log(4.0);
const double kLog2 = std::log(2.0);

TEST(CausalLmLoss, LabelsMoveOneToTheLeft) {
  EXPECT_THAT(shift_labels_left(std::vector<std::int64_t>{1, 2, 3, 4, 5, 6}, 3, -7),
              ElementsAre(2, 3, -7, 5, 6, -7));
}

TEST(CausalLmLoss, MeanOrSum) {
  const struct {
    std::vector<std::int64_t> targets;
    std::optional<double> num_items;
    double expected;
  } cases[] = {
      {{0, -100, 2, -100}, std::nullopt, (kLog4 + kLog4 - kLog2) / 2},
      {{0, 1, 0, 1}, std::nullopt, kLog4},
      {{0, -100, 2, -100}, 8.0, (kLog4 + kLog4 - kLog2) / 8},
      {{-100, -100, -100, -100}, std::nullopt, std::nan("")},
      {{-100, -100, -100, -100}, 3.0, 0},
  };
  for (const auto& c : cases) {
    const float loss = causal_lm_loss({.logits = view(kLogits, {2, 2, 3}),
                                       .targets = c.targets,
                                       .num_items_in_batch = c.num_items});
    if (std::isnan(c.expected)) {
      EXPECT_TRUE(std::isnan(loss));
    } else {
      EXPECT_NEAR(loss, c.expected, 1e-6);
    }
  }
}

TEST(CausalLmLoss, OtherIgnoreIndex) {
  const std::vector<std::int64_t> targets = {1, 1, 2, 1};
  EXPECT_NEAR(
      causal_lm_loss({.logits = view(kLogits, {2, 2, 3}), .targets = targets, .ignore_index = 1}),
      kLog4 - kLog2, 1e-6);
}

TEST(CausalLmLoss, RefusesWhatDoesNotFit) {
  const struct {
    std::vector<std::int64_t> targets;
    const char* part;
  } cases[] = {
      {{0, 1, 2}, "Expected input batch_size (4) to match target batch_size (3)."},
      {{0, 1, 3, 0}, "row 1, position 0 is out of bounds"},
      {{-1, 1, 2, 0}, "got -1"},
  };
  for (const auto& c : cases) {
    try {
      (void)causal_lm_loss({.logits = view(kLogits, {2, 2, 3}), .targets = c.targets});
      ADD_FAILURE() << "accepted: " << c.part;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument);
      EXPECT_THAT(error.what(), HasSubstr(c.part));
    }
  }
}

std::vector<Tensor> router_logits(std::initializer_list<std::vector<float>> rows) {
  std::vector<Tensor> layers;
  for (const auto& values : rows) {
    layers.push_back(
        Tensor::copy_of(view(values, {static_cast<std::int64_t>(values.size()) / 4, 4})));
  }
  return layers;
}

TEST(LoadBalancingLoss, BalanceGivesTheNumberOfChoices) {
  // Every expert is first and second choice once.
  const auto layers = router_logits({{9, 8, 0, 0, 8, 9, 0, 0}, {0, 0, 9, 8, 0, 0, 8, 9}});
  EXPECT_NEAR(load_balancing_loss(layers, 2, {}), 2, 1e-5);
}

TEST(LoadBalancingLoss, WeightsCountRows) {
  const auto both = router_logits({{9, 8, 0, 0, 0, 0, 9, 8}});
  const auto first = router_logits({{9, 8, 0, 0}});
  const std::vector<float> one = {1, 0};
  const std::vector<float> halves = {0.5F, 0.5F};
  const std::vector<float> none = {0, 0};
  EXPECT_FLOAT_EQ(load_balancing_loss(both, 2, one), load_balancing_loss(first, 2, {}));
  EXPECT_FLOAT_EQ(load_balancing_loss(both, 2, halves), load_balancing_loss(both, 2, {}));
  EXPECT_TRUE(std::isnan(load_balancing_loss(both, 2, none)));
}

}  // namespace
}  // namespace m2
