#include "model/minimax_m2.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/philox.h"

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
  TensorView cos;   // [T, R / 2]
  TensorView sin;   // [T, R / 2]
  TensorView mask;  // the options' mask in the backend's memory

  // A seed of its own for every layer and purpose.
  [[nodiscard]] std::uint64_t dropout_seed(std::size_t layer) const {
    return derive_seed(*options.training_seed, 2 * layer);
  }
  [[nodiscard]] std::uint64_t jitter_seed(std::size_t layer) const {
    return derive_seed(*options.training_seed, 2 * layer + 1);
  }
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
  a.cos = Tensor(DType::kF32, {num_tokens, rope_.rotary_dim() / 2});
  a.sin = Tensor(DType::kF32, {num_tokens, rope_.rotary_dim() / 2});
  a.max_tokens = num_tokens;
}

// What the operations take on trust, since they see the arrays in the device's memory only.
void MiniMaxM2::check_batch(const Batch& batch, const KvCache& kv_cache) const {
  for (const std::int32_t id : batch.token_ids) {
    M2_REQUIRE(ErrorCode::kInvalidArgument, id >= 0 && id < config_.vocab_size,
               "input_ids: expected token ids below ", config_.vocab_size, ", got ", id);
  }
  for (const std::int64_t slot : batch.slot_mapping) {
    M2_CHECK(slot >= 0 && slot < kv_cache.num_tokens(), "slot ", slot, " is outside a KV cache of ",
             kv_cache.num_tokens(), " tokens");
  }
  const std::int64_t num_blocks = kv_cache.num_tokens() / kv_cache.block_size();
  for (std::size_t s = 0; s < batch.context_lens.size(); ++s) {
    const std::int64_t used =
        SequenceBlocks::blocks_for(batch.context_lens[s], kv_cache.block_size());
    M2_CHECK(used <= batch.max_blocks, "a context of ", batch.context_lens[s], " exceeds ",
             batch.max_blocks, " blocks");
    const std::int32_t* table =
        batch.block_tables.data() + static_cast<std::int64_t>(s) * batch.max_blocks;
    for (std::int64_t i = 0; i < used; ++i) {
      M2_CHECK(table[i] >= 0 && table[i] < num_blocks, "block ", table[i],
               " is outside a KV cache of ", num_blocks, " blocks");
    }
  }
}

void MiniMaxM2::embed(const Batch& batch, const TensorView& residual) {
  if (batch.inputs_embeds.empty()) {
    return backend_.embedding({uploads_.batch.token_ids, weights_->embed_tokens, residual});
  }
  float* to = residual.as<float>();
  std::int64_t row = 0;
  for (const std::span<const float> embeds : batch.inputs_embeds) {
    const auto size = static_cast<std::int64_t>(embeds.size());
    const Shape shape = {size / config_.hidden_size, config_.hidden_size};
    M2_CHECK(shape.num_elements() == size && row + shape[0] <= num_tokens_, "inputs_embeds of ",
             size, " numbers do not fill rows of ", config_.hidden_size);
    backend_.upload(view_of(embeds, shape), {to + row * config_.hidden_size, DType::kF32, shape});
    row += shape[0];
  }
  M2_CHECK(row == num_tokens_, "inputs_embeds of ", row, " tokens for a batch of ", num_tokens_);
}

