#include "model/minimax_m2.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <functional>

#include "base/error.h"
#include "model/expert_cache.h"
#include "model/forward_pass.h"

namespace m2 {
namespace {

std::atomic<std::int64_t> next_id = 1;

// The first rows of a planned buffer, as `shape`.
TensorView first(const Tensor& buffer, const Shape& shape) {
  M2_DCHECK(shape.num_elements() <= buffer.view().num_elements(), "buffer ", buffer.shape(),
            " is smaller than ", shape);
  return {buffer.view().data, buffer.view().dtype, shape};
}

bool are_all(std::span<const std::int32_t> rows, std::int64_t count) {
  const auto is_next = [next = 0](std::int32_t row) mutable { return row == next++; };
  return std::ssize(rows) == count && std::ranges::all_of(rows, is_next);
}

}  // namespace

MiniMaxM2::MiniMaxM2(const MiniMaxM2Config& config, std::shared_ptr<const ModelWeights> weights,
                     Placement placement)
    : config_(config),
      weights_(std::move(weights)),
      placement_(std::move(placement)),
      id_(next_id++),
      rope_(config),
      head_(weights_->lm_head) {
  const auto activation = activation_from_name(config.hidden_act);
  M2_REQUIRE(ErrorCode::kUnsupported, activation.has_value(), "hidden_act: \"", config.hidden_act,
             "\" is not supported");
  activation_ = *activation;
  M2_CHECK(placement_.layers.size() == weights_->layers.size() &&
               placement_.mlps.size() == weights_->layers.size(),
           "a placement of ", placement_.layers.size(), " layers and ", placement_.mlps.size(),
           " experts' blocks for ", weights_->layers.size());
  const auto add_stage = [&](const std::shared_ptr<Backend>& backend) {
    const auto same = [&](const Stage& stage) { return stage.backend == backend; };
    if (std::ranges::none_of(stages_, same)) stages_.push_back({.backend = backend});
  };
  add_stage(placement_.embedding);
  for (const auto& backend : placement_.layers) add_stage(backend);
  for (const auto& backend : placement_.mlps) add_stage(backend);
  add_stage(placement_.head);
}

MiniMaxM2::MiniMaxM2(const MiniMaxM2Config& config, std::shared_ptr<const ModelWeights> weights,
                     Backend& backend)
    : MiniMaxM2(config, weights,
                Placement::on(backend, static_cast<std::int64_t>(weights->layers.size()))) {}

Stage& MiniMaxM2::stage_of(const std::shared_ptr<Backend>& backend) {
  return *std::ranges::find_if(stages_,
                               [&](const Stage& stage) { return stage.backend == backend; });
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
  for (std::size_t s = 0; s < batch.context_lens.size(); ++s) {
    const std::int64_t used =
        SequenceBlocks::blocks_for(batch.context_lens[s], kv_cache.block_size());
    M2_CHECK(used <= batch.max_blocks, "a context of ", batch.context_lens[s], " exceeds ",
             batch.max_blocks, " blocks");
    const std::int32_t* table =
        batch.block_tables.data() + static_cast<std::int64_t>(s) * batch.max_blocks;
    for (std::int64_t i = 0; i < used; ++i) {
      M2_CHECK(kv_cache.has_block(table[i]), "block ", table[i], " is outside a KV cache of ",
               kv_cache.num_tokens(), " tokens");
    }
  }
}

// Activations and arrays of the batch on every backend.
void MiniMaxM2::load(const Batch& batch, const TensorView& mask) {
  const Shape rotation = {num_tokens_, rope_.rotary_dim() / 2};
  if (!cos_.present() || cos_.shape()[0] < num_tokens_) {
    cos_ = Tensor(DType::kF32, rotation);
    sin_ = Tensor(DType::kF32, rotation);
  }
  const TensorView cos = first(cos_, rotation);
  const TensorView sin = first(sin_, rotation);
  rope_.fill(batch.position_ids, cos, sin);
  for (Stage& stage : stages_) {
    stage.plan(config_, num_tokens_);
    stage.batch.load(batch, cos, sin, *stage.backend);
    stage.mask = stage.mask_buffer.load(mask, *stage.backend);
  }
}

void MiniMaxM2::embed(const Batch& batch, Stage& stage) {
  const TensorView residual = first(stage.residual, {num_tokens_, config_.hidden_size});
  if (batch.inputs_embeds.empty()) {
    return stage.backend->embedding({stage.batch.token_ids, weights_->embed_tokens, residual});
  }
  float* to = residual.as<float>();
  std::int64_t row = 0;
  for (const std::span<const float> embeds : batch.inputs_embeds) {
    const auto size = static_cast<std::int64_t>(embeds.size());
    const Shape shape = {size / config_.hidden_size, config_.hidden_size};
    M2_CHECK(shape.num_elements() == size && row + shape[0] <= num_tokens_, "inputs_embeds of ",
             size, " numbers do not fill rows of ", config_.hidden_size);
    stage.backend->upload(view_of(embeds, shape),
                          {to + row * config_.hidden_size, DType::kF32, shape});
    row += shape[0];
  }
  M2_CHECK(row == num_tokens_, "inputs_embeds of ", row, " tokens for a batch of ", num_tokens_);
}

// Takes the residual stream along to `stage`.
void MiniMaxM2::enter(Pass& pass, Stage& stage) {
  if (pass.stage == &stage) return;
  const Shape shape = {num_tokens_, config_.hidden_size};
  move_between(*pass.stage, first(pass.stage->residual, shape), stage,
               first(stage.residual, shape));
  pass.stage = &stage;
}

MiniMaxM2::Pass MiniMaxM2::begin(const Batch& batch, KvCache& kv_cache,
                                 const ForwardOptions& options) {
  check_batch(batch, kv_cache);
  const auto num_layers = static_cast<std::size_t>(
      options.num_layers.value_or(static_cast<std::int64_t>(weights_->layers.size())));
  M2_CHECK(num_layers <= weights_->layers.size(), num_layers, " layers of ",
           weights_->layers.size());
  num_tokens_ = batch.num_tokens();
  load(batch, options.mask);
  Pass pass{batch,
            kv_cache,
            options,
            kv_cache.is_offloaded() ? blocks_in_use(batch, kv_cache.block_size()) : BlocksInUse(),
            &stage_of(placement_.embedding),
            num_layers,
            batch.max_context_len};
  if (is_decode_step(pass)) {
    // What a device may have recorded serves every context of up to as many blocks.
    pass.max_context_len = batch.max_blocks * kv_cache.block_size();
    find_step_key(pass);
  }
  return pass;
}

TensorView MiniMaxM2::forward(const Batch& batch, KvCache& kv_cache,
                              const ForwardOptions& options) {
  Pass pass = begin(batch, kv_cache, options);
  if (is_decode_step(pass)) {
    const auto work = [&] { run(pass); };
    pass.stage->backend->run_step(step_key_, std::ref(work));
  } else {
    run(pass);
  }
  return first(stage_of(placement_.head).normed, {num_tokens_, config_.hidden_size});
}

TopLogits MiniMaxM2::step(const Batch& batch, KvCache& kv_cache, std::span<const std::int32_t> rows,
                          const ForwardOptions& options) {
  Pass pass = begin(batch, kv_cache, options);
  Backend& backend = *placement_.head;
  if (!is_decode_step(pass) || !are_all(rows, num_tokens_)) {
    run(pass);
    if (rows.empty()) return {};
    return head_.top(last_hidden_states(rows), rows, backend);
  }
  head_.plan(num_tokens_, backend, step_key_);
  const auto work = [&] {
    run_layers(pass);
    head_.find_top(last_norm(pass), backend);
  };
  backend.run_step(step_key_, std::ref(work));
  return head_.found_top(num_tokens_, backend);
}

void MiniMaxM2::run(Pass& pass) {
  run_layers(pass);
  const RmsNormArgs norm = last_norm(pass);
  pass.stage->backend->rms_norm(norm);
  record_hidden_states(pass, norm.output);
}

// Up to the residual stream behind the last one, on the head's backend.
void MiniMaxM2::run_layers(Pass& pass) {
  const Shape shape = {num_tokens_, config_.hidden_size};
  for (const Stage& stage : stages_) stage.batch.upload(*stage.backend);
  embed(pass.batch, *pass.stage);
  for (std::size_t layer = 0; layer < pass.num_layers; ++layer) {
    enter(pass, stage_of(placement_.layers[layer]));
    record_hidden_states(pass, first(pass.stage->residual, shape));
    decoder_layer(pass, layer);
  }
  enter(pass, stage_of(placement_.head));
}

RmsNormArgs MiniMaxM2::last_norm(const Pass& pass) {
  const Shape shape = {num_tokens_, config_.hidden_size};
  return {first(pass.stage->residual, shape), weights_->norm, eps(),
          first(pass.stage->normed, shape)};
}

void MiniMaxM2::decoder_layer(Pass& pass, std::size_t layer) {
  pass.kv_cache.upload(layer, pass.blocks.read);
  attention_block(pass, layer);
  pass.kv_cache.download(layer, pass.blocks.written);
  enter(pass, stage_of(placement_.mlps[layer]));
  moe_block(pass, layer);
}

// normed = input_norm(residual);
// residual += o(attention(rope(q_norm(q(normed))), rope(k_norm(k(normed))), v(normed)))
void MiniMaxM2::attention_block(const Pass& pass, std::size_t layer) {
  const LayerWeights& weights = weights_->layers[layer];
  Stage& stage = *pass.stage;
  Backend& backend = *stage.backend;
  const std::int64_t head_dim = config_.head_dim;
  const std::int64_t q_width = config_.num_attention_heads * head_dim;
  const std::int64_t kv_width = config_.num_key_value_heads * head_dim;
  const TensorView residual = first(stage.residual, {num_tokens_, config_.hidden_size});
  const TensorView normed = first(stage.normed, residual.shape);
  const TensorView q = first(stage.q, {num_tokens_, q_width});
  const TensorView k = first(stage.k, {num_tokens_, kv_width});
  const TensorView v = first(stage.v, k.shape);
  const DeviceBatch& batch = stage.batch;
  const KvCacheView cache = pass.kv_cache.layer(layer);
  const bool training = pass.options.training_seed.has_value();
  Tensor attentions = new_attentions(pass);

  const Shape kv_heads = {num_tokens_, config_.num_key_value_heads, head_dim};
  const Shape q_heads = {num_tokens_, config_.num_attention_heads, head_dim};
  backend.attention_block(
      {.norm = {residual, weights.input_norm, eps(), normed},
       .projections = {LinearArgs{.input = normed, .weight = weights.q, .output = q},
                       LinearArgs{.input = normed, .weight = weights.k, .output = k},
                       LinearArgs{.input = normed, .weight = weights.v, .output = v}},
       .rotate = {.q = q,
                  .k = k,
                  .q_weight = weights.q_norm,
                  .k_weight = weights.k_norm,
                  .eps = eps(),
                  .cos = batch.cos,
                  .sin = batch.sin,
                  .head_dim = head_dim},
       .append = {.k = first(stage.k, kv_heads),
                  .v = first(stage.v, kv_heads),
                  .slot_mapping = batch.slot_mapping,
                  .cache = cache},
       .attention = {.q = first(stage.q, q_heads),
                     .cache = cache,
                     .cu_seqlens = batch.cu_seqlens,
                     .context_lens = batch.context_lens,
                     .key_begin = batch.key_begin,
                     .key_end = batch.key_end,
                     .block_tables = batch.block_tables,
                     .max_context_len = pass.max_context_len,
                     .max_queries = pass.batch.max_queries,
                     .key_mask = batch.key_mask,
                     .mask = stage.mask,
                     .fully_masked = pass.options.fully_masked,
                     .dropout = training ? static_cast<float>(config_.attention_dropout) : 0.0F,
                     .dropout_seed = training ? pass.dropout_seed(layer) : 0,
                     .scale = 1.0F / std::sqrt(static_cast<float>(head_dim)),
                     .output = first(stage.attn_out, q_heads),
                     .probabilities = attentions.view()},
       .output = {.input = first(stage.attn_out, q.shape),
                  .weight = weights.attn_out,
                  .output = residual,
                  .accumulate = true}});
  if (pass.options.study.attentions) {
    pass.options.study_outputs->attentions.push_back(
        backend.host_accessible() ? std::move(attentions) : stage.host_copy(attentions.view()));
  }
}

// normed = post_attention_norm(residual);
// residual += sum over the chosen experts of weight * down(act(gate(normed)) * up(normed))
void MiniMaxM2::moe_block(const Pass& pass, std::size_t layer) {
  const LayerWeights& weights = weights_->layers[layer];
  Stage& stage = *pass.stage;
  Backend& backend = *stage.backend;
  const TensorView residual = first(stage.residual, {num_tokens_, config_.hidden_size});
  const TensorView normed = first(stage.normed, residual.shape);
  const TensorView router_logits =
      first(stage.router_logits, {num_tokens_, config_.num_local_experts});
  const TensorView topk_ids = first(stage.topk_ids, {num_tokens_, config_.num_experts_per_tok});
  const TensorView topk_weights = first(stage.topk_weights, topk_ids.shape);

  const RmsNormArgs norm = {residual, weights.post_attention_norm, eps(), normed};
  const MoeRouteArgs route = {.hidden_states = normed,
                              .gate = weights.gate,
                              .correction_bias = weights.correction_bias,
                              .router_logits = router_logits,
                              .topk_ids = topk_ids,
                              .topk_weights = topk_weights};
  const auto experts_of = [&](std::span<const ExpertWeights> experts) {
    return MoeExpertsArgs{.hidden_states = normed,
                          .topk_ids = topk_ids,
                          .topk_weights = topk_weights,
                          .experts = experts,
                          .activation = activation_,
                          .output = residual};
  };
  if (pass.options.training_seed && config_.router_jitter_noise > 0.0) {
    backend.rms_norm(norm);
    backend.uniform_noise({.values = normed,
                           .jitter = static_cast<float>(config_.router_jitter_noise),
                           .seed = pass.jitter_seed(layer)});
    backend.moe_route(route);
    backend.moe_experts(experts_of(experts_in_memory(stage, layer, topk_ids)));
  } else if (streams_experts(layer)) {
    backend.norm_route(norm, route);
    backend.moe_experts(experts_of(experts_in_memory(stage, layer, topk_ids)));
  } else {
    backend.moe_block({norm, route, experts_of(weights.experts)});
  }
  if (pass.options.study.router_logits) {
    pass.options.study_outputs->router_logits.push_back(stage.host_copy(router_logits));
  }
}

bool MiniMaxM2::streams_experts(std::size_t layer) const {
  return weights_->expert_cache != nullptr && weights_->expert_cache->covers(layer);
}

// The experts of a layer, of which the chosen ones were brought from the files where need be.
std::span<const ExpertWeights> MiniMaxM2::experts_in_memory(const Stage& stage, std::size_t layer,
                                                            const TensorView& topk_ids) {
  if (!streams_experts(layer)) return weights_->layers[layer].experts;
  ExpertCache* cache = weights_->expert_cache.get();
  stage.backend->synchronize();
  std::span<const std::int32_t> next_ids;
  if (layer + 1 < weights_->layers.size() && streams_experts(layer + 1)) {
    const TensorView residual = first(stage.residual, {num_tokens_, config_.hidden_size});
    next_ids = look_ahead_.guess(config_, weights_->layers[layer + 1], residual, *stage.backend);
  }
  const std::span ids(topk_ids.as<std::int32_t>(),
                      static_cast<std::size_t>(topk_ids.num_elements()));
  return cache->fetch(layer, ids, next_ids);
}

TensorView MiniMaxM2::logits(std::span<const std::int32_t> rows) {
  return head_.all(last_hidden_states(rows), rows, *placement_.head);
}

TensorView MiniMaxM2::logits_row(std::int64_t index) { return head_.row(index, *placement_.head); }

// The whole buffer, whose size does not change with every batch.
TensorView MiniMaxM2::last_hidden_states(std::span<const std::int32_t> rows) {
  for (const std::int32_t row : rows) {
    M2_CHECK(row >= 0 && row < num_tokens_, "logits of row ", row, " of ", num_tokens_);
  }
  return stage_of(placement_.head).normed.view();
}

void MiniMaxM2::record_hidden_states(const Pass& pass, const TensorView& hidden_states) {
  if (!pass.options.study.hidden_states) return;
  pass.options.study_outputs->hidden_states.push_back(pass.stage->host_copy(hidden_states));
}

// Room for the probabilities of a layer, where the study wants them; absent otherwise.
Tensor MiniMaxM2::new_attentions(const Pass& pass) {
  if (!pass.options.study.attentions) return {};
  const Batch& batch = pass.batch;
  return pass.stage->backend->allocate(DType::kF32, {batch.num_seqs(), config_.num_attention_heads,
                                                     batch.max_queries, batch.max_context_len});
}

}  // namespace m2
