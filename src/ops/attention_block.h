// The attention half of a layer as a whole, so that a device may keep what lies between its parts
// in memory and types of its own.
#pragma once

#include <array>

#include "ops/attention.h"
#include "ops/kv_append.h"
#include "ops/linear.h"
#include "ops/qk_norm_rope.h"
#include "ops/rms_norm.h"

namespace m2 {

/// The parts in their order; each takes what those before it give. Outputs between them are room
/// for numbers that may stay unwritten; the cache, `output.output` and probabilities are written.
struct AttentionBlockArgs {
  RmsNormArgs norm;
  std::array<LinearArgs, 3> projections;  // q, k and v of the norm's output
  QkNormRopeArgs rotate;                  // q and k, in place
  KvAppendArgs append;                    // k and v
  AttentionArgs attention;                // of q
  LinearArgs output;                      // of the attention's output
};

}  // namespace m2
