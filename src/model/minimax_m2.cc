#include "model/minimax_m2.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace m2 {
namespace {

// The first rows of a planned buffer, as `shape`.
TensorView first(const Tensor& buffer, const Shape& shape) {
  M2_DCHECK(shape.num_elements() <= buffer.view().num_elements(), "buffer ", buffer.shape(),
            " is smaller than ", shape);
  return {buffer.view().data, buffer.view().dtype, shape};
}

}  // namespace

struct MiniMaxM2::Pass {
  const Batch& batch;
  KvCache& kv_cache;
  const ForwardOptions& options;
};

MiniMaxM2::MiniMaxM2(const MiniMaxM2Config& config, std::shared_ptr<const ModelWeights> weights,
                     Backend& backend)
    : config_(config), weights_(std::move(weights)), backend_(backend), rope_(config) {
  const auto activation = activation_from_name(config.hidden_act);
  M2_REQUIRE(ErrorCode::kUnsupported, activation.has_value(), "hidden_act: \"", config.hidden_act,
             "\" is not supported");
  activation_ = *activation;
}

void MiniMaxM2::plan(std::int64_t num_tokens) {
  Activations& a = activations_;
  if (num_tokens <= a.max_tokens) return;
  const auto buffer = [&](std::int64_t width, DType dtype = DType::kF32) {
    return backend_.allocate(dtype, {num_tokens, width});
  };
  const std::int64_t kv_width = config_.num_key_value_heads * config_.head_dim;
  const std::int64_t q_width = config_.num_attention_heads * config_.head_dim;
  a.residual = buffer(config_.hidden_size);
  a.normed = buffer(config_.hidden_size);
  a.q = buffer(q_width);
  a.k = buffer(kv_width);
  a.v = buffer(kv_width);
  a.attn_out = buffer(q_width);
  a.router_logits = buffer(config_.num_local_experts);
  a.topk_ids = buffer(config_.num_experts_per_tok, DType::kI32);
  a.topk_weights = buffer(config_.num_experts_per_tok);
  a.cos = buffer(rope_.rotary_dim() / 2);
  a.sin = buffer(rope_.rotary_dim() / 2);
  a.max_tokens = num_tokens;
}

TensorView MiniMaxM2::forward(const Batch& batch, KvCache& kv_cache,
                              const ForwardOptions& options) {
  for (const std::int32_t id : batch.token_ids) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, id >= 0 && id < config_.vocab_size,
               "input_ids: expected token ids below ", config_.vocab_size, ", got ", id);
  }
  num_tokens_ = batch.num_tokens();
  plan(num_tokens_);
  const Pass pass{batch, kv_cache, options};
  const TensorView residual = first(activations_.residual, {num_tokens_, config_.hidden_size});

  backend_.embedding({batch.token_ids, weights_->embed_tokens, residual});
  const Shape rotation = {num_tokens_, rope_.rotary_dim() / 2};
  rope_.fill(batch.position_ids, first(activations_.cos, rotation),
             first(activations_.sin, rotation));
  for (std::size_t layer = 0; layer < weights_->layers.size(); ++layer) {
    record_hidden_states(pass, residual);
    decoder_layer(pass, layer);
  }
  const TensorView hidden_states = first(activations_.normed, residual.shape);
  backend_.rms_norm({residual, weights_->norm, eps(), hidden_states});
  record_hidden_states(pass, hidden_states);
  return hidden_states;
}

void MiniMaxM2::decoder_layer(const Pass& pass, std::size_t layer) {
  const LayerWeights& weights = weights_->layers[layer];
  const TensorView residual = first(activations_.residual, {num_tokens_, config_.hidden_size});
  const TensorView normed = first(activations_.normed, residual.shape);

  backend_.rms_norm({residual, weights.input_norm, eps(), normed});
  attention_block(pass, layer);
  backend_.rms_norm({residual, weights.post_attention_norm, eps(), normed});
  moe_block(pass, layer);
}

