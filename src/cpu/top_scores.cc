#include "ops/top_scores.h"

#include <algorithm>
#include <functional>

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

// The best `count` keys of a row, descending.
void find_top(const float* scores, std::int64_t num_scores, std::uint64_t* keys,
              std::int64_t count) {
  constexpr std::int64_t kBlock = 64;
  std::uint64_t* const end = keys + count;
  for (std::int64_t id = 0; id < count; ++id) keys[id] = key_of(scores[id], id);
  std::make_heap(keys, end, std::greater<>());
  const auto offer = [&](std::int64_t id) {
    const std::uint64_t key = key_of(scores[id], id);
    if (key <= keys[0]) return;
    std::pop_heap(keys, end, std::greater<>());
    end[-1] = key;
    std::push_heap(keys, end, std::greater<>());
  };
  std::int64_t id = count;
  for (; id + kBlock <= num_scores; id += kBlock) {
    // The worst of the best so far; a NaN is above any bound, and none is above a NaN.
    const float bound = scores[id_of(keys[0])];
    int is_any = 0;
    for (std::int64_t i = 0; i < kBlock; ++i) {
      is_any |= static_cast<int>(!(scores[id + i] <= bound));
    }
    if (is_any == 0) continue;
    for (std::int64_t i = 0; i < kBlock; ++i) offer(id + i);
  }
  for (; id < num_scores; ++id) offer(id);
  std::sort_heap(keys, end, std::greater<>());
}

}  // namespace

void top_scores(const TopScoresArgs& args, Context& context) {
  check(args);
  const std::int64_t num_scores = args.scores.shape[1];
  const std::int64_t count = args.top_ids.shape[1];
  context.lanes.run(args.scores.shape[0], [&](std::int64_t row, Buffer& scratch) {
    const float* scores = args.scores.as<float>() + row * num_scores;
    auto* keys = reinterpret_cast<std::uint64_t*>(scratch.floats(2 * count));
    find_top(scores, num_scores, keys, count);
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int64_t id = id_of(keys[i]);
      args.top_ids.as<std::int32_t>()[row * count + i] = static_cast<std::int32_t>(id);
      args.top_scores.as<float>()[row * count + i] = scores[id];
    }
  });
}

}  // namespace m2::cpu
