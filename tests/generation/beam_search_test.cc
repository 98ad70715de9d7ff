#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "generation/generate/beam_group.h"
#include "generation/generate/generate.h"
#include "generation/table_model.h"
#include "support/views.h"

namespace m2 {
namespace {

using generation::BeamCandidate;
using generation::BeamGroup;
using generation::BeamOptions;
using generation::Ids;

struct Hypothesis {
  Ids ids;
  double score = 0;
};

// Every text that ends with the end token or has all its tokens, by its score.
void enumerate(const test::TableModel& model, std::int32_t vocab_size, std::int32_t eos,
               std::size_t max_length, const Hypothesis& text, std::vector<Hypothesis>& all) {
  if (text.ids.size() == max_length || (!text.ids.empty() && text.ids.back() == eos)) {
    all.push_back(text);
    return;
  }
  for (std::int32_t token = 0; token < vocab_size; ++token) {
    Hypothesis longer = text;
    longer.score += model.log_probability(text.ids, token);
    longer.ids.push_back(token);
    enumerate(model, vocab_size, eos, max_length, longer, all);
  }
}

class ExhaustiveBeams : public testing::TestWithParam<double> {};

// With a beam for every prefix the search is complete, and its best are the best there are.
TEST_P(ExhaustiveBeams, FindTheBestTexts) {
  constexpr std::int32_t kVocab = 4;
  constexpr std::int32_t kEos = 3;
  constexpr std::size_t kNew = 4;
  for (unsigned seed = 0; seed < 20; ++seed) {
    SCOPED_TRACE(seed);
    test::TableModel model(kVocab, seed);
    const Ids prompt = {1, 2};
    std::vector<Hypothesis> all;
    enumerate(model, kVocab, kEos, prompt.size() + kNew, {.ids = prompt}, all);
    const auto normalised = [&](const Hypothesis& text) {
      const auto length = static_cast<double>(text.ids.size() - prompt.size());
      return text.score / std::pow(length, GetParam());
    };
    std::ranges::sort(all, std::greater<>(), normalised);

    GenerationConfig call = GenerationConfig::from_json(
        R"({"num_beams": 64, "num_return_sequences": 3, "early_stopping": "never",
            "return_dict_in_generate": true, "output_scores": true, "eos_token_id": 3})");
    call.max_new_tokens = kNew;
    call.length_penalty = GetParam();
    GenerateInputs inputs;
    inputs.input_ids = test::view(prompt, {1, 2});
    const GenerateOutput output = generation::generate(model.model(), nullptr, inputs, call, {});
    for (std::int64_t row = 0; row < 3; ++row) {
      const Hypothesis& expected = all[static_cast<std::size_t>(row)];
      const std::int64_t columns = output.sequences.shape()[1];
      const auto* found = output.sequences.as<std::int64_t>() + row * columns;
      EXPECT_TRUE(std::ranges::equal(expected.ids, std::span(found, expected.ids.size()))) << row;
      EXPECT_NEAR(output.sequences_scores.as<float>()[row], normalised(expected), 1e-5) << row;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Penalties, ExhaustiveBeams, testing::Values(0.0, 0.7, 1.0, 2.0));

TEST(BestCandidates, AreInOrderWithLowerIndicesFirst) {
  const float removed = -std::numeric_limits<float>::infinity();
  const std::vector<float> scores = {1, 5, removed, 5, 2, removed, 2, 0};
  const auto best = generation::best_candidates(scores, 4, 7);
  std::vector<std::int32_t> indices;
  for (const auto& candidate : best) indices.push_back(candidate.beam * 4 + candidate.token);
  EXPECT_THAT(indices, testing::ElementsAre(1, 3, 4, 6, 0, 7, 2));
  EXPECT_EQ(best.back().score, removed);
  EXPECT_EQ(generation::best_candidates(scores, 4, 100).size(), scores.size());
}

TEST(DrawCandidates, FollowTheSoftmaxWithoutReplacement) {
  const std::vector<float> scores = {0.3F, -0.5F, 1.1F, 0.0F};
  std::vector<double> p;
  double sum = 0;
  for (const float score : scores) sum += std::exp(score);
  for (const float score : scores) p.push_back(std::exp(score) / sum);
  constexpr int kDraws = 40000;
  std::map<std::pair<int, int>, int> counts;
  for (std::uint64_t seed = 0; seed < kDraws; ++seed) {
    std::vector<float> copy = scores;
    const auto drawn = generation::draw_candidates(
        copy, 4, 2, {.seed = seed, .purpose = generation::DrawPurpose::kCandidate});
    ++counts[{drawn[0].token, drawn[1].token}];
  }
  double chi_square = 0;
  for (int a = 0; a < 4; ++a) {
    EXPECT_EQ(counts.count({a, a}), 0U);
    for (int b = 0; b < 4; ++b) {
      if (a == b) continue;
      const auto i = static_cast<std::size_t>(a);
      const auto j = static_cast<std::size_t>(b);
      const double expected = kDraws * p[i] * p[j] / (1 - p[i]);
      chi_square += std::pow(counts[{a, b}] - expected, 2) / expected;
    }
  }
  EXPECT_LT(chi_square, 31.3) << "11 degrees of freedom, 0.1 %";
}

TEST(DrawCandidates, FillUpWhenNothingElseIsAllowed) {
  const float removed = -std::numeric_limits<float>::infinity();
  std::vector<float> scores = {removed, 1.0F, removed, removed};
  const auto drawn = generation::draw_candidates(scores, 2, 3, {});
  EXPECT_EQ(drawn[0].token, 1);
  EXPECT_EQ(drawn[1].score, removed);
  EXPECT_EQ(drawn[2].beam, 1);
  std::vector<float> nothing = {removed, removed};
  EXPECT_ANY_THROW((void)generation::draw_candidates(nothing, 2, 1, {}));
}

BeamGroup after_one_step(const BeamOptions& options) {
  BeamGroup group({7}, options);
  group.step(std::vector<BeamCandidate>{{.score = -1, .token = 2, .ends = true},
                                        {.score = -2, .token = 4},
                                        {.score = -3, .token = 2, .ends = true},
                                        {.score = -4, .token = 5}});
  return group;
}

TEST(BeamGroup, OnlyTheBestCandidatesFinish) {
  const BeamGroup group =
      after_one_step({.num_beams = 2, .prompt_length = 1, .max_length = 9, .length_penalty = 1});
  EXPECT_THAT(group.pool()[0].ids, testing::ElementsAre(7, 2));
  EXPECT_TRUE(group.pool()[0].is_finished);
  EXPECT_FALSE(group.pool()[1].is_finished) << "the third candidate is behind the two best";
  EXPECT_FALSE(group.is_full());
  EXPECT_FALSE(group.is_exhausted());
  EXPECT_TRUE(group.is_open());
  EXPECT_THAT(group.running()[0].ids, testing::ElementsAre(7, 4));
  EXPECT_THAT(group.running()[1].ids, testing::ElementsAre(7, 5));
  EXPECT_THAT(group.running()[1].indices, testing::ElementsAre(0));
}

TEST(BeamGroup, EarlyStoppingEndsWithAFullPool) {
  for (const auto stopping : {EarlyStopping::kNo, EarlyStopping::kYes, EarlyStopping::kNever}) {
    BeamGroup group = after_one_step({.num_beams = 2,
                                      .prompt_length = 1,
                                      .max_length = 9,
                                      .length_penalty = 1,
                                      .early_stopping = stopping});
    group.step(std::vector<BeamCandidate>{{.score = -2.5F, .token = 2, .ends = true},
                                          {.score = -2.6F, .token = 4},
                                          {.score = -4, .beam = 1, .token = 2},
                                          {.score = -5, .beam = 1, .token = 5}});
    EXPECT_TRUE(group.is_full());
    // The worst finished one has -2.5 / 2; the best running one -2.6 / 2 now, -2.6 / 8 at the end.
    EXPECT_EQ(group.is_open(), stopping == EarlyStopping::kNever);
    EXPECT_EQ(generation::goes_on(std::span(&group, 1), stopping),
              stopping == EarlyStopping::kNever);
  }
}

}  // namespace
}  // namespace m2
