// A chunk of 8,192 new tokens at the published width.
#include <numeric>

#include "base/error.h"
#include "benches.h"
#include "model/minimax_m2.h"

namespace m2::bench {
namespace {

constexpr std::int64_t kChunk = 8192;
constexpr std::int32_t kBlockSize = 32;
constexpr float kBiasScale = 0.02F;  // small beside the scores: the tokens choose, not the bias
// What libraries reach on an H200: FP8 products in blocks of scales, causal attention.
constexpr double kProductFlops = 1300e12;
constexpr double kAttentionFlops = 630e12;

double dense_flops(const MiniMaxM2Config& config, std::int64_t num_tokens) {
  const std::int64_t heads = 2 * config.num_attention_heads + 2 * config.num_key_value_heads;
  return 2.0 * static_cast<double>(num_tokens * config.hidden_size) *
         static_cast<double>(heads * config.head_dim + config.num_local_experts);
}

double attention_flops(const MiniMaxM2Config& config, std::int64_t num_tokens) {
  return 2.0 * static_cast<double>(num_tokens * num_tokens) *
         static_cast<double>(config.num_attention_heads * config.head_dim);
}

Batch chunk_of(SequenceBlocks& blocks) {
  std::vector<std::int32_t> ids(kChunk);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(i * 977 % 200000);
  std::vector<std::int64_t> positions(kChunk);
  std::iota(positions.begin(), positions.end(), 0);
  Batch batch;
  batch.add(
      {.token_ids = ids, .position_ids = positions, .num_cached_tokens = 0, .blocks = &blocks});
  batch.finish();
  return batch;
}

LayerWeights random_layer(const MiniMaxM2Config& config, RandomWeights& weights) {
  const std::int64_t q_width = config.num_attention_heads * config.head_dim;
  const std::int64_t kv_width = config.num_key_value_heads * config.head_dim;
  const std::int64_t hidden_size = config.hidden_size;
  return {.input_norm = weights.vector(hidden_size),
          .post_attention_norm = weights.vector(hidden_size),
          .q_norm = weights.vector(q_width),
          .k_norm = weights.vector(kv_width),
          .q = weights.matrix(q_width, hidden_size),
          .k = weights.matrix(kv_width, hidden_size),
          .v = weights.matrix(kv_width, hidden_size),
          .attn_out = weights.matrix(hidden_size, q_width),
          .gate = weights.matrix(config.num_local_experts, hidden_size, {DType::kF32}),
          .correction_bias = weights.vector(config.num_local_experts, kBiasScale),
          .experts = weights.experts(config)};
}

}  // namespace

void bench_prefill(CudaBackend& backend, Report& report) {
  constexpr std::int64_t kLayers = 4;
  MiniMaxM2Config config = full_width_config();
  config.num_hidden_layers = kLayers;
  RandomWeights random(backend, {DType::kF8E4M3});
  auto weights = std::make_shared<ModelWeights>();
  // Of the size of what the layers add: small beside it, all tokens would become alike and go to
  // the same experts.
  weights->embed_tokens = random.embeddings(config.vocab_size, config.hidden_size);
  weights->lm_head = weights->embed_tokens;
  weights->norm = random.vector(config.hidden_size);
  for (std::int64_t i = 0; i < kLayers; ++i)
    weights->layers.push_back(random_layer(config, random));
  MiniMaxM2 model(config, weights, backend);
  KvCache cache(model.placement(), config,
                {.num_tokens = kChunk, .block_size = kBlockSize, .format = KvFormat::kBF16});
  SequenceBlocks blocks(cache.allocator(), kBlockSize);
  M2_CHECK(blocks.reserve(kChunk), "the cache has room for the chunk");
  const Batch batch = chunk_of(blocks);
  const double seconds = time_calls(backend, [&](int) { model.forward(batch, cache); }) / kLayers;
  const double products = expert_flops(config, kChunk) + dense_flops(config, kChunk);
  const double attention = attention_flops(config, kChunk);
  const double floor = products / kProductFlops + attention / kAttentionFlops;
  report.add({.name = concat("prefill F8_E4M3 of 8192 tokens, a layer; share of the floor ",
                             floor / seconds),
              .seconds = seconds,
              .flops = products + attention});
}

}  // namespace m2::bench
