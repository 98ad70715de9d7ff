// The end of the experts: their results meet with the router's weights.
#pragma once

#include "cuda/context.h"

namespace m2::cuda {

/// output += the weighted sum over a token's rows of down [T * K, H], in the router's order.
void combine_experts(const float* down, const MoeExpertsArgs& args, const Context& context);

}  // namespace m2::cuda
