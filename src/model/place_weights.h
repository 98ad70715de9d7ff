// Moves weights to the devices of a placement.
#pragma once

#include "model/placement.h"
#include "model/weights.h"

namespace m2 {

/// The same weights, each in the memory of the backend that uses it. What stays in the host's
/// memory still points into the mapped files, which the result keeps alive. `progress` counts
/// embedding, layers and head.
[[nodiscard]] ModelWeights place_weights(const ModelWeights& weights, const Placement& placement,
                                         const LoadProgress& progress = {});

}  // namespace m2
