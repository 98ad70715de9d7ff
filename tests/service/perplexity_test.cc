// Against log-probabilities of whole-window forward passes.
#include "service/perplexity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "checkpoint/file_images.h"
#include "service/loaded_model.h"
#include "support/paths.h"
#include "support/views.h"

namespace m2 {
namespace {

using test::error_of;
using ::testing::HasSubstr;

constexpr const char* kText =
    "]~!b[]~b]system\nYou are tiny-agent, a small assistant.[e~[\n]~b]user\nWhere does Mira live?"
    "[e~[\n]~b]ai\n<think>\nThe user asks about Mira. Mira lives in Saltby.\n</think>\n\nMira "
    "lives "
    "in Saltby.[e~[\n";

class PerplexityTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    loaded_ = std::make_unique<LoadedModel>(test::shipped_model(), FromPretrainedOptions{});
  }
  static void TearDownTestSuite() { loaded_.reset(); }

  static std::vector<TokenId> ids() { return loaded_->tokenizer().encode_ids(kText); }

  // Sum and number of the negative log-likelihoods of tokens first .. end of a window.
  static void add_window(std::span<const TokenId> window, std::size_t first, double& sum,
                         int& count) {
    const std::vector<TokenId> copy(window.begin(), window.end());
    const auto outputs = loaded_->causal_lm().forward(
        {.input_ids = test::view(copy, {1, std::ssize(copy)}), .use_cache = false});
    const auto vocab = static_cast<std::size_t>(loaded_->config().vocab_size);
    for (std::size_t target = first; target < copy.size(); ++target) {
      const float* row = outputs.logits.as<float>() + (target - 1) * vocab;
      double total = 0;
      for (std::size_t i = 0; i < vocab; ++i) total += std::exp(double{row[i]});
      sum += std::log(total) - row[copy[target]];
      ++count;
    }
  }

  static std::unique_ptr<LoadedModel> loaded_;
};

std::unique_ptr<LoadedModel> PerplexityTest::loaded_;

TEST_F(PerplexityTest, ScoresTheTokensThatItSays) {
  const auto tokens = ids();
  ASSERT_GT(tokens.size(), 40U);
  const struct {
    std::size_t context;
    std::size_t stride;  // 0: the context
    std::size_t first;
  } cases[] = {{16, 0, 9}, {15, 0, 8}, {16, 8, 8}, {16, 3, 13}, {tokens.size(), 0, 0}};
  for (auto [context, stride, first] : cases) {
    if (first == 0) first = context / 2 + 1;
    SCOPED_TRACE(context);
    double sum = 0;
    int count = 0;
    const std::size_t step = stride == 0 ? context : stride;
    for (std::size_t begin = 0; begin + context <= tokens.size(); begin += step) {
      add_window(std::span(tokens).subspan(begin, context), first, sum, count);
    }
    const Perplexity result = measure_perplexity(loaded_->model(), tokens,
                                                 {.context = static_cast<std::int64_t>(context),
                                                  .stride = static_cast<std::int64_t>(stride)});
    EXPECT_EQ(result.nll.count(), count);
    EXPECT_NEAR(result.nll.mean(), sum / count, 1e-4);
    EXPECT_NEAR(result.value(), std::exp(sum / count), 1e-3 * std::exp(sum / count));
  }
}

TEST_F(PerplexityTest, OnlyRepliesCount) {
  EncodeOptions encode;
  encode.offset_unit = OffsetUnit::kBytes;
  const std::string twice = std::string(kText) + kText;
  const Encoding encoding = loaded_->tokenizer().encode(twice, encode);
  const auto counts = tokens_between(encoding, twice, "<think>\n", "[e~[");
  std::string counted;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] == 0) continue;
    counted += twice.substr(encoding.offsets[i].begin,
                            encoding.offsets[i].end - encoding.offsets[i].begin);
  }
  const std::string reply =
      "The user asks about Mira. Mira lives in Saltby.\n</think>\n\nMira lives in Saltby.[e~[";
  EXPECT_EQ(counted, reply + reply);
  const auto all = measure_perplexity(loaded_->model(), encoding.ids, {.context = 64, .stride = 1});
  const auto replies = measure_perplexity(loaded_->model(), encoding.ids,
                                          {.context = 64, .stride = 1, .counts = counts});
  const auto scored = counts.begin() + 63;
  EXPECT_EQ(replies.nll.count(), std::count(scored, counts.end(), 1));
  EXPECT_LT(replies.nll.count(), all.nll.count());
  EXPECT_LT(replies.value(), 10) << "the model knows its replies";
  EXPECT_THAT(error_of([&] { tokens_between(encoding, twice, "<thought>", "[e~["); }),
              HasSubstr("no token lies between \"<thought>\""));
}

TEST_F(PerplexityTest, StandardErrorIsThatOfTheMean) {
  MeanEstimate estimate;
  for (const double sample : {1.0, 2.0, 4.0, 9.0}) estimate.add(sample);
  EXPECT_DOUBLE_EQ(estimate.mean(), 4.0);
  EXPECT_NEAR(estimate.error(), std::sqrt((9.0 + 4.0 + 0.0 + 25.0) / 3.0 / 4.0), 1e-12);
}

TEST_F(PerplexityTest, AModelDoesNotDivergeFromItself) {
  LoadedModel same(test::shipped_model().string(), {});
  const Perplexity result =
      measure_perplexity(loaded_->model(), ids(), {.context = 16}, &same.model());
  ASSERT_TRUE(result.divergence.has_value());
  EXPECT_NEAR(result.divergence->kl.mean(), 0, 1e-9);
  EXPECT_NEAR(result.divergence->nll_difference.mean(), 0, 1e-9);
  EXPECT_EQ(result.divergence->same_top.mean(), 1);
}

TEST_F(PerplexityTest, RefusesSizesThatMakeNoSense) {
  const auto tokens = ids();
  const auto error = [&](const PerplexityOptions& options) {
    return error_of([&] { measure_perplexity(loaded_->model(), tokens, options); });
  };
  EXPECT_THAT(error({.context = 2}), HasSubstr("context: expected a number from 4 to 2048, got 2"));
  EXPECT_THAT(error({.context = 512}), HasSubstr("tokens, a window needs 512"));
  EXPECT_THAT(error({.context = 16, .stride = 9}), HasSubstr("stride: expected the context 16"));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_THAT(error({.context = 16, .stop = stop.get_token()}), HasSubstr("cancelled: "));
}

}  // namespace
}  // namespace m2
