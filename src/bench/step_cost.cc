#include "bench/step_cost.h"

#include "ops/kv_cache_view.h"

namespace m2::bench {
namespace {

double bytes_of(const WeightView& weight) { return static_cast<double>(weight.num_bytes()); }

double elements_of(const WeightView& weight) {
  return static_cast<double>(weight.rows) * static_cast<double>(weight.cols);
}

}  // namespace

StepCost& StepCost::operator+=(const StepCost& other) {
  weight_bytes += other.weight_bytes;
  kv_bytes += other.kv_bytes;
  operations += other.operations;
  return *this;
}

CostModel::CostModel(const MiniMaxM2Config& config, const ModelWeights& weights,
                     KvFormat kv_format) {
  const auto num_layers = static_cast<double>(weights.layers.size());
  double token_elements = 0.0;
  for (const LayerWeights& layer : weights.layers) {
    for (const WeightView* matrix : {&layer.q, &layer.k, &layer.v, &layer.attn_out, &layer.gate}) {
      dense_bytes_ += bytes_of(*matrix);
      token_elements += elements_of(*matrix);
    }
    const ExpertWeights& expert = layer.experts.front();
    for (const WeightView* matrix : {&expert.gate, &expert.up, &expert.down}) {
      expert_bytes_ += bytes_of(*matrix) / num_layers;
      token_elements += elements_of(*matrix) * static_cast<double>(config.num_experts_per_tok);
    }
  }
  head_bytes_ = bytes_of(weights.lm_head);
  embedding_row_bytes_ =
      bytes_of(weights.embed_tokens) / static_cast<double>(weights.embed_tokens.rows);
  const auto kv_width = static_cast<double>(config.num_key_value_heads * config.head_dim);
  kv_token_bytes_ =
      2.0 * num_layers * kv_width * static_cast<double>(dtype_size(storage_dtype(kv_format)));
  token_operations_ = 2.0 * token_elements;
  key_operations_ =
      4.0 * num_layers * static_cast<double>(config.num_attention_heads * config.head_dim);
  logit_operations_ = 2.0 * elements_of(weights.lm_head);
}

StepCost CostModel::cost(const Step& step) const {
  const auto seqs = static_cast<double>(step.num_seqs);
  const auto tokens = static_cast<double>(step.num_tokens);
  const auto cached = static_cast<double>(step.num_cached);
  const double keys_seen = seqs * tokens * (cached + (tokens + 1.0) / 2.0);
  return {.weight_bytes = dense_bytes_ + static_cast<double>(step.experts_used) * expert_bytes_ +
                          (step.num_logits > 0 ? head_bytes_ : 0.0) +
                          seqs * tokens * embedding_row_bytes_,
          .kv_bytes = seqs * (cached + tokens) * kv_token_bytes_,
          .operations = seqs * tokens * token_operations_ + keys_seen * key_operations_ +
                        static_cast<double>(step.num_logits) * logit_operations_};
}

}  // namespace m2::bench
