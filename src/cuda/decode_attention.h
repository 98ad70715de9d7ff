#pragma once

#include "ops/attention.h"
#include "ops/kv_append.h"
#include "ops/qk_norm_rope.h"

namespace m2::cuda {

struct Context;

/// qk_norm_rope, kv_append and attention for one new token of each of a few sequences, in one
/// launch; q and k themselves stay as they were. A sequence's new token is the last of its context
/// and sees at least itself. False where the cache or the sizes do not fit.
[[nodiscard]] bool decode_attention(const QkNormRopeArgs& rotate, const KvAppendArgs& append,
                                    const AttentionArgs& args, Context& context);

}  // namespace m2::cuda
