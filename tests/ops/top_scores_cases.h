// Rows of scores for the tests of top_scores on every backend.
#pragma once

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "ops/op_cases.h"
#include "ops/top_scores.h"

namespace m2::test {

struct TopScoresCase {
  std::string name;
  Shape shape;  // [T, V]
  std::int64_t count = 0;
  std::vector<float> scores;
};

struct TopScoresResult {
  explicit TopScoresResult(const TopScoresCase& c)
      : ids(static_cast<std::size_t>(c.shape[0] * c.count), -1), scores(ids.size(), -1.0F) {}

  [[nodiscard]] TopScoresArgs args(const TopScoresCase& c) {
    const Shape shape = {c.shape[0], c.count};
    return {.scores = {const_cast<float*>(c.scores.data()), DType::kF32, c.shape},
            .top_ids = {ids.data(), DType::kI32, shape},
            .top_scores = {scores.data(), DType::kF32, shape}};
  }

  std::vector<std::int32_t> ids;
  std::vector<float> scores;
};

/// Bit for bit: NaN and the sign of zero too.
inline void expect_same(const TopScoresResult& got, const TopScoresResult& want) {
  ASSERT_EQ(got.ids, want.ids);
  for (std::size_t i = 0; i < want.scores.size(); ++i) {
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got.scores[i]),
              std::bit_cast<std::uint32_t>(want.scores[i]))
        << "place " << i;
  }
}

/// Widths around pieces of 4,096, the published vocabulary, equal scores, infinities and NaN.
inline std::vector<TopScoresCase> top_scores_cases() {
  std::vector<TopScoresCase> cases;
  Random random(7);
  const auto add = [&](std::string name, const Shape& shape, std::int64_t count,
                       const auto& change) {
    const Tensor scores = random.tensor(shape, 3.0F);
    TopScoresCase c = {std::move(name), shape, count, {}};
    c.scores.assign(scores.as<float>(), scores.as<float>() + shape.num_elements());
    for (std::size_t i = 0; i < c.scores.size(); ++i) c.scores[i] = change(i, c.scores[i]);
    cases.push_back(std::move(c));
  };
  const auto same = [](std::size_t, float score) { return score; };
  for (const std::int64_t width : {1, 7, 64, 65, 1000, 4095, 4096, 4097, 20000}) {
    add("width " + std::to_string(width), {3, width}, std::min<std::int64_t>(width, 64), same);
  }
  add("no rows", {0, 100}, 5, same);
  add("one of many", {2, 5000}, 1, same);
  add("many of many", {1, 9000}, 128, same);
  add("published vocabulary", {4, 200064}, 64, same);
  add("few values", {2, 70000}, 64,
      [](std::size_t, float score) { return std::round(score / 4.0F); });
  add("all equal", {1, 30000}, 64, [](std::size_t, float) { return -2.5F; });
  add("ascending", {1, 10000}, 64, [](std::size_t i, float) { return static_cast<float>(i); });
  add("mostly removed", {2, 9000}, 64, [](std::size_t i, float score) {
    return i % 300 == 0 ? score : -std::numeric_limits<float>::infinity();
  });
  add("not a number", {2, 9000}, 64, [](std::size_t i, float score) {
    return i % 4000 == 1234 ? std::numeric_limits<float>::quiet_NaN() : score;
  });
  return cases;
}

}  // namespace m2::test
