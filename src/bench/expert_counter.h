// Which experts a forward pass really used.
#pragma once

#include <cstdint>
#include <vector>

#include "model/minimax_m2.h"

namespace m2::bench {

/// Chooses the experts on the host again, from the router's logits.
class ExpertCounter {
 public:
  /// The model's weights, where its placement has put them.
  ExpertCounter(const MiniMaxM2& model, const ModelWeights& weights);

  /// Different experts of all layers together that the tokens of a pass with router logits used.
  [[nodiscard]] std::int64_t count(const StudyOutputs& outputs);

 private:
  std::int64_t num_experts_;
  std::int64_t top_k_;
  std::vector<Tensor> biases_;  // L of [E] f32 in the host's memory
};

}  // namespace m2::bench
