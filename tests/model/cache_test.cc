#include "m2/cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <vector>

#include "backends/backends.h"
#include "base/error.h"
#include "model/causal_lm.h"
#include "support/tiny_model.h"
#include "support/views.h"

namespace m2 {
namespace {

using test::view;
using testing::HasSubstr;

using Ints = std::vector<std::int64_t>;

class CacheTest : public testing::Test {
 protected:
  MiniMaxM2Config config_ = test::tiny_config();
  std::shared_ptr<const ModelWeights> weights_ = test::TinyWeights(config_, 9).share();
  std::shared_ptr<Backend> backend_ = make_backend("cpu", 1);
  CausalLm model_{config_, weights_, Placement::on(backend_, config_.num_hidden_layers)};

  // Feeds rows of equal length; returns the logits of the last position.
  std::vector<float> feed(const std::shared_ptr<Cache>& cache, const std::vector<Ints>& rows) {
    Ints ids;
    for (const Ints& row : rows) ids.insert(ids.end(), row.begin(), row.end());
    const Shape shape = {static_cast<std::int64_t>(rows.size()),
                         static_cast<std::int64_t>(rows[0].size())};
    const auto outputs = model_.forward(
        {.input_ids = view(ids, shape), .past_key_values = cache, .logits_to_keep = 1});
    const float* logits = outputs.logits.as<float>();
    return {logits, logits + outputs.logits.view().num_elements()};
  }

  static Ints ids(std::int64_t first, std::int64_t count) {
    Ints result;
    for (std::int64_t i = 0; i < count; ++i) result.push_back((first + i * 5) % 60 + 3);
    return result;
  }

