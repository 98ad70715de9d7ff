#include "model/losses.h"

#include <algorithm>
#include <cmath>
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

// Sums over the weighted rows of all layers.
struct RouterCounts {
  std::vector<double> probability;  // [E]
  std::vector<double> choices;      // [K, E]
  std::vector<std::int32_t> order;  // [E], scratch
  double rows = 0;

  RouterCounts(std::size_t num_experts, std::int64_t top_k)
      : probability(num_experts, 0),
        choices(static_cast<std::size_t>(top_k) * num_experts, 0),
        order(num_experts) {}

  void add(std::span<const float> row, std::int64_t top_k, double weight) {
    const double normaliser = log_sum_exp(row);
    for (std::size_t e = 0; e < row.size(); ++e) {
      probability[e] += weight * std::exp(row[e] - normaliser);
    }
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + top_k, order.end(),
                      [&](std::int32_t a, std::int32_t b) {
                        const float left = row[static_cast<std::size_t>(a)];
                        const float right = row[static_cast<std::size_t>(b)];
                        return left != right ? left > right : a < b;
                      });
    for (std::size_t j = 0; j < static_cast<std::size_t>(top_k); ++j) {
      choices[j * row.size() + static_cast<std::size_t>(order[j])] += weight;
    }
    rows += weight;
  }
};

}  // namespace

std::vector<std::int64_t> shift_labels_left(std::span<const std::int64_t> labels,
                                            std::int64_t length, std::int64_t ignore_index) {
  std::vector<std::int64_t> targets(labels.size(), ignore_index);
  for (std::size_t i = 0; i + 1 < labels.size(); ++i) {
    if (std::cmp_not_equal((i + 1) % static_cast<std::size_t>(length), 0)) {
      targets[i] = labels[i + 1];
    }
  }
  return targets;
}

float causal_lm_loss(const CausalLmLossArgs& args) {
  const Shape& shape = args.logits.shape;
  const std::int64_t positions = shape[0] * shape[1];
  const std::int64_t vocab = shape[2];
  M2_REQUIRE(ErrorCode::kInvalidArgument, std::cmp_equal(args.targets.size(), positions),
             "labels: Expected input batch_size (", positions, ") to match target batch_size (",
             args.targets.size(), ").");
  double sum = 0;
  double valid = 0;
  for (std::int64_t i = 0; i < positions; ++i) {
    const std::int64_t target = args.targets[static_cast<std::size_t>(i)];
    if (target == args.ignore_index) continue;
    M2_REQUIRE(ErrorCode::kInvalidArgument, target >= 0 && target < vocab,
               "labels: the target of row ", i / shape[1], ", position ", i % shape[1],
               " is out of bounds: expected ", args.ignore_index, " or a token id below ", vocab,
               ", got ", target);
    const std::span row(args.logits.as<float>() + i * vocab, static_cast<std::size_t>(vocab));
    sum += log_sum_exp(row) - row[static_cast<std::size_t>(target)];
    valid += 1;
  }
  return static_cast<float>(sum / args.num_items_in_batch.value_or(valid));
}

float load_balancing_loss(std::span<const Tensor> router_logits, std::int64_t top_k,
                          std::span<const float> weights) {
  M2_CHECK(!router_logits.empty(), "no router logits");
  const std::int64_t num_tokens = router_logits[0].shape()[0];
  const auto num_experts = static_cast<std::size_t>(router_logits[0].shape()[1]);
  M2_CHECK(weights.empty() || std::cmp_equal(weights.size(), num_tokens), "weights [",
           weights.size(), "] do not match ", num_tokens, " tokens");
  RouterCounts counts(num_experts, top_k);
  for (const Tensor& layer : router_logits) {
    for (std::int64_t t = 0; t < num_tokens; ++t) {
      const double weight = weights.empty() ? 1.0 : double{weights[static_cast<std::size_t>(t)]};
      if (weight == 0) continue;
      const float* row = layer.as<float>() + t * static_cast<std::int64_t>(num_experts);
      counts.add({row, num_experts}, top_k, weight);
    }
  }
  double sum = 0;
  for (std::size_t i = 0; i < counts.choices.size(); ++i) {
    sum += counts.choices[i] / counts.rows * counts.probability[i % num_experts] / counts.rows;
  }
  return static_cast<float>(static_cast<double>(num_experts) * sum);
}

}  // namespace m2
