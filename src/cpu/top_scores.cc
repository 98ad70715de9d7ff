#include "ops/top_scores.h"

#include <algorithm>
#include <functional>
#include <limits>

#include "cpu/context.h"

namespace m2::cpu {
namespace {

// Rank in the upper half; below it the id, such that the lower one is larger.
std::uint64_t key_of(float score, std::int64_t id) {
  return std::uint64_t{score_rank(score)} << 32U | (0xFFFFFFFFU - static_cast<std::uint32_t>(id));
}

std::int64_t id_of(std::uint64_t key) {
  return static_cast<std::int64_t>(0xFFFFFFFFU - static_cast<std::uint32_t>(key));
}

constexpr std::int64_t kRoom = 8;  // keys for each that is asked for

// The best keys so far of a row, and others until there is no more room; then those go.
class BestKeys {
 public:
  // keys: [kRoom * count]
  BestKeys(const float* scores, std::uint64_t* keys, std::int64_t count)
      : scores_(scores), keys_(keys), count_(count) {}

  void add(std::int64_t id) {
    keys_[size_++] = key_of(scores_[id], id);
    if (size_ == kRoom * count_) drop_worse();
  }

  // Whether any of these could be among the best. A NaN is above any bound, and none is above it.
  [[nodiscard]] bool has_any(std::int64_t begin, std::int64_t end) const {
    int is_any = 0;
    for (std::int64_t id = begin; id < end; ++id) {
      is_any |= static_cast<int>(!(scores_[id] <= bound_));
    }
    return is_any != 0;
  }
  [[nodiscard]] bool may_be(std::int64_t id) const { return !(scores_[id] <= bound_); }

  // Leaves the best at the front, descending.
  void finish() {
    if (size_ > count_) drop_worse();
    std::sort(keys_, keys_ + count_, std::greater<>());
  }

 private:
  void drop_worse() {
    std::nth_element(keys_, keys_ + count_ - 1, keys_ + size_, std::greater<>());
    size_ = count_;
    bound_ = scores_[id_of(keys_[count_ - 1])];
  }

  const float* scores_;
  std::uint64_t* keys_;
  std::int64_t count_;
  std::int64_t size_ = 0;
  float bound_ = std::numeric_limits<float>::quiet_NaN();  // nothing is at or below it
};

// The best `count` keys of a row, descending, at the front of keys [kRoom * count].
void find_top(const float* scores, std::int64_t num_scores, std::uint64_t* keys,
              std::int64_t count) {
  constexpr std::int64_t kBlock = 64;
  BestKeys best(scores, keys, count);
  for (std::int64_t begin = 0; begin < num_scores; begin += kBlock) {
    const std::int64_t end = std::min(begin + kBlock, num_scores);
    if (!best.has_any(begin, end)) continue;
    for (std::int64_t id = begin; id < end; ++id) {
      if (best.may_be(id)) best.add(id);
    }
  }
  best.finish();
}

}  // namespace

void top_scores(const TopScoresArgs& args, Context& context) {
  check(args);
  const std::int64_t num_scores = args.scores.shape[1];
  const std::int64_t count = args.top_ids.shape[1];
  context.lanes.run(args.scores.shape[0], [&](std::int64_t row, Buffer& scratch) {
    const float* scores = args.scores.as<float>() + row * num_scores;
    auto* keys = reinterpret_cast<std::uint64_t*>(scratch.floats(2 * kRoom * count));
    find_top(scores, num_scores, keys, count);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t id = id_of(keys[i]);
      args.top_ids.as<std::int32_t>()[row * count + i] = static_cast<std::int32_t>(id);
      args.top_scores.as<float>()[row * count + i] = scores[id];
    }
  });
}

}  // namespace m2::cpu
