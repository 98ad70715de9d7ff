#include "generation/best_scores.h"

#include "base/error.h"

#include <algorithm>

namespace m2::generation {

void BestScores::assign(std::span<const std::int32_t> ids, std::span<const float> scores) {
  M2_CHECK(ids.size() == scores.size(), ids.size(), " ids for ", scores.size(), " scores");
  order_.clear();
  for (const std::int32_t id : ids) {
    order_.push_back({.id = id, .rank = static_cast<std::int32_t>(order_.size())});
  }
  std::ranges::sort(order_, {}, &Ranked::id);
  ids_.clear();
  scores_.clear();
  for (const auto [id, rank] : order_) {
    ids_.push_back(id);
    scores_.push_back(scores[static_cast<std::size_t>(rank)]);
  }
}

void BestScores::drop_from(std::int64_t num_tokens) {
  while (!ids_.empty() && ids_.back() >= num_tokens) {
    order_.pop_back();
    ids_.pop_back();
    scores_.pop_back();
  }
}

float BestScores::worst() const {
  M2_CHECK(!order_.empty(), "no scores");
  const auto worst = std::ranges::max_element(order_, {}, &Ranked::rank);
  return scores_[static_cast<std::size_t>(worst - order_.begin())];
}

}  // namespace m2::generation
