// A tiny seeded MiniMax-M2 in memory, so that the whole stack runs without a checkpoint.
#pragma once

#include <cmath>
#include <memory>
#include <random>
#include <vector>

#include "m2/config.h"
#include "model/weights.h"

namespace m2::test {

/// Two layers, grouped KV heads, half of each head rotary, six experts of which two are chosen.
inline MiniMaxM2Config tiny_config() {
  MiniMaxM2Config config;
  config.vocab_size = 67;
  config.hidden_size = 32;
  config.intermediate_size = 24;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 16;
  config.max_position_embeddings = 512;
  config.num_local_experts = 6;
  config.num_experts_per_tok = 2;
  config.rope.partial_rotary_factor = 0.5;
  config.rope.rope_theta = 10000.0;
  config.bos_token_id = 1;
  config.eos_token_ids = {2};
  return config;
}

/// Float32 weights drawn from `seed`; the views in the result own their memory.
class TinyWeights {
 public:
  TinyWeights(const MiniMaxM2Config& config, unsigned seed) : random_(seed) {
    weights_.embed_tokens = matrix(config.vocab_size, config.hidden_size, 1.0F);
    weights_.lm_head = matrix(config.vocab_size, config.hidden_size, 0.6F);
    weights_.norm = vector(config.hidden_size, 1.0F, 0.1F);
    const std::int64_t q_width = config.num_attention_heads * config.head_dim;
    const std::int64_t kv_width = config.num_key_value_heads * config.head_dim;
    for (std::int64_t l = 0; l < config.num_hidden_layers; ++l) {
      LayerWeights layer;
      layer.input_norm = vector(config.hidden_size, 1.0F, 0.1F);
      layer.post_attention_norm = vector(config.hidden_size, 1.0F, 0.1F);
      layer.q_norm = vector(q_width, 1.0F, 0.1F);
      layer.k_norm = vector(kv_width, 1.0F, 0.1F);
      layer.q = matrix(q_width, config.hidden_size, 0.2F);
      layer.k = matrix(kv_width, config.hidden_size, 0.2F);
      layer.v = matrix(kv_width, config.hidden_size, 0.2F);
      layer.attn_out = matrix(config.hidden_size, q_width, 0.2F);
      layer.gate = matrix(config.num_local_experts, config.hidden_size, 0.3F);
      layer.correction_bias = vector(config.num_local_experts, 0.0F, 0.2F);
      for (std::int64_t e = 0; e < config.num_local_experts; ++e) {
        layer.experts.push_back({matrix(config.intermediate_size, config.hidden_size, 0.3F),
                                 matrix(config.intermediate_size, config.hidden_size, 0.3F),
                                 matrix(config.hidden_size, config.intermediate_size, 0.3F)});
      }
      weights_.layers.push_back(std::move(layer));
    }
  }

  [[nodiscard]] std::shared_ptr<const ModelWeights> share() {
    return std::make_shared<const ModelWeights>(std::move(weights_));
  }

 private:
  TensorView normal(const Shape& shape, float mean, float deviation) {
    auto tensor = std::make_shared<Tensor>(DType::kF32, shape);
    std::normal_distribution<float> distribution(mean, deviation);
    for (std::int64_t i = 0; i < shape.num_elements(); ++i) {
      tensor->as<float>()[i] = distribution(random_);
    }
    weights_.owners.push_back(tensor);
    return tensor->view();
  }

  TensorView vector(std::int64_t size, float mean, float deviation) {
    return normal({size}, mean, deviation);
  }

  WeightView matrix(std::int64_t rows, std::int64_t cols, float deviation) {
    return {.data = normal({rows, cols}, 0.0F, deviation).data, .rows = rows, .cols = cols};
  }

  std::mt19937 random_;
  ModelWeights weights_;
};

}  // namespace m2::test
