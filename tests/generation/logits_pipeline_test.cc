// The processors against the transformers library: tools/make_generation_goldens.py.
#include "generation/logits_pipeline.h"

#include "base/error.h"
#include "support/paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

namespace m2::generation {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<float> read_floats(const std::filesystem::path& path) {
  const std::string bytes = test::read_file(path);
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), values.size() * sizeof(float));
  return values;
}

struct Goldens {
  json content = json::parse(test::read_file(test::golden_path("generation/processors.json")));
  std::vector<float> values = read_floats(test::golden_path("generation/processors.f32"));

  [[nodiscard]] std::vector<float> row(std::int64_t offset, std::int64_t size) const {
    const auto begin = values.begin() + offset;
    return {begin, begin + size};
  }
};

LogitsPipeline pipeline_of(const json& test_case, std::int64_t vocab_size) {
  PipelineOptions options{.vocab_size = vocab_size,
                          .num_valid_tokens = 0,
                          .prompt_length = test_case["prompt_length"].get<std::int64_t>(),
                          .min_tokens_to_keep = test_case.value("min_tokens_to_keep", 1),
                          .allowed_tokens = {},
                          .custom = {}};
  if (test_case.contains("allowed")) {
    options.allowed_tokens = [ids = test_case["allowed"].get<std::vector<std::int32_t>>()](
                                 const StepContext&) { return ids; };
  }
  return build_pipeline(GenerationConfig::from_json(test_case["config"].dump()), options);
}

// Bit patterns of infinities must agree; finite values within 1e-5 of their size.
bool is_close(float actual, float expected) {
  if (!std::isfinite(actual) || !std::isfinite(expected)) return actual == expected;
  return std::abs(actual - expected) <= 1e-5F * std::max(1.0F, std::abs(expected));
}

TEST(LogitsPipelineTest, EveryProcessorAndChainAgreesWithTheReference) {
  const Goldens goldens;
  std::size_t num_values = 0;
  float worst = 0.0F;
  for (const json& test_case : goldens.content["cases"]) {
    SCOPED_TRACE(test_case["name"].get<std::string>());
    const json& row = goldens.content["rows"][test_case["row"].get<std::string>()];
    const auto size = row["size"].get<std::int64_t>();
    auto scores = goldens.row(row["offset"], size);
    auto expected = goldens.row(test_case["expected"], size);
    const auto ids = test_case["ids"].get<std::vector<std::int32_t>>();
    LogitsScratch scratch(size);

    pipeline_of(test_case, size).apply({.ids = ids}, scores, scratch);

    if (test_case.value("any_tie", false)) {  // which of equal scores stay is open
      std::ranges::sort(scores);
      std::ranges::sort(expected);
    }
    for (std::size_t id = 0; id < scores.size(); ++id) {
      ASSERT_TRUE(is_close(scores[id], expected[id]))
          << "token " << id << ": expected " << expected[id] << ", got " << scores[id];
      ++num_values;
      if (std::isfinite(expected[id])) {
        worst = std::max(
            worst, std::abs(scores[id] - expected[id]) / std::max(1.0F, std::abs(expected[id])));
      }
    }
  }
  EXPECT_GT(num_values, 100000U);
  RecordProperty("worst_relative_error", std::to_string(worst));
  std::printf("%zu cases, %zu scores, worst error %.2e\n", goldens.content["cases"].size(),
              num_values, static_cast<double>(worst));
}

TEST(LogitsPipelineTest, RefusesWhatTheReferenceRefusesToBuild) {
  const json goldens = json::parse(test::read_file(test::golden_path("generation/config.json")));
  for (const json& test_case : goldens["build"]) {
    SCOPED_TRACE(test_case["json"].dump());
    const bool forces_bos = test_case["json"].contains("forced_bos_token_id");
    const auto build_and_run = [&] {
      auto config = GenerationConfig::from_json(test_case["json"].dump());
      config.max_length = 3;
      const auto pipeline = build_pipeline(config, {.vocab_size = 50, .prompt_length = 1});
      const std::vector<std::int32_t> ids(forces_bos ? 1 : 2, 1);
      std::vector<float> scores(50);
      LogitsScratch scratch(50);
      pipeline.apply({.ids = ids}, scores, scratch);
    };
    if (!test_case.contains("error")) {
      EXPECT_NO_THROW(build_and_run());
      continue;
    }
    try {
      build_and_run();
      ADD_FAILURE() << "not refused";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidArgument) << error.what();
    }
  }
}

