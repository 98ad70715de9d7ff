// Which keys every query of a forward call sees.
#pragma once

#include "model/forward_plan.h"

namespace m2 {

/// Fills key_begin, key_end, key_mask and mask of a plan that has everything else.
void plan_masks(const TensorView& attention_mask, const MiniMaxM2Config& config,
                const ForwardContext& context, ForwardPlan& plan);

}  // namespace m2
