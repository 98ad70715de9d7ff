// Experts of more tokens than one pass takes.
#pragma once

#include "ops/moe_experts.h"

namespace m2::cuda {

inline TensorView rows_of(const TensorView& all, std::int64_t first, std::int64_t count) {
  const std::int64_t row_bytes = all.shape[1] * static_cast<std::int64_t>(dtype_size(all.dtype));
  return {static_cast<char*>(all.data) + first * row_bytes, all.dtype, {count, all.shape[1]}};
}

/// The call for `count` tokens from `first` on.
inline MoeExpertsArgs tokens_of(const MoeExpertsArgs& args, std::int64_t first,
                                std::int64_t count) {
  return {.hidden_states = rows_of(args.hidden_states, first, count),
          .topk_ids = rows_of(args.topk_ids, first, count),
          .topk_weights = rows_of(args.topk_weights, first, count),
          .experts = args.experts,
          .activation = args.activation,
          .output = rows_of(args.output, first, count)};
}

}  // namespace m2::cuda
