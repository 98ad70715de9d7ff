// Dense products of up to eight tokens (row_ring.cuh).
#pragma once

#include <span>

#include "cuda/context.h"

namespace m2::cuda {

/// Makes products of one input in one launch; the input is normed on the way where `norm` is given.
/// False, and nothing done, for more tokens, wide rows or weights that do not come by stages.
[[nodiscard]] bool few_tokens_linears(std::span<const LinearArgs> products, const RmsNormArgs* norm,
                                      Context& context);

}  // namespace m2::cuda
