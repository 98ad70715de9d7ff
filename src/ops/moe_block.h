// The experts' half of a layer as a whole, so that a device may choose the experts where it uses
// them.
#pragma once

#include "ops/moe_experts.h"
#include "ops/moe_route.h"
#include "ops/rms_norm.h"

namespace m2 {

/// The parts in their order; each takes what those before it give. The norm's output may stay
/// unwritten: it is room for it.
struct MoeBlockArgs {
  RmsNormArgs norm;
  MoeRouteArgs route;      // of the norm's output
  MoeExpertsArgs experts;  // that the router chose
};

}  // namespace m2
