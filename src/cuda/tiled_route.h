#pragma once

#include "ops/moe_route.h"
#include "ops/rms_norm.h"

namespace m2::cuda {

struct Context;

/// norm_route of up to 64 tokens; false where it does not fit.
[[nodiscard]] bool tiled_norm_route(const RmsNormArgs& norm, const MoeRouteArgs& route,
                                    Context& context);

}  // namespace m2::cuda
