#include "generation/sampler.h"

#include "base/error.h"
#include "generation/logits_pipeline.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <vector>

namespace m2::generation {
namespace {

constexpr float kRemoved = -std::numeric_limits<float>::infinity();

TEST(UniformTest, EveryPartOfTheKeyMatters) {
  const DrawKey key{.seed = 7, .sequence = 1, .position = 12};
  const double value = uniform(key);
  EXPECT_EQ(value, uniform(key));
  EXPECT_NE(value, uniform({.seed = 8, .sequence = 1, .position = 12}));
  EXPECT_NE(value, uniform({.seed = 7 + (1ULL << 32U), .sequence = 1, .position = 12}));
  EXPECT_NE(value, uniform({.seed = 7, .sequence = 2, .position = 12}));
  EXPECT_NE(value, uniform({.seed = 7, .sequence = 1, .position = 13}));
  EXPECT_NE(value, uniform({.seed = 7, .sequence = 12, .position = 1}));
}

TEST(UniformTest, FillsTheUnitIntervalEvenly) {
  constexpr int kDraws = 100000;
  constexpr int kBins = 50;
  std::vector<int> bins(kBins);
  for (int i = 0; i < kDraws; ++i) {
    const double value = uniform({.seed = 3, .position = static_cast<std::uint64_t>(i)});
    ASSERT_GE(value, 0.0);
    ASSERT_LT(value, 1.0);
    ++bins[static_cast<std::size_t>(value * kBins)];
  }
  double chi_square = 0.0;
  for (const int count : bins) {
    const double expected = static_cast<double>(kDraws) / kBins;
    chi_square += (count - expected) * (count - expected) / expected;
  }
  EXPECT_LT(chi_square, 94.0);  // 49 degrees of freedom, one in 10,000 exceeds it
}

TEST(ArgmaxTest, LowestIdAmongEquals) {
  EXPECT_EQ(argmax(std::vector<float>{1.0F, 3.0F, 3.0F}), 1);
  EXPECT_EQ(argmax(std::vector<float>{kRemoved, kRemoved}), 0);
  EXPECT_EQ(argmax(std::vector<float>{kRemoved, -3e38F}), 1);
  EXPECT_EQ(argmax(std::vector<float>{1.0F, -kRemoved, -kRemoved}), 1);
}

ErrorCode code_of(const std::vector<float>& scores) {
  try {
    sample(scores, {});
  } catch (const Error& error) {
    return error.code();
  }
  ADD_FAILURE() << "not refused";
  return ErrorCode::kNotFound;
}

TEST(SampleTest, RefusesScoresWithoutADistribution) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(code_of({kRemoved, kRemoved}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code_of({1.0F, -kRemoved}), ErrorCode::kInternal);
  EXPECT_EQ(code_of({nan, 1.0F}), ErrorCode::kInternal);
  EXPECT_EQ(code_of({1.0F, nan}), ErrorCode::kInternal);
  EXPECT_EQ(code_of({kRemoved, nan}), ErrorCode::kInternal);
}

// Upper bound of the chi-square distribution that one sample in 10,000 exceeds
// (Wilson and Hilferty's approximation).
double chi_square_bound(int degrees) {
  constexpr double kNormalQuantile = 3.719;
  const double t = 2.0 / (9.0 * degrees);
  return degrees * std::pow(1.0 - t + kNormalQuantile * std::sqrt(t), 3.0);
}

TEST(SampleTest, FrequenciesFollowTheSoftmax) {
  constexpr int kDraws = 200000;
  for (const std::size_t size : {2UL, 10UL, 255UL, 300UL, 1000UL}) {
    std::vector<float> scores(size);
    for (std::size_t id = 0; id < size; ++id) {
      scores[id] = static_cast<float>(2.0 * std::sin(static_cast<double>(id * id)));
      if (id % 7 == 3) scores[id] = kRemoved;
    }
    double total = 0.0;
    for (const float score : scores) total += std::exp(static_cast<double>(score));
    std::vector<int> counts(size);
    for (int i = 0; i < kDraws; ++i) {
      const auto id = sample(scores, {.seed = size, .position = static_cast<std::uint64_t>(i)});
      ++counts[static_cast<std::size_t>(id)];
    }
    double chi_square = 0.0;
    int degrees = -1;
    for (std::size_t id = 0; id < size; ++id) {
      if (scores[id] == kRemoved) {
        EXPECT_EQ(counts[id], 0) << "removed token " << id;
        continue;
      }
      const double expected = kDraws * std::exp(static_cast<double>(scores[id])) / total;
      chi_square += (counts[id] - expected) * (counts[id] - expected) / expected;
      ++degrees;
    }
    EXPECT_LT(chi_square, chi_square_bound(degrees)) << size << " tokens";
    std::printf("%zu tokens: chi-square %.1f, bound %.1f\n", size, chi_square,
                chi_square_bound(degrees));
  }
}

TEST(SampleTest, SequencesOfARequestAndSeedsAreIndependent) {
  const std::vector<float> scores(2, 0.0F);
  // Pairs of draws from neighbouring keys fill the four cells evenly.
  const auto test_pair = [&](auto first, auto second, const char* what) {
    constexpr int kDraws = 20000;
    std::array<int, 4> cells{};
    for (int i = 0; i < kDraws; ++i) ++cells[static_cast<std::size_t>(2 * first(i) + second(i))];
    double chi_square = 0.0;
    for (const int count : cells) chi_square += std::pow(count - kDraws / 4.0, 2) / (kDraws / 4.0);
    EXPECT_LT(chi_square, chi_square_bound(3)) << what;
  };
  const auto draw = [&](std::uint64_t seed, std::uint32_t sequence) {
    return [&scores, seed, sequence](int i) {
      return sample(
          scores, {.seed = seed, .sequence = sequence, .position = static_cast<std::uint64_t>(i)});
    };
  };
  test_pair(draw(1, 0), draw(1, 1), "sequences");
  test_pair(draw(1, 0), draw(2, 0), "seeds");
  test_pair(
      draw(1, 0), [&](int i) { return draw(1, 0)(i + 1); }, "positions");
}

TEST(SampleTest, BlocksOfEveryVocabularySizeReachTheLastToken) {
  for (std::size_t size = 1; size < 1200; ++size) {
    std::vector<float> scores(size, kRemoved);
    scores[size - 1] = -5.0F;
    ASSERT_EQ(sample(scores, {.seed = size}), static_cast<std::int32_t>(size - 1));
  }
}

TEST(SampleTest, RealVocabularyKeepsToValidTokens) {
  constexpr std::int64_t kVocab = 200064;
  constexpr std::int64_t kValid = 200054;
  GenerationConfig config;
  config.do_sample = true;
  const auto pipeline = build_pipeline(
      config, {.vocab_size = kVocab, .num_valid_tokens = kValid, .prompt_length = 1});
  LogitsScratch scratch(kVocab);
  const std::vector<std::int32_t> ids = {0};
  for (std::uint64_t position = 0; position < 20; ++position) {
    std::vector<float> scores(kVocab, -10.0F);
    for (std::int64_t id = kValid; id < kVocab; ++id) scores[static_cast<std::size_t>(id)] = 50.0F;
    pipeline.apply({.ids = ids}, scores, scratch);
    EXPECT_LT(sample(scores, {.seed = 1, .position = position}), kValid);
    EXPECT_EQ(argmax(scores), 0);
  }
}

// The tokens of a request are the same alone and in any company and order.
TEST(SampleTest, BatchMatesChangeNothing) {
  const auto scores_of = [](std::uint64_t seed, std::uint64_t position) {
    std::vector<float> scores(64);
    for (std::size_t id = 0; id < scores.size(); ++id) {
      scores[id] = static_cast<float>(std::cos(static_cast<double>(id * seed + position)));
    }
    return scores;
  };
  const auto run = [&](const std::vector<std::uint64_t>& batch, std::uint64_t wanted) {
    std::vector<std::int32_t> tokens;
    for (std::uint64_t position = 0; position < 50; ++position) {
      for (const std::uint64_t seed : batch) {
        const auto token = sample(scores_of(seed, position), {.seed = seed, .position = position});
        if (seed == wanted) tokens.push_back(token);
      }
    }
    return tokens;
  };
  EXPECT_EQ(run({5}, 5), run({9, 5, 7}, 5));
  EXPECT_EQ(run({5, 6, 7, 8}, 5), run({8, 7, 6, 5}, 5));
}

}  // namespace
}  // namespace m2::generation
