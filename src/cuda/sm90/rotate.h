// Norm and rotary embedding of many tokens whose projections are BF16.
#pragma once

#include "cuda/context.h"

namespace m2::cuda::sm90 {

/// The projections of a batch, in the buffers of the context.
struct HeadRows {
  void* q;  // [T, Nq * 128] bf16
  void* k;  // [T, Nkv * 128] bf16
  void* v;  // the same
};

/// Heads of 128, up to 64 of q and 16 of k, and a cache of BF16 or F8.
[[nodiscard]] bool fits_rotate(const QkNormRopeArgs& rotate, const KvAppendArgs& append);
/// q is normed and rotated in place, and written to rotate.q, too, where `plain_q`; k and v go to
/// the cache.
void rotate_and_append(const HeadRows& rows, const QkNormRopeArgs& rotate,
                       const KvAppendArgs& append, bool plain_q, const Context& context);

}  // namespace m2::cuda::sm90