  static void expect_error(ErrorCode code, const char* part, const std::function<void()>& call) {
    try {
      call();
      ADD_FAILURE() << "accepted: " << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code);
      EXPECT_THAT(error.what(), HasSubstr(part));
    }
  }
};

Ints joined(Ints a, const Ints& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST_F(CacheTest, DynamicTellsWhatItHolds) {
  const auto cache = std::make_shared<DynamicCache>();
  EXPECT_EQ(cache->get_seq_length(), 0);
  EXPECT_EQ(cache->get_max_cache_shape(), -1);
  EXPECT_EQ(cache->batch_size(), 0);
  EXPECT_EQ(cache->num_layers(), 0);
  feed(cache, {ids(1, 35), ids(2, 35)});
  EXPECT_EQ(cache->get_seq_length(), 35);
  EXPECT_EQ(cache->batch_size(), 2);
  EXPECT_EQ(cache->num_layers(), 2);
  EXPECT_EQ(cache->keys(1).shape(), Shape({2, 2, 35, 16}));
}

TEST_F(CacheTest, CropForgetsTheEnd) {
  const auto cache = std::make_shared<DynamicCache>();
  feed(cache, {ids(1, 70)});
  for (const auto& [length, expected] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{90, 70}, {-3, 67}, {40, 40}, {-99, 0}}) {
    cache->crop(length);
    EXPECT_EQ(cache->get_seq_length(), expected);
  }
  feed(cache, {ids(1, 40)});
  const auto fresh = std::make_shared<DynamicCache>();
  EXPECT_EQ(feed(cache, {ids(8, 3)}), feed(fresh, {joined(ids(1, 40), ids(8, 3))}));
}

TEST_F(CacheTest, RowsThatShareBlocksGoOnApart) {
  // 40 tokens: a whole block that stays shared and a part of one that has to be copied.
  const auto cache = std::make_shared<DynamicCache>();
  feed(cache, {ids(1, 40), ids(2, 40)});
  cache->batch_repeat_interleave(2);
  EXPECT_EQ(cache->batch_size(), 4);
  feed(cache, {ids(3, 2), ids(4, 2), ids(5, 2), ids(6, 2)});
  cache->reorder_cache(Ints{1, 1, 0, 3});
  feed(cache, {ids(7, 1), ids(8, 1), ids(9, 1), ids(10, 1)});
  cache->batch_select_indices(Ints{2, 0});
  const auto logits = feed(cache, {ids(11, 1), ids(12, 1)});

  const auto fresh = std::make_shared<DynamicCache>();
  feed(fresh, {joined(joined(ids(1, 40), ids(3, 2)), ids(9, 1)),
               joined(joined(ids(1, 40), ids(4, 2)), ids(7, 1))});
  const auto expected = feed(fresh, {ids(11, 1), ids(12, 1)});
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(logits[i], expected[i], 1e-4);
  for (const std::int64_t layer : {0, 1}) {
    const Tensor ours = cache->keys(layer);
    const Tensor theirs = fresh->keys(layer);
    ASSERT_EQ(ours.shape(), theirs.shape());
    for (std::int64_t i = 0; i < ours.view().num_elements(); ++i) {
      ASSERT_EQ(ours.as<float>()[i], theirs.as<float>()[i]);
    }
  }
}

TEST_F(CacheTest, ResetForgetsTokensAndTakesOtherRows) {
  for (const bool is_static : {false, true}) {
    std::shared_ptr<Cache> cache;
    if (is_static) {
      cache = std::make_shared<StaticCache>(50);
    } else {
      cache = std::make_shared<DynamicCache>();
    }
    const auto first = feed(cache, {ids(1, 40)});
    cache->reset();
    EXPECT_EQ(cache->get_seq_length(), 0);
    EXPECT_EQ(feed(cache, {ids(1, 40)}), first);
    cache->reset();
    feed(cache, {ids(1, 2), ids(2, 2)});
    EXPECT_EQ(cache->batch_size(), 2);
  }
}

TEST_F(CacheTest, StaticCountsWrittenSlots) {
  const auto cache = std::make_shared<StaticCache>(6);
  EXPECT_EQ(cache->get_max_cache_shape(), 6);
  feed(cache, {ids(1, 4)});
  EXPECT_EQ(cache->get_seq_length(), 4);
  const Ints two = ids(5, 2);
  const Ints again = {1, 5};
  (void)model_.forward({.input_ids = view(two, {1, 2}),
                        .past_key_values = cache,
                        .cache_position = view(again, {2})});
  EXPECT_EQ(cache->get_seq_length(), 5);
  const Tensor keys = cache->keys(0);
  ASSERT_EQ(keys.shape(), Shape({1, 2, 6, 16}));
  const auto slot_is_zero = [&](std::int64_t slot) {
    const float* key = keys.as<float>() + slot * 16;
    return std::all_of(key, key + 16, [](float x) { return x == 0; });
  };
  EXPECT_FALSE(slot_is_zero(3));
  EXPECT_TRUE(slot_is_zero(4));
  EXPECT_FALSE(slot_is_zero(5));
}

TEST_F(CacheTest, QuantizedKeepsItsEndExact) {
  const struct {
    int nbits;
    double bound;  // of an old key: half a step of a group that spans about eight
  } cases[] = {{8, 8.0 / 255}, {4, 8.0 / 15}};
  for (const auto& c : cases) {
    const auto exact = std::make_shared<DynamicCache>();
    const auto cache = std::make_shared<QuantizedCache>(c.nbits, 8, 40);
    const std::vector<Ints> prompt = {ids(1, 150), ids(2, 150)};
    // The prompt itself is computed with exact keys.
    EXPECT_EQ(feed(cache, prompt), feed(exact, prompt));
    EXPECT_EQ(cache->get_seq_length(), 150);
    const Tensor ours = cache->keys(0);
    const Tensor theirs = exact->keys(0);
    ASSERT_EQ(ours.shape(), theirs.shape());
    double worst = 0;
    for (std::int64_t i = 0; i < ours.view().num_elements(); ++i) {
      const double error = std::abs(ours.as<float>()[i] - theirs.as<float>()[i]);
      const std::int64_t token = i / 16 % 150;
      if (token >= 96) {
        ASSERT_EQ(error, 0) << "token " << token;
      }
      worst = std::max(worst, error);
    }
    EXPECT_GT(worst, 0);
    EXPECT_LE(worst, c.bound);
    // Later tokens read the quantised keys: near, but not the same.
    const auto approximate = feed(cache, {ids(3, 2), ids(4, 2)});
    const auto expected = feed(exact, {ids(3, 2), ids(4, 2)});
    EXPECT_NE(approximate, expected);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(approximate[i], expected[i], c.nbits == 8 ? 0.05 : 0.8);
    }
  }
}

