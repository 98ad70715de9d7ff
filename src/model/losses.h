// The language-model loss and the load-balancing loss.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "m2/tensor.h"

namespace m2 {

constexpr std::int64_t kIgnoreIndex = -100;

/// Labels [B, S] one position to the left: position s gets label s + 1, the last one kIgnoreIndex
/// or whatever `ignore_index` is.
std::vector<std::int64_t> shift_labels_left(std::span<const std::int64_t> labels,
                                            std::int64_t length, std::int64_t ignore_index);

struct CausalLmLossArgs {
  TensorView logits;                      // [B, S, V] f32
  std::span<const std::int64_t> targets;  // [B * S]: position s predicts targets[s]
  std::int64_t ignore_index = kIgnoreIndex;
  std::optional<double> num_items_in_batch;
};

/// Mean over the targets that are not ignore_index of logsumexp(z) - z[target]; their sum divided
/// by num_items_in_batch where that is given. The mean of no target is NaN. Throws kInvalidArgument
/// when the sizes differ or a target is outside [0, V), naming its place.
float causal_lm_loss(const CausalLmLossArgs& args);

/// E * sum over slots j and experts e of f[j, e] * q[e], where, over the rows of all layers
/// together, q is the mean of softmax(router logits) and f the share of rows whose j-th best expert
/// is e. Balanced routing gives top_k. Rows count with their weight (an attention mask); a sum of
/// weights of 0 gives NaN. router_logits: one [T, E] f32 a layer; weights [T] or empty.
float load_balancing_loss(std::span<const Tensor> router_logits, std::int64_t top_k,
                          std::span<const float> weights);

}  // namespace m2
