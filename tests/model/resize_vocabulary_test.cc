#include "model/resize_vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "checkpoint/file_images.h"
#include "model/initial_values.h"
#include "support/tiny_model.h"

namespace m2 {
namespace {

using ::testing::HasSubstr;
using ::testing::Pointwise;

std::vector<float> row_of(const WeightView& view, std::int64_t row) {
  std::vector<float> values(static_cast<std::size_t>(view.cols));
  decode_row(view, row, values.data());
  return values;
}

// Mean of the first `rows` rows, column by column.
std::vector<float> mean_of(const WeightView& view, std::int64_t first, std::int64_t last) {
  std::vector<double> sum(static_cast<std::size_t>(view.cols));
  for (std::int64_t r = first; r < last; ++r) {
    const auto row = row_of(view, r);
    for (std::size_t c = 0; c < row.size(); ++c) sum[c] += row[c];
  }
  std::vector<float> mean;
  for (const double value : sum) {
    mean.push_back(static_cast<float>(value / static_cast<double>(last - first)));
  }
  return mean;
}

TEST(ResizeVocabulary, KeepsTheFirstRowsInEverySize) {
  const auto config = test::tiny_config();  // V 67, H 32
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const ModelWeights weights = random_weights(config, dtype, 1);
    for (const std::int64_t size : {1, 40, 66, 68, 100}) {
      const ModelWeights resized = resize_vocabulary(config, weights, size, {});
      EXPECT_EQ(resized.embed_tokens.rows, size);
      EXPECT_EQ(resized.lm_head.rows, size);
      EXPECT_EQ(resized.lm_head.dtype, dtype);
      for (std::int64_t r = 0; r < std::min<std::int64_t>(size, 67); ++r) {
        EXPECT_EQ(row_of(resized.embed_tokens, r), row_of(weights.embed_tokens, r));
        EXPECT_EQ(row_of(resized.lm_head, r), row_of(weights.lm_head, r));
      }
      EXPECT_EQ(resized.layers[1].q.data, weights.layers[1].q.data);
    }
  }
}

TEST(ResizeVocabulary, TooFewRowsGiveTheirMean) {
  auto config = test::tiny_config();
  config.vocab_size = 20;  // fewer than H
  const ModelWeights weights = random_weights(config, DType::kF32, 1);
  const ModelWeights resized = resize_vocabulary(config, weights, 23, {});
  const auto mean = mean_of(weights.lm_head, 0, 20);
  for (const std::int64_t row : {20, 22}) {
    EXPECT_THAT(row_of(resized.lm_head, row), Pointwise(::testing::FloatNear(1e-8F), mean));
  }
}

TEST(ResizeVocabulary, NewRowsHaveTheCovarianceOfTheOldOnes) {
  auto config = test::tiny_config();
  config.hidden_size = 4;
  config.vocab_size = 50;
  ModelWeights weights = random_weights(config, DType::kF32, 1);
  // Column 1 follows column 0, column 3 is ten times wider.
  auto* values = static_cast<float*>(const_cast<void*>(weights.embed_tokens.data));
  for (std::int64_t r = 0; r < 50; ++r) {
    values[r * 4 + 1] = values[r * 4] + 0.1F * values[r * 4 + 1];
    values[r * 4 + 3] *= 10;
  }
  constexpr std::int64_t kNew = 4000;
  const ModelWeights resized = resize_vocabulary(config, weights, 50 + kNew, {.seed = 3});
  const auto covariance = [](const WeightView& view, std::int64_t first, std::int64_t last, int i,
                             int j) {
    const auto mean = mean_of(view, first, last);
    double sum = 0;
    for (std::int64_t r = first; r < last; ++r) {
      const auto row = row_of(view, r);
      sum += (double{row[i]} - mean[i]) * (double{row[j]} - mean[j]);
    }
    return sum / static_cast<double>(last - first);
  };
  for (int i = 0; i < 4; ++i) {
    for (int j = 0; j <= i; ++j) {
      const double expected = 1e-9 * covariance(weights.embed_tokens, 0, 50, i, j);
      const double width = 1e-9 * std::sqrt(covariance(weights.embed_tokens, 0, 50, i, i) *
                                            covariance(weights.embed_tokens, 0, 50, j, j));
      // Float32 steps of the rows are far below 1e-9 * covariance of this size.
      EXPECT_NEAR(covariance(resized.embed_tokens, 50, 50 + kNew, i, j), expected,
                  6 * width / std::sqrt(double{kNew}) + 0.05 * width)
          << i << " " << j;
    }
  }
}

TEST(ResizeVocabulary, WithoutMeanRowsAreThoseOfAFreshModel) {
  auto config = test::tiny_config();
  const ModelWeights weights = random_weights(config, DType::kF32, 1);
  const ModelWeights resized =
      resize_vocabulary(config, weights, 80, {.mean_resizing = false, .seed = 9});
  config.vocab_size = 80;
  const ModelWeights fresh = random_weights(config, DType::kF32, 9);
  EXPECT_EQ(row_of(resized.lm_head, 75), row_of(fresh.lm_head, 75));
}

TEST(ResizeVocabulary, TiedWeightsStayTied) {
  auto config = test::tiny_config();
  config.tie_word_embeddings = true;
  const ModelWeights resized =
      resize_vocabulary(config, random_weights(config, DType::kF32, 1), 70, {});
  EXPECT_TRUE(resized.tied);
  EXPECT_EQ(resized.lm_head.data, resized.embed_tokens.data);
}

TEST(ResizeVocabulary, RefusesNoTokens) {
  const auto config = test::tiny_config();
  const ModelWeights weights = random_weights(config, DType::kF32, 1);
  EXPECT_THAT(test::error_of([&] { resize_vocabulary(config, weights, 0, {}); }),
              HasSubstr("expected a positive size"));
}

}  // namespace
}  // namespace m2
