// int4 experts of the fewest tokens.
#pragma once

#include "cuda/context.h"

namespace m2::cuda {

/// In one kernel; false for more tokens or for other than the published widths.
[[nodiscard]] bool int4_few_experts(const MoeExpertsArgs& args, Context& context);

}  // namespace m2::cuda
