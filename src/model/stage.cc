#include "model/stage.h"

namespace m2 {

void Stage::plan(const MiniMaxM2Config& config, std::int64_t num_tokens) {
  if (num_tokens <= max_tokens) return;
  const auto buffer = [&](std::int64_t width, DType dtype = DType::kF32) {
    return backend->allocate(dtype, {num_tokens, width});
  };
  const std::int64_t kv_width = config.num_key_value_heads * config.head_dim;
  const std::int64_t q_width = config.num_attention_heads * config.head_dim;
  residual = buffer(config.hidden_size);
  normed = buffer(config.hidden_size);
  q = buffer(q_width);
  k = buffer(kv_width);
  v = buffer(kv_width);
  attn_out = buffer(q_width);
  router_logits = buffer(config.num_local_experts);
  topk_ids = buffer(config.num_experts_per_tok, DType::kI32);
  topk_weights = buffer(config.num_experts_per_tok);
  max_tokens = num_tokens;
}

Tensor Stage::host_copy(const TensorView& device) const {
  Tensor host(device.dtype, device.shape);
  backend->download(device, host.view());
  return host;
}

void move_between(const Stage& from, const TensorView& source, const Stage& to,
                  const TensorView& target) {
  if (to.backend->host_accessible()) return from.backend->download(source, target);
  if (from.backend->host_accessible()) {
    from.backend->synchronize();
    return to.backend->upload(source, target);
  }
  const Tensor host = from.host_copy(source);
  to.backend->upload(host.view(), target);
}

}  // namespace m2
