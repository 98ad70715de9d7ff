#include "model/losses.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "base/error.h"

namespace m2 {
namespace {

// log(sum(exp(row))), stable.
double log_sum_exp(std::span<const float> row) {
  const double largest = *std::ranges::max_element(row);
  double sum = 0;
  for (const float value : row) sum += std::exp(value - largest);
  return largest + std::log(sum);
}

// Adds the softmax of a row to `mean_probability` and its top-k choice to `choices`.
void count_row(std::span<const float> row, std::int64_t top_k, std::vector<double>& probability,
               std::vector<double>& choices, std::vector<std::int32_t>& order) {
  const double normaliser = log_sum_exp(row);
  for (std::size_t e = 0; e < row.size(); ++e) probability[e] += std::exp(row[e] - normaliser);
  std::iota(order.begin(), order.end(), 0);
  std::partial_sort(order.begin(), order.begin() + top_k, order.end(),
                    [&](std::int32_t a, std::int32_t b) {
                      const float left = row[static_cast<std::size_t>(a)];
                      const float right = row[static_cast<std::size_t>(b)];
                      return left != right ? left > right : a < b;
                    });
  for (std::int64_t j = 0; j < top_k; ++j) {
    choices[static_cast<std::size_t>(j) * row.size() +
            static_cast<std::size_t>(order[static_cast<std::size_t>(j)])] += 1;
  }
}

}  // namespace

float causal_lm_loss(const TensorView& logits, std::span<const std::int64_t> labels) {
  const std::int64_t batch = logits.shape[0];
  const std::int64_t length = logits.shape[1];
  const std::int64_t vocab = logits.shape[2];
  M2_CHECK(std::cmp_equal(labels.size(), batch * length), "labels [", labels.size(),
           "] do not match logits ", logits.shape);
  const float* data = logits.as<float>();
  double sum = 0;
  std::int64_t valid = 0;
  for (std::int64_t b = 0; b < batch; ++b) {
    for (std::int64_t s = 0; s < length; ++s) {
      const std::int64_t label = labels[static_cast<std::size_t>(b * length + s)];
      M2_REQUIRE(ErrorCode::kInvalidArgument,
                 label == kIgnoreIndex || (label >= 0 && label < vocab), "labels[", b, "][", s,
                 "]: expected ", kIgnoreIndex, " or a token id below ", vocab, ", got ", label);
      if (s == 0 || label == kIgnoreIndex) continue;
      const float* row = data + (b * length + s - 1) * vocab;
      sum += log_sum_exp({row, static_cast<std::size_t>(vocab)}) - row[label];
      ++valid;
    }
  }
  if (valid == 0) return std::numeric_limits<float>::quiet_NaN();
  return static_cast<float>(sum / static_cast<double>(valid));
}

float load_balancing_loss(std::span<const Tensor> router_logits, std::int64_t top_k,
                          std::span<const std::uint8_t> mask) {
  M2_CHECK(!router_logits.empty(), "no router logits");
  const std::int64_t num_tokens = router_logits[0].shape()[0];
  const auto num_experts = static_cast<std::size_t>(router_logits[0].shape()[1]);
  M2_CHECK(mask.empty() || std::cmp_equal(mask.size(), num_tokens), "mask [", mask.size(),
           "] does not match ", num_tokens, " tokens");
  std::vector<double> probability(num_experts, 0);
  std::vector<double> choices(static_cast<std::size_t>(top_k) * num_experts, 0);
  std::vector<std::int32_t> order(num_experts);
  double rows = 0;
  for (const Tensor& layer : router_logits) {
    for (std::int64_t t = 0; t < num_tokens; ++t) {
      if (!mask.empty() && mask[static_cast<std::size_t>(t)] == 0) continue;
      const float* row = layer.as<float>() + t * static_cast<std::int64_t>(num_experts);
      count_row({row, num_experts}, top_k, probability, choices, order);
      rows += 1;
    }
  }
  double sum = 0;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    sum += choices[i] / rows * probability[i % num_experts] / rows;
  }
  return static_cast<float>(static_cast<double>(num_experts) * sum);
}

}  // namespace m2
