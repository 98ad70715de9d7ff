#pragma once

#include <cstdint>

#include "ops/moe_route.h"
#include "ops/rms_norm.h"

namespace m2::cuda {

struct Context;

constexpr int kRankedExperts = 256;
constexpr int kMostRankedChoices = 32;

/// What a router knows of tokens before their experts are chosen, in device memory. Who uses the
/// choice may make it (choose_expert() in choose_experts.cuh).
struct RouterScores {
  std::uint32_t* ranks;  // [T, kRankedExperts]: order as the biased scores do, 0 beyond E
  float* scores;         // [T, kRankedExperts]

  /// Those of the tokens from `token` on.
  [[nodiscard]] RouterScores from(std::int64_t token) const {
    return {ranks + token * kRankedExperts, scores + token * kRankedExperts};
  }
};

/// The norm and the router of up to eight tokens, in F32, before the choice: writes the outputs of
/// norm_route but for the chosen experts and their weights, and `scores` in the context's memory,
/// valid until the next call. False where the sizes do not fit.
[[nodiscard]] bool few_tokens_route(const RmsNormArgs& norm, const MoeRouteArgs& route,
                                    RouterScores& scores, Context& context);

/// Chooses by such scores.
void choose_by_scores(const RouterScores& scores, const TensorView& topk_ids,
                      const TensorView& topk_weights, Context& context);

}  // namespace m2::cuda
