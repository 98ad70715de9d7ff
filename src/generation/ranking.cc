#include "generation/ranking.h"

#include <algorithm>
#include <functional>

namespace m2::generation {

void Ranking::sort_beyond(std::int64_t rank) {
  constexpr std::int64_t kFirst = 128;
  M2_DCHECK(rank < size());
  // Growing by a factor keeps the work linear when the whole order is needed after all.
  const std::int64_t wanted = std::max({kFirst, rank + 1, 4 * num_sorted_});
  const auto begin = keys_.begin() + num_sorted_;
  if (wanted >= size()) {
    std::sort(begin, keys_.end());
    num_sorted_ = size();
    return;
  }
  const auto end = keys_.begin() + wanted;
  std::nth_element(begin, end, keys_.end());
  std::sort(begin, end);
  num_sorted_ = wanted;
}

float kth_largest(std::span<const float> scores, std::int64_t k, LogitsScratch& scratch) {
  M2_CHECK(k >= 1, "kth_largest: k is ", k);
  const auto count =
      static_cast<std::size_t>(std::min<std::int64_t>(k, static_cast<std::int64_t>(scores.size())));
  const std::span<float> best = scratch.values();
  std::size_t num_best = 0;
  const auto find_kth = [&] {
    const auto kth = best.begin() + static_cast<std::ptrdiff_t>(count - 1);
    std::nth_element(best.begin(), kth, best.begin() + static_cast<std::ptrdiff_t>(num_best),
                     std::greater<>());
    return *kth;
  };
  // Collects what may be among the k best and throws away all but those k when it gets long:
  // one comparison for most scores, as `bound` rises fast.
  const std::size_t limit = std::min(scores.size(), std::max<std::size_t>(4 * count, 1024));
  float bound = kRemoved;
  for_each_above(scores, bound, [&](std::size_t /*id*/, float score) {
    best[num_best++] = score;
    if (num_best < limit) return;
    bound = find_kth();
    num_best = count;
  });
  return num_best < count ? kRemoved : find_kth();
}

}  // namespace m2::generation
