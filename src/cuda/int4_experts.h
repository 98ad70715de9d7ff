// The experts of few tokens with int4 weights.
#pragma once

#include "cuda/context.h"

namespace m2::cuda {

/// By the format of the first expert.
[[nodiscard]] bool has_int4_experts(const MoeExpertsArgs& args);
void int4_experts(const MoeExpertsArgs& args, const RouterScores* scores, Context& context);

}  // namespace m2::cuda
