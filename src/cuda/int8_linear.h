// Dense products with int8 weights.
#pragma once

#include <span>

#include "cuda/context.h"
#include "ops/linear.h"

namespace m2::cuda {

/// Products of one input, the output of `norm` where there is one (it may stay unwritten), with
/// int8 weights; false, and nothing done, for other weights. Up to 64
/// tokens meet the codes, and more of them those of a head, 64 at a time; for other matrices of
/// more tokens the weights become BF16 in scratch memory first.
[[nodiscard]] bool int8_linears(std::span<const LinearArgs> products, const RmsNormArgs* norm,
                                Context& context);

}  // namespace m2::cuda
