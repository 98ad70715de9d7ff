#include "model/causal_lm.h"

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "base/philox.h"
#include "model/cache_impl.h"
#include "model/losses.h"
#include "model/reshaped.h"

namespace m2 {
namespace {

bool is_eager(const std::string& attn_implementation) {
  M2_REQUIRE(
      ErrorCode::kInvalidArgument, attn_implementation == "eager" || attn_implementation == "sdpa",
      "attn_implementation: expected \"eager\" or \"sdpa\", got \"", attn_implementation, "\"");
  return attn_implementation == "eager";
}

void check_config_attentions(const MiniMaxM2Config& config, bool eager) {
  M2_REQUIRE(ErrorCode::kInvalidArgument, eager || !config.output_attentions,
             "The `output_attentions` attribute is not supported when using the "
             "`attn_implementation` set to sdpa. Please set it to 'eager' instead.");
}

// The cache of the call, or nothing: the one passed in, else a new one if use_cache says so.
std::shared_ptr<Cache> resolve_cache(const ForwardInputs& inputs, const MiniMaxM2Config& config) {
  if (inputs.past_key_values) return inputs.past_key_values;
  if (inputs.use_cache.value_or(config.use_cache)) return std::make_shared<DynamicCache>();
  return nullptr;
}

std::span<const float> embeddings_of(const ForwardPlan& plan, std::int64_t row) {
  if (!plan.embeddings.present()) return {};
  const std::int64_t size = plan.sequence_length * plan.embeddings.shape()[1];
  return {plan.embeddings.as<float>() + row * size, static_cast<std::size_t>(size)};
}

void fill_batch(const ForwardPlan& plan, const Cache::Impl& cache, Batch& batch) {
  const auto length = static_cast<std::size_t>(plan.sequence_length);
  const auto row_of = [&](const auto& values, std::int64_t row, std::size_t width) {
    const std::span all(values);
    return all.empty() ? all : all.subspan(static_cast<std::size_t>(row) * width, width);
  };
  batch.clear();
  for (std::int64_t row = 0; row < plan.batch_size; ++row) {
    BatchEntry entry = {
        .token_ids = row_of(plan.token_ids, row, length),
        .inputs_embeds = embeddings_of(plan, row),
        .position_ids = row_of(plan.position_ids, row, length),
        .num_cached_tokens = static_cast<std::int32_t>(cache.length),
        .blocks = &cache.rows[static_cast<std::size_t>(row)],
        .quantized_blocks =
            cache.pool ? &cache.quantized_rows[static_cast<std::size_t>(row)] : nullptr,
        .context_len = static_cast<std::int32_t>(plan.context_len),
        .key_begin = row_of(plan.key_begin, row, length),
        .key_end = row_of(plan.key_end, row, length),
        .key_mask = row_of(plan.key_mask, row, static_cast<std::size_t>(plan.context_len)),
    };
    if (cache.is_static()) entry.cache_positions = plan.cache_position;
    batch.add(entry);
  }
  batch.finish();
}

// What every kept position predicts; nothing without labels.
std::optional<std::vector<std::int64_t>> loss_targets(const ForwardInputs& inputs) {
  if (!inputs.labels.present()) return std::nullopt;
  if (inputs.shift_labels.present()) return read_integers("shift_labels", inputs.shift_labels);
  const Shape& shape = inputs.labels.shape;
  M2_REQUIRE(ErrorCode::kInvalidArgument, shape.rank() == 2, "labels: expected [B, S], got ",
             shape);
  return shift_labels_left(read_integers("labels", inputs.labels), shape[1], inputs.ignore_index);
}

// [B * S, W] tensors as [B, S, W].
std::vector<Tensor> in_rows(std::vector<Tensor> tensors, const ForwardPlan& plan) {
  for (Tensor& tensor : tensors) {
    const std::int64_t width = tensor.shape()[1];
    tensor = reshaped(std::move(tensor), {plan.batch_size, plan.sequence_length, width});
  }
  return tensors;
}

}  // namespace

struct CausalLm::Flags {
  Study study;
  std::vector<std::string> warnings;
};

struct CausalLm::Call {
  ForwardPlan plan;
  Flags flags;
  StudyOutputs study;
  std::shared_ptr<Cache> cache;  // holds keys and values of this call at least
  bool returns_cache = false;
  TensorView hidden_states;  // [B * S, H] on the head's backend, until the next call
};

CausalLm::CausalLm(const MiniMaxM2Config& config, std::shared_ptr<const ModelWeights> weights,
                   const Placement& placement, const std::string& attn_implementation)
    : config_(config),
      weights_(weights),
      decoder_(config, std::move(weights), placement),
      eager_(is_eager(attn_implementation)),
      router_aux_loss_coef_(static_cast<float>(config.router_aux_loss_coef)) {
  check_config_attentions(config_, eager_);
}

void CausalLm::set_attn_implementation(const std::string& name) {
  const bool eager = is_eager(name);
  check_config_attentions(config_, eager);
  eager_ = eager;
}

void CausalLm::manual_seed(std::uint64_t seed) {
  seed_ = seed;
  num_training_forwards_ = 0;
}

std::optional<std::uint64_t> CausalLm::next_training_seed() {
  if (!training_) return std::nullopt;
  return derive_seed(seed_, num_training_forwards_++);
}

CausalLm::Flags CausalLm::resolve_flags(const ForwardInputs& inputs) const {
  check_config_attentions(config_, eager_);
  Flags flags;
  flags.study.hidden_states = inputs.output_hidden_states.value_or(config_.output_hidden_states);
  flags.study.router_logits = inputs.output_router_logits.value_or(config_.output_router_logits);
  flags.study.attentions = inputs.output_attentions.value_or(config_.output_attentions);
  if (flags.study.attentions && !eager_) {
    flags.study.attentions = false;
    flags.warnings.emplace_back(
        "`sdpa` attention does not support `output_attentions=True`. Please set your attention to "
        "`eager` if you want any of these features.");
  }
  return flags;
}

CausalLm::Call CausalLm::prepare(const ForwardInputs& inputs) const {
  Call call = {.flags = resolve_flags(inputs), .cache = resolve_cache(inputs, config_)};
  ForwardContext context = {.eager = eager_, .has_cache = call.cache != nullptr};
  if (!call.cache) {
    call.cache = std::make_shared<DynamicCache>();
    call.cache->impl().options.one_pass = true;
  }
  const Cache::Impl& cache = call.cache->impl();
  context.static_cache = cache.is_static();
  context.past_length = cache.seq_length();
  context.cache_capacity = cache.options.capacity;
  call.plan = plan_forward(inputs, config_, context);
  call.returns_cache = context.has_cache;
  return call;
}

// Of the layers that were loaded, as many as the config says now.
std::int64_t CausalLm::num_layers() const {
  return std::clamp<std::int64_t>(config_.num_hidden_layers, 0,
                                  static_cast<std::int64_t>(weights_->layers.size()));
}

void CausalLm::execute(Call& call) {
  Cache::Impl& cache = call.cache->impl();
  cache.bind(config_, decoder_.placement(), call.plan.batch_size);
  cache.prepare(call.plan);
  fill_batch(call.plan, cache, batch_);
  call.hidden_states =
      decoder_.forward(batch_, *cache.kv_cache,
                       {.study = call.flags.study,
                        .study_outputs = &call.study,
                        .fully_masked = eager_ ? FullyMasked::kUniform : FullyMasked::kZero,
                        .mask = call.plan.mask.view(),
                        .training_seed = next_training_seed(),
                        .num_layers = num_layers()});
  cache.commit(call.plan);
  if (!call.returns_cache) call.cache = nullptr;
  call.study.hidden_states = in_rows(std::move(call.study.hidden_states), call.plan);
}

MoeModelOutputWithPast CausalLm::forward_model(const ForwardInputs& inputs) {
  Call call = prepare(inputs);
  execute(call);
  const ForwardPlan& plan = call.plan;
  Tensor last(DType::kF32, call.hidden_states.shape);
  decoder_.placement().head->download(call.hidden_states, last.view());
  return {.last_hidden_state = reshaped(
              std::move(last), {plan.batch_size, plan.sequence_length, config_.hidden_size}),
          .past_key_values = call.cache,
          .hidden_states = std::move(call.study.hidden_states),
          .attentions = std::move(call.study.attentions),
          .router_logits = std::move(call.study.router_logits),
          .warnings = std::move(call.flags.warnings)};
}

// Logits [B, S_kept, V], in pieces, so that the head's buffers stay small beside the result.
Tensor CausalLm::kept_logits(const Call& call, std::span<const std::int64_t> positions) {
  constexpr std::size_t kPiece = 128;
  const auto kept = static_cast<std::int64_t>(positions.size());
  Tensor logits(DType::kF32, {call.plan.batch_size, kept, config_.vocab_size});
  std::vector<std::int32_t> rows;
  for (std::int64_t row = 0; row < call.plan.batch_size; ++row) {
    for (const std::int64_t position : positions) {
      rows.push_back(static_cast<std::int32_t>(row * call.plan.sequence_length + position));
    }
  }
  for (std::size_t first = 0; first < rows.size(); first += kPiece) {
    const auto piece = std::span(rows).subspan(first, std::min(kPiece, rows.size() - first));
    const TensorView part = decoder_.logits(piece);
    std::copy_n(part.as<float>(), part.num_elements(),
                logits.as<float>() + static_cast<std::int64_t>(first) * config_.vocab_size);
  }
  return logits;
}

MoeCausalLMOutputWithPast CausalLm::forward(const ForwardInputs& inputs) {
  Call call = prepare(inputs);
  const auto positions = kept_positions(inputs, call.plan.sequence_length);
  const auto targets = loss_targets(inputs);
  const bool wants_aux_loss = call.flags.study.router_logits;
  const auto weights = wants_aux_loss
                           ? aux_loss_weights(inputs.attention_mask,
                                              {call.plan.batch_size, call.plan.sequence_length})
                           : std::vector<float>();
  execute(call);
  MoeCausalLMOutputWithPast outputs = {.logits = kept_logits(call, positions),
                                       .past_key_values = call.cache,
                                       .hidden_states = std::move(call.study.hidden_states),
                                       .attentions = std::move(call.study.attentions),
                                       .router_logits = std::move(call.study.router_logits),
                                       .warnings = std::move(call.flags.warnings)};
  if (wants_aux_loss) {
    outputs.aux_loss =
        load_balancing_loss(outputs.router_logits, decoder_.config().num_experts_per_tok, weights);
  }
  if (targets) {
    outputs.loss = causal_lm_loss({.logits = outputs.logits.view(),
                                   .targets = *targets,
                                   .ignore_index = inputs.ignore_index,
                                   .num_items_in_batch = inputs.num_items_in_batch});
    if (outputs.aux_loss) *outputs.loss += router_aux_loss_coef_ * *outputs.aux_loss;
  }
  return outputs;
}

}  // namespace m2