TEST_F(CacheTest, QuantizedDoesWhatOtherCachesDo) {
  // Exact from its own numbers on: two caches with the same history agree.
  const auto one = std::make_shared<QuantizedCache>(8, 16, 0);
  feed(one, {ids(1, 100), ids(2, 100)});
  one->batch_repeat_interleave(2);
  feed(one, {ids(3, 1), ids(3, 1), ids(4, 1), ids(4, 1)});
  one->reorder_cache(Ints{3, 0, 1, 2});
  one->crop(70);
  EXPECT_EQ(one->get_seq_length(), 70);
  const auto logits = feed(one, {ids(5, 60), ids(5, 60), ids(6, 60), ids(6, 60)});
  const auto other = std::make_shared<QuantizedCache>(8, 16, 0);
  feed(other, {ids(2, 100), ids(1, 100), ids(1, 100), ids(2, 100)});
  other->crop(70);
  EXPECT_EQ(feed(other, {ids(5, 60), ids(5, 60), ids(6, 60), ids(6, 60)}), logits);
  one->reset();
  EXPECT_EQ(one->get_seq_length(), 0);
}

TEST_F(CacheTest, QuantizedRefusesWhatDoesNotFit) {
  using enum ErrorCode;
  expect_error(kInvalidArgument, "expected nbits 4 or 8, got 2", [] { QuantizedCache(2); });
  expect_error(kInvalidArgument, "expected an even q_group_size > 0, got 0",
               [] { QuantizedCache(4, 0); });
  expect_error(kInvalidArgument, "expected residual_length >= 0, got -1",
               [] { QuantizedCache(4, 64, -1); });
  expect_error(kInvalidArgument, "q_group_size 64 does not divide head_dim 16",
               [&] { feed(std::make_shared<QuantizedCache>(), {ids(1, 2)}); });
}

TEST_F(CacheTest, RefusesWhatCannotBeDone) {
  const auto cache = std::make_shared<DynamicCache>();
  feed(cache, {ids(1, 3), ids(2, 3)});
  const auto fixed = std::make_shared<StaticCache>(4);
  feed(fixed, {ids(1, 3)});
  MiniMaxM2Config other_config = config_;
  other_config.num_key_value_heads = 4;
  CausalLm other(other_config, test::TinyWeights(other_config, 1).share(),
                 Placement::on(backend_, 2));
  const Ints six = ids(1, 6);
  using enum ErrorCode;
  expect_error(kInvalidArgument, "the cache holds 2 rows, the input has 1",
               [&] { feed(cache, {ids(1, 3)}); });
  expect_error(kInvalidArgument, "the cache belongs to another model", [&] {
    (void)other.forward({.input_ids = view(six, {2, 3}), .past_key_values = cache});
  });
  expect_error(kInvalidArgument, "out of bounds for the static cache of 4",
               [&] { feed(fixed, {ids(1, 2)}); });
  expect_error(kUnsupported, "a static cache has no crop", [&] { fixed->crop(1); });
  expect_error(kInvalidArgument, "expected 2 rows, got 1", [&] { cache->reorder_cache(Ints{0}); });
  expect_error(kInvalidArgument, "row 2 is outside the 2 rows held", [&] {
    cache->reorder_cache(Ints{0, 2});
  });
  expect_error(kInvalidArgument, "row -1 is outside",
               [&] { cache->batch_select_indices(Ints{-1}); });
  expect_error(kInvalidArgument, "expected a positive number, got 0",
               [&] { cache->batch_repeat_interleave(0); });
  expect_error(kInvalidArgument, "layer 2 is outside the 2 layers held",
               [&] { (void)cache->keys(2); });
  expect_error(kInvalidArgument, "layer 0 is outside the 0 layers held",
               [&] { (void)DynamicCache().keys(0); });
  expect_error(kInvalidArgument, "max_cache_len > 0", [&] { StaticCache(0); });
  EXPECT_EQ(cache->get_seq_length(), 3);
}

}  // namespace
}  // namespace m2