// residual += o(attention(rope(q_norm(q(normed))), rope(k_norm(k(normed))), v(normed)))
void MiniMaxM2::attention_block(const Pass& pass, std::size_t layer) {
  const LayerWeights& weights = weights_->layers[layer];
  const std::int64_t head_dim = config_.head_dim;
  const std::int64_t q_width = config_.num_attention_heads * head_dim;
  const std::int64_t kv_width = config_.num_key_value_heads * head_dim;
  const TensorView residual = first(activations_.residual, {num_tokens_, config_.hidden_size});
  const TensorView normed = first(activations_.normed, residual.shape);
  const TensorView q = first(activations_.q, {num_tokens_, q_width});
  const TensorView k = first(activations_.k, {num_tokens_, kv_width});
  const TensorView v = first(activations_.v, k.shape);
  const TensorView rotation = first(activations_.cos, {num_tokens_, rope_.rotary_dim() / 2});
  const Batch& batch = pass.batch;

  backend_.linear({.input = normed, .weight = weights.q, .output = q});
  backend_.linear({.input = normed, .weight = weights.k, .output = k});
  backend_.linear({.input = normed, .weight = weights.v, .output = v});
  backend_.qk_norm_rope({.q = q,
                         .k = k,
                         .q_weight = weights.q_norm,
                         .k_weight = weights.k_norm,
                         .eps = eps(),
                         .cos = rotation,
                         .sin = first(activations_.sin, rotation.shape),
                         .head_dim = head_dim});

  const Shape kv_heads = {num_tokens_, config_.num_key_value_heads, head_dim};
  const Shape q_heads = {num_tokens_, config_.num_attention_heads, head_dim};
  backend_.kv_append({.k = first(activations_.k, kv_heads),
                      .v = first(activations_.v, kv_heads),
                      .slot_mapping = batch.slot_mapping,
                      .key_cache = pass.kv_cache.keys(layer),
                      .value_cache = pass.kv_cache.values(layer)});
  backend_.attention({.q = first(activations_.q, q_heads),
                      .key_cache = pass.kv_cache.keys(layer),
                      .value_cache = pass.kv_cache.values(layer),
                      .cu_seqlens = batch.cu_seqlens,
                      .context_lens = batch.context_lens,
                      .block_tables = batch.block_tables,
                      .max_blocks = batch.max_blocks,
                      .key_mask = batch.key_mask,
                      .mask_stride = batch.mask_stride,
                      .fully_masked = pass.options.fully_masked,
                      .scale = 1.0F / std::sqrt(static_cast<float>(head_dim)),
                      .output = first(activations_.attn_out, q_heads),
                      .probabilities = new_attentions(pass)});
  backend_.linear({.input = first(activations_.attn_out, q.shape),
                   .weight = weights.attn_out,
                   .output = residual,
                   .accumulate = true});
}

// residual += sum over the chosen experts of weight * down(act(gate(normed)) * up(normed))
void MiniMaxM2::moe_block(const Pass& pass, std::size_t layer) {
  const LayerWeights& weights = weights_->layers[layer];
  const TensorView residual = first(activations_.residual, {num_tokens_, config_.hidden_size});
  const TensorView normed = first(activations_.normed, residual.shape);
  const TensorView router_logits =
      first(activations_.router_logits, {num_tokens_, config_.num_local_experts});
  const TensorView topk_ids =
      first(activations_.topk_ids, {num_tokens_, config_.num_experts_per_tok});
  const TensorView topk_weights = first(activations_.topk_weights, topk_ids.shape);

  backend_.moe_route({.hidden_states = normed,
                      .gate = weights.gate,
                      .correction_bias = weights.correction_bias,
                      .router_logits = router_logits,
                      .topk_ids = topk_ids,
                      .topk_weights = topk_weights});
  backend_.moe_experts({.hidden_states = normed,
                        .topk_ids = topk_ids,
                        .topk_weights = topk_weights,
                        .experts = weights.experts,
                        .activation = activation_,
                        .output = residual});
  if (pass.options.study.router_logits) {
    backend_.synchronize();
    pass.options.study_outputs->router_logits.push_back(Tensor::copy_of(router_logits));
  }
}

TensorView MiniMaxM2::logits(std::span<const std::int32_t> rows) {
  const auto count = static_cast<std::int64_t>(rows.size());
  if (count > (logits_.view().present() ? logits_.shape()[0] : 0)) {
    head_input_ = backend_.allocate(DType::kF32, {count, config_.hidden_size});
    logits_ = backend_.allocate(DType::kF32, {count, config_.vocab_size});
  }
  // The rows of the hidden states are gathered as rows of a table are.
  const TensorView head_input = first(head_input_, {count, config_.hidden_size});
  const WeightView hidden_states = {.data = activations_.normed.view().data,
                                    .dtype = DType::kF32,
                                    .rows = num_tokens_,
                                    .cols = config_.hidden_size};
  backend_.embedding({rows, hidden_states, head_input});
  const TensorView output = first(logits_, {count, config_.vocab_size});
  backend_.linear({.input = head_input, .weight = weights_->lm_head, .output = output});
  backend_.synchronize();
  return output;
}

void MiniMaxM2::record_hidden_states(const Pass& pass, const TensorView& hidden_states) {
  if (!pass.options.study.hidden_states) return;
  backend_.synchronize();
  pass.options.study_outputs->hidden_states.push_back(Tensor::copy_of(hidden_states));
}

// Room for the probabilities of a layer, where the study wants them; absent otherwise.
TensorView MiniMaxM2::new_attentions(const Pass& pass) {
  if (!pass.options.study.attentions) return {};
  const Batch& batch = pass.batch;
  const std::int64_t num_seqs = batch.num_seqs();
  const Shape shape = {num_seqs, config_.num_attention_heads, num_tokens_ / num_seqs,
                       batch.context_lens[0]};
  return pass.options.study_outputs->attentions.emplace_back(DType::kF32, shape).view();
}

}  // namespace m2
