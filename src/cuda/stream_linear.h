// Dense products through the weight rings.
#pragma once

#include <span>

#include "cuda/context.h"
#include "ops/linear.h"
#include "ops/rms_norm.h"

namespace m2::cuda {

/// Products of one input, or of norm->input normed on the way (its output stays untouched). False,
/// and nothing is done, where the weights differ in type and width or do not suit the matrix units.
[[nodiscard]] bool stream_linears(std::span<const LinearArgs> products, const RmsNormArgs* norm,
                                  Context& context);

}  // namespace m2::cuda
