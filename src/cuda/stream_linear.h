// Dense products through the weight rings.
#pragma once

#include <span>

#include "cuda/context.h"
#include "ops/linear.h"

namespace m2::cuda {

/// Products of one input. False, and nothing is done, where the weights differ in type and width or
/// do not suit the matrix units.
[[nodiscard]] bool stream_linears(std::span<const LinearArgs> products, Context& context);

}  // namespace m2::cuda
