#include "bench/expert_counter.h"

#include <set>

#include "ops/moe_route.h"

namespace m2::bench {

ExpertCounter::ExpertCounter(const MiniMaxM2& model, const ModelWeights& weights)
    : num_experts_(model.config().num_local_experts), top_k_(model.config().num_experts_per_tok) {
  for (std::size_t layer = 0; layer < weights.layers.size(); ++layer) {
    const Tensor& bias = biases_.emplace_back(DType::kF32, Shape{num_experts_});
    model.placement().mlps[layer]->download(weights.layers[layer].correction_bias, bias.view());
  }
}

std::int64_t ExpertCounter::count(const StudyOutputs& outputs) {
  std::int64_t hits = 0;
  std::vector<float> scores(static_cast<std::size_t>(num_experts_));
  std::vector<float> choice(scores.size());
  for (std::size_t layer = 0; layer < outputs.router_logits.size(); ++layer) {
    const TensorView logits = outputs.router_logits[layer].view();
    const std::int64_t num_tokens = logits.shape[0];
    const Tensor ids(DType::kI32, {num_tokens, top_k_});
    const Tensor topk_weights(DType::kF32, {num_tokens, top_k_});
    const MoeRouteArgs args = {.gate = {.rows = num_experts_},
                               .correction_bias = biases_[layer].view(),
                               .router_logits = logits,
                               .topk_ids = ids.view(),
                               .topk_weights = topk_weights.view()};
    for (std::int64_t t = 0; t < num_tokens; ++t) choose_experts(args, t, scores, choice);
    const auto* begin = ids.as<std::int32_t>();
    hits += std::ssize(std::set(begin, begin + ids.view().num_elements()));
  }
  return hits;
}

}  // namespace m2::bench