GenerationConfig everything() {
  GenerationConfig config;
  config.eos_token_id = {{1, 2}};
  config.max_length = 20;
  config.sequence_bias = {{{.ids = {3}, .bias = 1.0F}}};
  config.encoder_repetition_penalty = 1.1;
  config.repetition_penalty = 1.1;
  config.frequency_penalty = 0.5;
  config.no_repeat_ngram_size = 3;
  config.encoder_no_repeat_ngram_size = 4;
  config.bad_words_ids = {{{4, 5}}};
  config.min_length = 3;
  config.min_new_tokens = 2;
  config.forced_bos_token_id = 1;
  config.forced_eos_token_id = {{2}};
  config.remove_invalid_values = true;
  config.exponential_decay_length_penalty = {{.start = 2, .factor = 1.1}};
  config.suppress_tokens = {{6}};
  config.begin_suppress_tokens = {{7}};
  config.do_sample = true;
  config.temperature = 0.7;
  config.top_h = 0.9;
  config.top_k = 40;
  config.top_p = 0.9;
  config.min_p = 0.01;
  config.typical_p = 0.9;
  config.epsilon_cutoff = 1e-4;
  config.eta_cutoff = 1e-4;
  config.renormalize_logits = true;
  return config;
}

TEST(LogitsPipelineTest, StepsStandInTheReferencesOrder) {
  PipelineOptions options{.vocab_size = 100, .prompt_length = 3};
  options.allowed_tokens = [](const StepContext&) { return std::vector<std::int32_t>{1}; };
  options.custom = {{.name = "mine", .run = [](const auto&, auto, auto&) {}}};
  EXPECT_THAT(
      build_pipeline(everything(), options).names(),
      ElementsAre("sequence_bias", "encoder_repetition_penalty", "repetition_penalty",
                  "frequency_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size",
                  "bad_words_ids", "min_length", "min_new_tokens", "prefix_allowed_tokens_fn",
                  "forced_bos_token_id", "forced_eos_token_id", "remove_invalid_values",
                  "exponential_decay_length_penalty", "suppress_tokens", "begin_suppress_tokens",
                  "mine", "temperature", "top_h", "top_k", "top_p", "min_p", "typical_p",
                  "epsilon_cutoff", "eta_cutoff", "renormalize_logits"));
}

TEST(LogitsPipelineTest, GreedyDecodingHasNoSamplingFilters) {
  GenerationConfig config = everything();
  config.do_sample = false;
  const auto names = build_pipeline(config, {.vocab_size = 100, .prompt_length = 3}).names();
  EXPECT_EQ(std::ranges::count(names, "top_p"), 0);
  EXPECT_EQ(names.back(), "renormalize_logits");
  EXPECT_TRUE(build_pipeline({}, {.vocab_size = 100}).empty());
}

TEST(LogitsPipelineTest, CustomStepTakesThePlaceOfTheBuiltInOfItsName) {
  GenerationConfig config;
  config.repetition_penalty = 2.0;
  config.suppress_tokens = {{0}};
  PipelineOptions options{.vocab_size = 3, .prompt_length = 1};
  options.custom = {{.name = "repetition_penalty",
                     .run = [](const auto&, std::span<float> scores, auto&) { scores[1] = 9.0F; }}};
  const auto pipeline = build_pipeline(config, options);
  EXPECT_THAT(pipeline.names(), ElementsAre("repetition_penalty", "suppress_tokens"));
  std::vector<float> scores = {1.0F, 2.0F, 3.0F};
  const std::vector<std::int32_t> ids = {2};
  LogitsScratch scratch(3);
  pipeline.apply({.ids = ids}, scores, scratch);
  EXPECT_THAT(scores, ElementsAre(-kInfinity, 9.0F, 3.0F));
}

