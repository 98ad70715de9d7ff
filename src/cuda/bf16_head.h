// Products of four to eight tokens with a BF16 matrix of very many rows.
#pragma once

#include "cuda/context.h"

namespace m2::cuda {

/// Makes the product, of the rows of `norm` where there is one, unless it is for another kernel:
/// of fewer rows, other columns than 3,072, other numbers of tokens, other weights.
[[nodiscard]] bool bf16_head(const LinearArgs& args, const RmsNormArgs* norm, Context& context);

}  // namespace m2::cuda
