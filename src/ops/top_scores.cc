#include "ops/top_scores.h"

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/error.h"
#include "ops/contract.h"

namespace m2 {

void check(const TopScoresArgs& args) {
  check_tensor("top_scores", "scores", args.scores, DType::kF32, 2);
  check_tensor("top_scores", "top_ids", args.top_ids, DType::kI32, 2);
  const std::int64_t count = args.top_ids.shape[1];
  M2_CHECK(count >= 1 && count <= args.scores.shape[1], "top_scores: ", count, " of ",
           args.scores.shape[1], " scores");
  check_shape("top_scores", "top_ids", args.top_ids, DType::kI32, {args.scores.shape[0], count},
              "scores", args.scores.shape);
  check_shape("top_scores", "top_scores", args.top_scores, DType::kF32, args.top_ids.shape,
              "top_ids", args.top_ids.shape);
}

namespace reference {

void top_scores(const TopScoresArgs& args) {
  check(args);
  const std::int64_t num_scores = args.scores.shape[1];
  const std::int64_t count = args.top_ids.shape[1];
  std::vector<std::int32_t> ids(static_cast<std::size_t>(num_scores));
  for (std::int64_t row = 0; row < args.scores.shape[0]; ++row) {
    const float* scores = args.scores.as<float>() + row * num_scores;
    std::iota(ids.begin(), ids.end(), 0);
    std::ranges::partial_sort(ids, ids.begin() + count, [&](std::int32_t a, std::int32_t b) {
      const std::uint32_t rank_a = score_rank(scores[a]);
      const std::uint32_t rank_b = score_rank(scores[b]);
      return rank_a != rank_b ? rank_a > rank_b : a < b;
    });
    for (std::int64_t i = 0; i < count; ++i) {
      const std::int32_t id = ids[static_cast<std::size_t>(i)];
      args.top_ids.as<std::int32_t>()[row * count + i] = id;
      args.top_scores.as<float>()[row * count + i] = scores[id];
    }
  }
}

}  // namespace reference
}  // namespace m2
