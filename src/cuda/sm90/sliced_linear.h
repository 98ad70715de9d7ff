// Dense products of two to eight tokens with F8_E4M3 weights of many columns.
#pragma once

#include <span>

#include "ops/linear.h"

namespace m2::cuda {

struct Context;

namespace sm90 {

/// Makes products of one input in one launch. False, and nothing done, for other tokens, few
/// columns or where the device or the weights do not fit.
[[nodiscard]] bool sliced_linears(std::span<const LinearArgs> products, Context& context);

}  // namespace sm90
}  // namespace m2::cuda