TensorView MiniMaxM2::forward(const Batch& batch, KvCache& kv_cache,
                              const ForwardOptions& options) {
  check_batch(batch, kv_cache);
  num_tokens_ = batch.num_tokens();
  plan(num_tokens_);
  uploads_.batch.load(batch, backend_);
  const Shape rotation = {num_tokens_, rope_.rotary_dim() / 2};
  const TensorView cos = first(activations_.cos, rotation);
  const TensorView sin = first(activations_.sin, rotation);
  rope_.fill(batch.position_ids, cos, sin);
  const Pass pass{.batch = batch,
                  .kv_cache = kv_cache,
                  .options = options,
                  .cos = uploads_.cos.load(cos, backend_),
                  .sin = uploads_.sin.load(sin, backend_),
                  .mask = uploads_.mask.load(options.mask, backend_)};
  const TensorView residual = first(activations_.residual, {num_tokens_, config_.hidden_size});

  embed(batch, residual);
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
  const DeviceBatch& batch = uploads_.batch;
  const KvCacheView cache = pass.kv_cache.layer(layer);
  const bool training = pass.options.training_seed.has_value();
  Tensor attentions = new_attentions(pass);

  backend_.linear({.input = normed, .weight = weights.q, .output = q});
  backend_.linear({.input = normed, .weight = weights.k, .output = k});
  backend_.linear({.input = normed, .weight = weights.v, .output = v});
  backend_.qk_norm_rope({.q = q,
                         .k = k,
                         .q_weight = weights.q_norm,
                         .k_weight = weights.k_norm,
                         .eps = eps(),
                         .cos = pass.cos,
                         .sin = pass.sin,
                         .head_dim = head_dim});

  const Shape kv_heads = {num_tokens_, config_.num_key_value_heads, head_dim};
  const Shape q_heads = {num_tokens_, config_.num_attention_heads, head_dim};
  backend_.kv_append({.k = first(activations_.k, kv_heads),
                      .v = first(activations_.v, kv_heads),
                      .slot_mapping = batch.slot_mapping,
                      .cache = cache});
  backend_.attention({.q = first(activations_.q, q_heads),
                      .cache = cache,
                      .cu_seqlens = batch.cu_seqlens,
                      .context_lens = batch.context_lens,
                      .key_begin = batch.key_begin,
                      .key_end = batch.key_end,
                      .block_tables = batch.block_tables,
                      .max_context_len = pass.batch.max_context_len,
                      .max_queries = pass.batch.max_queries,
                      .key_mask = batch.key_mask,
                      .mask = pass.mask,
                      .fully_masked = pass.options.fully_masked,
                      .dropout = training ? static_cast<float>(config_.attention_dropout) : 0.0F,
                      .dropout_seed = training ? pass.dropout_seed(layer) : 0,
                      .scale = 1.0F / std::sqrt(static_cast<float>(head_dim)),
                      .output = first(activations_.attn_out, q_heads),
                      .probabilities = attentions.view()});
  if (pass.options.study.attentions) {
    pass.options.study_outputs->attentions.push_back(
        backend_.host_accessible() ? std::move(attentions) : host_copy(attentions.view()));
  }
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

  if (pass.options.training_seed && config_.router_jitter_noise > 0.0) {
    backend_.uniform_noise({.values = normed,
                            .jitter = static_cast<float>(config_.router_jitter_noise),
                            .seed = pass.jitter_seed(layer)});
  }
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
    pass.options.study_outputs->router_logits.push_back(host_copy(router_logits));
  }
}

TensorView MiniMaxM2::logits(std::span<const std::int32_t> rows) {
  const auto count = static_cast<std::int64_t>(rows.size());
  for (const std::int32_t row : rows) {
    M2_CHECK(row >= 0 && row < num_tokens_, "logits of row ", row, " of ", num_tokens_);
  }
  if (count > (logits_.present() ? logits_.shape()[0] : 0)) {
    head_input_ = backend_.allocate(DType::kF32, {count, config_.hidden_size});
    logits_ = backend_.allocate(DType::kF32, {count, config_.vocab_size});
    if (!backend_.host_accessible()) host_logits_ = Tensor(DType::kF32, logits_.shape());
  }
  // The rows of the hidden states are gathered as rows of a table are.
  const TensorView head_input = first(head_input_, {count, config_.hidden_size});
  const WeightView hidden_states = {.data = activations_.normed.view().data,
                                    .dtype = DType::kF32,
                                    .rows = num_tokens_,
                                    .cols = config_.hidden_size};
  backend_.embedding(
      {uploads_.logit_rows.load(view_of(rows, {count}), backend_), hidden_states, head_input});
  const TensorView output = first(logits_, {count, config_.vocab_size});
  backend_.linear({.input = head_input, .weight = weights_->lm_head, .output = output});
  if (backend_.host_accessible()) {
    backend_.synchronize();
    return output;
  }
  const TensorView host = first(host_logits_, output.shape);
  backend_.download(output, host);
  return host;
}

Tensor MiniMaxM2::host_copy(const TensorView& device) {
  Tensor host(device.dtype, device.shape);
  backend_.download(device, host.view());
  return host;
}

void MiniMaxM2::record_hidden_states(const Pass& pass, const TensorView& hidden_states) {
  if (!pass.options.study.hidden_states) return;
  pass.options.study_outputs->hidden_states.push_back(host_copy(hidden_states));
}

// Room for the probabilities of a layer, where the study wants them; absent otherwise.
Tensor MiniMaxM2::new_attentions(const Pass& pass) {
  if (!pass.options.study.attentions) return {};
  const Batch& batch = pass.batch;
  return backend_.allocate(DType::kF32, {batch.num_seqs(), config_.num_attention_heads,
                                         batch.max_queries, batch.max_context_len});
}

}  // namespace m2
