#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "generation/prompt_lookup.h"
#include "generation/speculative.h"

namespace m2::generation {
namespace {

using Ids = std::vector<std::int32_t>;
using testing::ElementsAre;
using testing::IsEmpty;

struct LookupCase {
  const char* name;
  Ids ids;
  PromptLookup lookup;
  Ids eos;
  Ids expected;
};

TEST(PromptLookup, FindsWhatFollowedTheLongestRepeat) {
  const LookupCase cases[] = {
      {"the first occurrence", {1, 2, 8, 1, 2, 9, 1, 2}, {2, 1}, {}, {8}},
      {"several tokens", {1, 2, 8, 7, 6, 1, 2}, {2, 3}, {}, {8, 7, 6}},
      {"not beyond the end", {1, 2, 8, 1, 2}, {2, 10}, {}, {8, 1, 2}},
      {"overlapping", {5, 5, 5}, {2, 4}, {}, {5}},
      {"longer repeats first", {3, 2, 9, 1, 2, 8, 1, 2}, {2, 1}, {}, {8}},
      {"shorter ones then", {3, 2, 9, 1, 2}, {2, 1}, {}, {9}},
      {"up to an end token", {1, 2, 8, 4, 6, 1, 2}, {2, 3}, {4}, {8}},
      {"an end token first", {1, 2, 4, 6, 1, 2}, {2, 3}, {4}, {}},
      {"no repeat", {1, 2, 3}, {2, 3}, {}, {}},
      {"one token", {1}, {2, 3}, {}, {}},
      {"no tokens", {}, {2, 3}, {}, {}},
  };
  for (const LookupCase& test_case : cases) {
    EXPECT_EQ(look_up(test_case.ids, test_case.lookup, test_case.eos, {}), test_case.expected)
        << test_case.name;
  }
}

TEST(PromptLookup, PassesOverWhatTheProcessorsForbid) {
  const Ids ids = {1, 2, 8, 1, 2, 9, 7, 1, 2};
  const auto without = [](std::int32_t banned) {
    return [banned](std::span<const std::int32_t>, std::int32_t token) { return token != banned; };
  };
  EXPECT_THAT(look_up(ids, {2, 2}, {}, without(8)), ElementsAre(9, 7));
  EXPECT_THAT(look_up(ids, {2, 2}, {}, without(1)), ElementsAre(8));
  std::vector<Ids> texts;
  (void)look_up(ids, {2, 2}, {}, [&](std::span<const std::int32_t> text, std::int32_t) {
    texts.emplace_back(text.begin() + 8, text.end());
    return true;
  });
  EXPECT_THAT(texts, ElementsAre(ElementsAre(2), ElementsAre(2, 8)));
}

TEST(VerifyChoices, KeepsTheCommonStartAndOneMore) {
  const Ids draft = {4, 5, 6};
  EXPECT_THAT(verify_choices(draft, Ids{4, 5, 7, 8}, false).tokens, ElementsAre(4, 5, 7));
  EXPECT_EQ(verify_choices(draft, Ids{4, 5, 7, 8}, false).num_matches, 2);
  EXPECT_THAT(verify_choices(draft, Ids{4, 5, 6, 8}, false).tokens, ElementsAre(4, 5, 6, 8));
  EXPECT_THAT(verify_choices(draft, Ids{4, 5, 6, 8}, true).tokens, ElementsAre(4, 5, 6));
  EXPECT_THAT(verify_choices(draft, Ids{3, 5, 6, 8}, true).tokens, ElementsAre(3));
  EXPECT_THAT(verify_choices(Ids{}, Ids{3}, false).tokens, ElementsAre(3));
}

// Whatever the draft is drawn from, the text follows the model.
TEST(VerifyDraws, TheTextFollowsTheModel) {
  const std::vector<float> target = {0.2F, 1.0F, -0.7F, 0.4F, 0.9F, 0.0F, -0.3F, 0.1F};  // [2, 4]
  const std::vector<float> proposal = {1.5F, -1.0F, 0.0F, 0.3F};                         // [1, 4]
  constexpr int kDraws = 40000;
  std::vector<int> counts(4);
  std::map<std::int32_t, std::vector<int>> seconds;
  for (std::uint64_t seed = 0; seed < kDraws; ++seed) {
    const Ids draft = {sample(proposal, {.seed = seed, .purpose = DrawPurpose::kDraftToken})};
    const Verdict verdict =
        verify_draws(draft, target, proposal, false, [&](std::size_t index, DrawPurpose purpose) {
          return DrawKey{.seed = seed, .position = index, .purpose = purpose};
        });
    ++counts[static_cast<std::size_t>(verdict.tokens[0])];
    EXPECT_EQ(verdict.tokens.size(), static_cast<std::size_t>(verdict.num_matches) + 1);
  }
  double chi_square = 0;
  for (std::int32_t token = 0; token < 4; ++token) {
    const double expected = kDraws * probability(std::span(target).first(4), token);
    chi_square += std::pow(counts[static_cast<std::size_t>(token)] - expected, 2) / expected;
  }
  EXPECT_LT(chi_square, 16.3) << "3 degrees of freedom, 0.1 %";
}

TEST(VerifyDraws, ADraftThatEndsTheTextGetsNoMore) {
  const std::vector<float> scores(8, 0.0F);
  const auto key = [](std::size_t index, DrawPurpose purpose) {
    return DrawKey{.position = index, .purpose = purpose};
  };
  const std::span<const float> proposal = std::span(scores).first(4);
  EXPECT_THAT(verify_draws(Ids{2}, scores, proposal, true, key).tokens, ElementsAre(2));
  EXPECT_EQ(verify_draws(Ids{2}, scores, proposal, false, key).tokens.size(), 2U);
}

}  // namespace
}  // namespace m2::generation
