#include "model/look_ahead.h"

namespace m2 {

std::span<const std::int32_t> LookAhead::guess(const MiniMaxM2Config& config,
                                               const LayerWeights& next, const TensorView& residual,
                                               Backend& backend) {
  const std::int64_t num_tokens = residual.shape[0];
  const std::int64_t top_k = config.num_experts_per_tok;
  if (num_tokens > max_tokens_) {
    max_tokens_ = num_tokens;
    normed_ = backend.allocate(DType::kF32, residual.shape);
    router_logits_ = backend.allocate(DType::kF32, {num_tokens, config.num_local_experts});
    topk_ids_ = backend.allocate(DType::kI32, {num_tokens, top_k});
    topk_weights_ = backend.allocate(DType::kF32, {num_tokens, top_k});
  }
  const TensorView normed = {normed_.view().data, DType::kF32, residual.shape};
  const TensorView topk_ids = {topk_ids_.view().data, DType::kI32, {num_tokens, top_k}};
  backend.rms_norm(
      {residual, next.post_attention_norm, static_cast<float>(config.rms_norm_eps), normed});
  backend.moe_route({.hidden_states = normed,
                     .gate = next.gate,
                     .correction_bias = next.correction_bias,
                     .router_logits = {router_logits_.view().data,
                                       DType::kF32,
                                       {num_tokens, config.num_local_experts}},
                     .topk_ids = topk_ids,
                     .topk_weights = {topk_weights_.view().data, DType::kF32, topk_ids.shape}});
  backend.synchronize();
  return {topk_ids.as<std::int32_t>(), static_cast<std::size_t>(topk_ids.num_elements())};
}

}  // namespace m2
