// Dense products of two to eight tokens with F8_E4M3 weights.
#pragma once

#include <span>

#include "ops/linear.h"
#include "ops/rms_norm.h"

namespace m2::cuda {

struct Context;

namespace sm90 {

/// Makes products of one input in one launch; the input is normed on the way where `norm` is given,
/// whose output stays unwritten. False, and nothing done, for other tokens or where the device or
/// the weights do not fit.
[[nodiscard]] bool sliced_linears(std::span<const LinearArgs> products, const RmsNormArgs* norm,
                                  Context& context);

}  // namespace sm90
}  // namespace m2::cuda
