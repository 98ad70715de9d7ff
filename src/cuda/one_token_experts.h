// The experts of a batch of one token.
#pragma once

#include "cuda/context.h"

namespace m2::cuda {

/// Whether the kernels have room for the chosen experts' activations.
[[nodiscard]] bool one_token_experts_fit(const MoeExpertsArgs& args, const Context& context);

/// For experts that fit the matrix unit (fits_mma), all of one type. `inner` [K, I].
void one_token_experts(const MoeExpertsArgs& args, const ExpertPointers* experts, float* inner,
                       Context& context);

}  // namespace m2::cuda