TEST(LogitsPipelineTest, IdsWithoutATokenStayMaskedWhateverHappens) {
  GenerationConfig config;
  config.remove_invalid_values = true;  // turns -inf into a finite score
  config.sequence_bias = {{{.ids = {4}, .bias = 5.0F}}};
  const PipelineOptions options{.vocab_size = 8, .num_valid_tokens = 5, .prompt_length = 1};
  std::vector<float> scores(8, 1.0F);
  scores[7] = kInfinity;
  const std::vector<std::int32_t> ids = {7, 6};
  LogitsScratch scratch(8);
  build_pipeline(config, options).apply({.ids = ids}, scores, scratch);
  EXPECT_THAT(scores, ElementsAre(1, 1, 1, 1, 6, -kInfinity, -kInfinity, -kInfinity));

  config.sequence_bias = {{{.ids = {5}, .bias = 5.0F}}};
  EXPECT_THROW(build_pipeline(config, options), Error);
}

TEST(LogitsPipelineTest, CountPenaltiesSeeGeneratedTokensOnly) {
  GenerationConfig config;
  config.frequency_penalty = 0.5;
  config.presence_penalty = 0.25;
  std::vector<float> scores(4, 1.0F);
  const std::vector<std::int32_t> ids = {0, 0, 1, 2, 1};
  LogitsScratch scratch(4);
  build_pipeline(config, {.vocab_size = 4, .prompt_length = 2})
      .apply({.ids = ids}, scores, scratch);
  EXPECT_THAT(scores, ElementsAre(1.0F, -0.25F, 0.25F, 1.0F));
}

TEST(LogitsPipelineTest, EmptyAllowedListIsTheRequestsError) {
  PipelineOptions options{.vocab_size = 4, .prompt_length = 1};
  options.allowed_tokens = [](const StepContext&) { return std::vector<std::int32_t>{}; };
  const auto pipeline = build_pipeline({}, options);
  std::vector<float> scores(4);
  const std::vector<std::int32_t> ids = {0};
  LogitsScratch scratch(4);
  EXPECT_THROW(pipeline.apply({.ids = ids}, scores, scratch), Error);
}

TEST(LogitsPipelineTest, ExponentialDecayKeepsBannedTokensBannedAndFailsOnOverflow) {
  GenerationConfig config;
  config.eos_token_id = {{1}};
  config.min_length = 10;
  config.exponential_decay_length_penalty = {{.start = 0, .factor = 1.5}};
  std::vector<float> scores(3, 1.0F);
  const std::vector<std::int32_t> ids = {0, 0, 0};
  LogitsScratch scratch(3);
  build_pipeline(config, {.vocab_size = 3, .prompt_length = 1})
      .apply({.ids = ids}, scores, scratch);
  EXPECT_EQ(scores[1], -kInfinity);

  config.exponential_decay_length_penalty->factor = 1e200;
  const auto pipeline = build_pipeline(config, {.vocab_size = 3, .prompt_length = 1});
  EXPECT_THROW(pipeline.apply({.ids = ids}, scores, scratch), Error);
}

TEST(LogitsPipelineTest, OneScratchServesManyRows) {
  const Goldens goldens;
  LogitsScratch shared(2000);
  for (const json& test_case : goldens.content["cases"]) {
    const json& row = goldens.content["rows"][test_case["row"].get<std::string>()];
    const auto size = row["size"].get<std::int64_t>();
    auto scores = goldens.row(row["offset"], size);
    auto again = scores;
    const auto ids = test_case["ids"].get<std::vector<std::int32_t>>();
    const auto pipeline = pipeline_of(test_case, size);
    LogitsScratch fresh(size);
    pipeline.apply({.ids = ids}, scores, shared);
    pipeline.apply({.ids = ids}, again, fresh);
    ASSERT_EQ(std::memcmp(scores.data(), again.data(), scores.size() * sizeof(float)), 0)
        << test_case["name"];
  }
}

}  // namespace
}  // namespace m2::generation
