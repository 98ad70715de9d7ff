#include "generation/logits_processors.h"

#include "generation/ranking.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <vector>

namespace m2::generation {
namespace {

using ::testing::ElementsAre;

constexpr float kRemoved = -std::numeric_limits<float>::infinity();

std::vector<float> random_scores(std::size_t size, unsigned seed, float step) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, 3.0F);
  std::vector<float> scores(size);
  for (float& score : scores) {
    score = normal(random);
    if (step > 0.0F) score = std::round(score / step) * step;  // makes ties
  }
  return scores;
}

std::vector<std::int32_t> kept_ids(const std::vector<float>& scores) {
  std::vector<std::int32_t> kept;
  for (std::size_t id = 0; id < scores.size(); ++id) {
    if (scores[id] > kRemoved) kept.push_back(static_cast<std::int32_t>(id));
  }
  return kept;
}

TEST(RankingTest, KthLargestIsThatOfAFullSort) {
  for (const std::size_t size : {1UL, 2UL, 100UL, 1023UL, 1024UL, 1025UL, 9000UL}) {
    for (const float step : {0.0F, 0.5F}) {
      const auto scores = random_scores(size, 3, step);
      auto sorted = scores;
      std::ranges::sort(sorted, std::greater<>());
      LogitsScratch scratch(static_cast<std::int64_t>(size));
      for (const std::size_t k : {1UL, 2UL, 40UL, 255UL, 256UL, 257UL, 5000UL, 20000UL}) {
        EXPECT_EQ(kth_largest(scores, static_cast<std::int64_t>(k), scratch),
                  sorted[std::min(k, size) - 1])
            << "size " << size << ", k " << k;
      }
    }
  }
}

TEST(RankingTest, OrderIsThatOfAStableSort) {
  for (const std::size_t size : {1UL, 127UL, 128UL, 129UL, 5000UL}) {
    auto scores = random_scores(size, 4, 0.25F);
    if (size > 2) scores[1] = kRemoved;
    if (size > 4) scores[3] = -0.0F;
    std::vector<std::int32_t> expected;
    for (std::size_t id = 0; id < size; ++id) {
      if (scores[id] > kRemoved) expected.push_back(static_cast<std::int32_t>(id));
    }
    std::ranges::stable_sort(expected, [&](std::int32_t a, std::int32_t b) {
      return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)];
    });
    LogitsScratch scratch(static_cast<std::int64_t>(size));
    Ranking ranking = Ranking::by_score(scores, scratch);
    ASSERT_EQ(ranking.size(), static_cast<std::int64_t>(expected.size()));
    for (std::size_t rank = 0; rank < expected.size(); ++rank) {
      ASSERT_EQ(ranking.id(static_cast<std::int64_t>(rank)), expected[rank]) << "rank " << rank;
    }
  }
}

TEST(LogitsProcessorsTest, TopPKeepsTheLowerIdAmongEquals) {
  std::vector<float> scores(10, 0.0F);
  LogitsScratch scratch(10);
  apply_top_p(scores, 0.35, 1, scratch);
  EXPECT_THAT(kept_ids(scores), ElementsAre(0, 1, 2, 3));
}

TEST(LogitsProcessorsTest, TopHAndTypicalKeepTheLowerIdAmongEquals) {
  std::vector<float> scores(10, 0.0F);
  LogitsScratch scratch(10);
  apply_top_h(scores, 0.35, scratch);
  EXPECT_THAT(kept_ids(scores), ElementsAre(0, 1, 2));
  std::vector<float> two_levels = {1.0F, 5.0F, 1.0F, 5.0F, 1.0F};
  apply_typical_p(two_levels, 0.01, 1, scratch);
  EXPECT_THAT(kept_ids(two_levels), ElementsAre(1, 3));
}

TEST(LogitsProcessorsTest, TopKKeepsAllThatTieWithTheLast) {
  std::vector<float> scores = {1.0F, 3.0F, 2.0F, 2.0F, 0.0F};
  LogitsScratch scratch(5);
  apply_top_k(scores, 2, scratch);
  EXPECT_THAT(kept_ids(scores), ElementsAre(1, 2, 3));
}

// A plain nucleus over a full sort, at the size of the real vocabulary.
TEST(LogitsProcessorsTest, TopPOverTheWholeVocabularyIsThatOfAFullSort) {
  constexpr std::size_t kVocab = 200054;
  LogitsScratch scratch(kVocab);
  for (const double top_p : {0.3, 0.95, 0.9999}) {
    auto scores = random_scores(kVocab, 5, 0.0F);
    auto sorted = scores;
    std::ranges::sort(sorted, std::greater<>());
    double total = 0.0;
    for (const float score : sorted) total += std::exp(static_cast<double>(score) - sorted[0]);
    double mass = 0.0;
    std::size_t num_kept = 0;
    while (mass < top_p) {
      mass += std::exp(static_cast<double>(sorted[num_kept++]) - sorted[0]) / total;
    }
    apply_top_p(scores, top_p, 1, scratch);
    const auto kept = kept_ids(scores).size();
    // Rounding of the float comparison may move the border by a few of 200,000 tokens.
    EXPECT_NEAR(static_cast<double>(kept), static_cast<double>(num_kept), 3.0) << top_p;
  }
}

TEST(LogitsProcessorsTest, NoSoftmaxMeansNoChange) {
  for (const float bad : {kRemoved, -kRemoved}) {
    std::vector<float> scores = {kRemoved, bad, kRemoved};
    const auto before = scores;
    LogitsScratch scratch(3);
    apply_top_p(scores, 0.5, 1, scratch);
    apply_min_p(scores, 0.5, 1, scratch);
    apply_typical_p(scores, 0.5, 1, scratch);
    apply_epsilon_cutoff(scores, 0.5, 1, scratch);
    apply_eta_cutoff(scores, 0.5, 1, scratch);
    EXPECT_EQ(scores, before);
  }
}

}  // namespace
}  // namespace m2::generation
