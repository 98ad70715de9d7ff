// Experts of more tokens than one pass takes.
#pragma once

#include <algorithm>

#include "cuda/few_tokens_route.h"
#include "ops/moe_experts.h"

namespace m2::cuda {

inline TensorView rows_of(const TensorView& all, std::int64_t first, std::int64_t count) {
  const std::int64_t row_bytes = all.shape[1] * static_cast<std::int64_t>(dtype_size(all.dtype));
  return {static_cast<char*>(all.data) + first * row_bytes, all.dtype, {count, all.shape[1]}};
}

/// The call for `count` tokens from `first` on.
inline MoeExpertsArgs tokens_of(const MoeExpertsArgs& args, std::int64_t first,
                                std::int64_t count) {
  return {.hidden_states = rows_of(args.hidden_states, first, count),
          .topk_ids = rows_of(args.topk_ids, first, count),
          .topk_weights = rows_of(args.topk_weights, first, count),
          .experts = args.experts,
          .activation = args.activation,
          .output = rows_of(args.output, first, count)};
}

/// Runs a call in passes of as many tokens as fit, at most `most`: run(pass, its scores or null)
/// returns false where they do not. False where not even one token fits.
template <typename Run>
[[nodiscard]] bool run_passes(const MoeExpertsArgs& args, const RouterScores* scores,
                              std::int64_t most, const Run& run) {
  const std::int64_t num_tokens = args.hidden_states.shape[0];
  for (std::int64_t first = 0; first < num_tokens; first += most) {
    const MoeExpertsArgs pass = tokens_of(args, first, std::min(most, num_tokens - first));
    RouterScores from_first = {};
    if (scores != nullptr) from_first = scores->from(first);
    const RouterScores* of_pass = scores == nullptr ? nullptr : &from_first;
    if (run(pass, of_pass)) continue;
    if (most == 1 || !run_passes(pass, of_pass, most / 2, run)) return false;
  }
  return true;
}

}  // namespace m2::cuda
