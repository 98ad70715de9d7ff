// A guess which experts the next layer will choose, made before it gets its input.
#pragma once

#include <cstdint>
#include <span>

#include "m2/config.h"
#include "model/weights.h"
#include "ops/backend.h"

namespace m2 {

/// The router of the next layer, applied to the residual stream as it is before this layer's
/// experts have added to it. On a backend whose memory the host may use.
class LookAhead {
 public:
  /// Ids with repetitions, valid until the next call. residual: [T, H] f32.
  std::span<const std::int32_t> guess(const MiniMaxM2Config& config, const LayerWeights& next,
                                      const TensorView& residual, Backend& backend);

 private:
  std::int64_t max_tokens_ = 0;
  Tensor normed_;         // [T, H]
  Tensor router_logits_;  // [T, E]
  Tensor topk_ids_;       // [T, K] i32
  Tensor topk_weights_;   // [T, K]
};

}  // namespace m2
