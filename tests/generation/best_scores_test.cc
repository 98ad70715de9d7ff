// The best scores of a row against the whole row: the same token, or the word that they do not
// settle it.
#include "generation/best_scores.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "generation/logits_pipeline.h"
#include "generation/sampler.h"
#include "ops/reference_backend.h"

namespace m2::generation {
namespace {

constexpr std::int64_t kVocabSize = 500;
constexpr std::int64_t kNumValid = 490;
constexpr std::int64_t kNumBest = 64;

std::vector<float> random_row(unsigned seed, float spread, bool rounded) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> row(kVocabSize);
  for (float& score : row) score = rounded ? std::round(normal(engine)) : normal(engine);
  return row;
}

BestScores best_of(const std::vector<float>& row) {
  std::vector<float> copy = row;
  std::vector<std::int32_t> ids(kNumBest);
  std::vector<float> scores(kNumBest);
  reference::top_scores({.scores = {copy.data(), DType::kF32, {1, kVocabSize}},
                         .top_ids = {ids.data(), DType::kI32, {1, kNumBest}},
                         .top_scores = {scores.data(), DType::kF32, {1, kNumBest}}});
  BestScores best;
  best.assign(ids, scores);
  return best;
}

class Chooser {
 public:
  explicit Chooser(const std::string& config)
      : config_(GenerationConfig::from_json(config)),
        pipeline_(build_pipeline(
            config_,
            {.vocab_size = kVocabSize, .num_valid_tokens = kNumValid, .prompt_length = 2})) {}

  std::int32_t from_row(std::vector<float> row, std::uint64_t seed) {
    pipeline_.apply({.ids = ids_}, row, scratch_);
    return draw(row, seed);
  }
  std::optional<std::int32_t> from_best(BestScores best, std::uint64_t seed) {
    if (!pipeline_.apply({.ids = ids_}, best, scratch_)) return std::nullopt;
    return best.id(static_cast<std::size_t>(draw(best.scores(), seed)));
  }

 private:
  [[nodiscard]] std::int32_t draw(std::span<const float> scores, std::uint64_t seed) const {
    return config_.do_sample.value_or(false) ? sample(scores, {.seed = seed, .position = 3})
                                             : argmax(scores);
  }

  GenerationConfig config_;
  LogitsPipeline pipeline_;
  LogitsScratch scratch_{kVocabSize};
  std::vector<std::int32_t> ids_ = {3, 4, 5};
};

struct Case {
  std::string config;
  bool settled;  // on rows of distinct scores
};

const std::vector<Case> kCases = {
    {R"({})", true},
    {R"({"do_sample": true, "top_k": 40, "top_p": 0.95})", true},
    {R"({"do_sample": true, "top_k": 1})", true},
    {R"({"do_sample": true, "top_k": 20, "temperature": 0.3})", true},
    {R"({"do_sample": true, "top_k": 50, "temperature": 2.5, "min_p": 0.1, "typical_p": 0.9})",
     true},
    {R"({"do_sample": true, "top_k": 30, "epsilon_cutoff": 0.01, "renormalize_logits": true})",
     true},
    {R"({"do_sample": true, "top_k": 60, "top_p": 0.5})", false},  // of 64 some have no token
    {R"({"do_sample": true, "top_k": 64})", false},
    {R"({"do_sample": true, "top_k": 100})", false},
    {R"({"do_sample": true})", false},
    {R"({"do_sample": true, "top_p": 0.9, "top_k": 0})", false},
    {R"({"do_sample": true, "top_h": 0.5, "top_k": 20})", false},
    {R"({"do_sample": true, "top_k": 20, "repetition_penalty": 1.2})", false},
    {R"({"repetition_penalty": 1.2})", false},
    {R"({"suppress_tokens": [7]})", false},
};

TEST(BestScores, ChooseAsTheWholeRowOrSayNothing) {
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.config);
    Chooser chooser(c.config);
    for (unsigned seed = 0; seed < 200; ++seed) {
      // Ids without a token are among the best: they must not count.
      std::vector<float> row = random_row(seed, 0.5F + static_cast<float>(seed % 5), false);
      for (std::size_t id = kNumValid; id < kVocabSize; ++id) row[id] = 50.0F;
      const auto token = chooser.from_best(best_of(row), seed);
      ASSERT_EQ(token.has_value(), c.settled) << "seed " << seed;
      if (!token) continue;
      ASSERT_EQ(*token, chooser.from_row(row, seed)) << "seed " << seed;
    }
  }
}

TEST(BestScores, TiesBeyondThemAreNotOverlooked) {
  int num_settled = 0;
  Chooser chooser(R"({"do_sample": true, "top_k": 40, "temperature": 1.5})");
  for (unsigned seed = 0; seed < 300; ++seed) {
    const std::vector<float> row =
        random_row(seed, 0.5F + 0.3F * static_cast<float>(seed % 20), true);
    const auto token = chooser.from_best(best_of(row), seed);
    if (!token) continue;
    ++num_settled;
    ASSERT_EQ(*token, chooser.from_row(row, seed)) << "seed " << seed;
  }
  EXPECT_GT(num_settled, 50);
  EXPECT_LT(num_settled, 300);
}

TEST(BestScores, GreedyTakesTheLowestOfEquals) {
  Chooser chooser("{}");
  std::vector<float> row(kVocabSize, 1.0F);
  for (const std::size_t id : {200U, 117U, 480U, 499U}) row[id] = 2.0F;
  EXPECT_EQ(chooser.from_best(best_of(row), 0), 117);
}

TEST(BestScores, NaNIsAnError) {
  std::vector<float> row = random_row(1, 1.0F, false);
  row[333] = std::numeric_limits<float>::quiet_NaN();
  for (const char* config : {"{}", R"({"do_sample": true, "top_k": 5})"}) {
    EXPECT_THROW((void)Chooser(config).from_best(best_of(row), 0), Error) << config;
  }
}

}  // namespace
}  // namespace m2::generation
