// The language-model loss and the load-balancing loss.
#pragma once

#include <cstdint>
#include <span>

#include "m2/tensor.h"

namespace m2 {

constexpr std::int64_t kIgnoreIndex = -100;

/// Mean over the valid targets of logsumexp(z) - z[target], where position s predicts label
/// s + 1 of its row. Labels equal to kIgnoreIndex do not count; without any valid target the
/// result is NaN. logits [B, S, V] f32, labels [B * S].
/// Throws kInvalidArgument naming the position of a label outside [0, V).
float causal_lm_loss(const TensorView& logits, std::span<const std::int64_t> labels);

/// E * sum over slots j and experts e of f[j, e] * q[e], where, over the rows of all layers
/// together, q is the mean of softmax(router logits) and f the share of rows whose j-th best expert
/// is e. Balanced routing gives top_k. Rows whose mask is 0 do not count.
/// router_logits: one [T, E] f32 a layer; mask [T] or empty.
float load_balancing_loss(std::span<const Tensor> router_logits, std::int64_t top_k,
                          std::span<const std::uint8_t> mask);

}  // namespace m2
