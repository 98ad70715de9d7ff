// Whole decode steps at the published width, with random weights that are made on the device.
#include <set>

#include "base/error.h"
#include "benches.h"
#include "device_memory.h"
#include "model/minimax_m2.h"

namespace m2::bench {
namespace {

constexpr std::int64_t kContext = 1024;
constexpr std::int32_t kBlockSize = 32;
constexpr float kBiasScale = 0.02F;  // small beside the scores: the tokens choose, not the bias

std::int64_t dense_bytes(const LayerWeights& layer) {
  return layer.q.num_bytes() + layer.k.num_bytes() + layer.v.num_bytes() +
         layer.attn_out.num_bytes() + layer.gate.num_bytes();
}

std::int64_t expert_bytes(const LayerWeights& layer) {
  const ExpertWeights& expert = layer.experts.front();
  return 2 * expert.gate.num_bytes() + expert.down.num_bytes();
}

// Different experts that a step reads, the mean over the layers: chosen on the host again from the
// router's logits.
double count_hits(MiniMaxM2& model, const ModelWeights& weights, const Batch& batch, KvCache& cache,
                  Backend& backend) {
  const MiniMaxM2Config& config = model.config();
  StudyOutputs study;
  model.forward(batch, cache, {.study = {.router_logits = true}, .study_outputs = &study});
  const Shape topk = {batch.num_tokens(), config.num_experts_per_tok};
  const Tensor ids(DType::kI32, topk);
  const Tensor chosen_weights(DType::kF32, topk);
  const Tensor bias(DType::kF32, {config.num_local_experts});
  std::vector<float> scores(static_cast<std::size_t>(config.num_local_experts));
  std::vector<float> choice(scores.size());
  std::size_t hits = 0;
  for (std::size_t layer = 0; layer < weights.layers.size(); ++layer) {
    backend.download(weights.layers[layer].correction_bias, bias.view());
    const MoeRouteArgs args = {.gate = weights.layers[layer].gate,
                               .correction_bias = bias.view(),
                               .router_logits = study.router_logits[layer].view(),
                               .topk_ids = ids.view(),
                               .topk_weights = chosen_weights.view()};
    for (std::int64_t t = 0; t < topk[0]; ++t) choose_experts(args, t, scores, choice);
    hits += std::set(ids.as<std::int32_t>(), ids.as<std::int32_t>() + topk.num_elements()).size();
  }
  return static_cast<double>(hits) / static_cast<double>(weights.layers.size());
}

// One new token each of `num_seqs` sequences of kContext tokens.
class DecodeBatch {
 public:
  DecodeBatch(KvCache& cache, std::int64_t num_seqs) {
    const std::int64_t position = kContext - 1;
    for (std::int64_t s = 0; s < num_seqs; ++s) {
      SequenceBlocks& blocks = blocks_.emplace_back(cache.allocator(), kBlockSize);
      M2_CHECK(blocks.reserve(kContext), "the cache has room for every sequence");
    }
    std::vector<std::int32_t> ids;
    for (std::int64_t s = 0; s < num_seqs; ++s) {
      ids.assign(1, static_cast<std::int32_t>(s * 977 + 11));
      batch_.add({.token_ids = ids,
                  .position_ids = {&position, 1},
                  .num_cached_tokens = static_cast<std::int32_t>(position),
                  .blocks = &blocks_[static_cast<std::size_t>(s)]});
    }
    batch_.finish();
  }

  [[nodiscard]] const Batch& get() const { return batch_; }

 private:
  std::vector<SequenceBlocks> blocks_;
  Batch batch_;
};

}  // namespace

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
          .gate = weights.matrix(config.num_local_experts, hidden_size, DType::kF32),
          .correction_bias = weights.vector(config.num_local_experts, kBiasScale),
          .experts = weights.experts(config)};
}

void bench_decode(CudaBackend& backend, DType dtype, Report& report) {
  MiniMaxM2Config config = full_width_config();
  RandomWeights random(backend, dtype);
  auto weights = std::make_shared<ModelWeights>();
  weights->embed_tokens = random.matrix(config.vocab_size, config.hidden_size, DType::kBF16);
  weights->lm_head = random.matrix(config.vocab_size, config.hidden_size, DType::kBF16);
  weights->norm = random.vector(config.hidden_size);
  constexpr std::size_t kReserve = std::size_t{20} << 30U;  // cache, activations, the next layer
  while (std::ssize(weights->layers) < config.num_hidden_layers && free_device_bytes() > kReserve) {
    weights->layers.push_back(random_layer(config, random));
  }
  const auto num_layers = static_cast<std::int64_t>(weights->layers.size());
  config.num_hidden_layers = num_layers;
  MiniMaxM2 model(config, weights, backend);
  for (const std::int64_t num_seqs : {1, 8, 32, 64}) {
    KvCache cache(
        model.placement(), config,
        {.num_tokens = num_seqs * kContext, .block_size = kBlockSize, .format = KvFormat::kBF16});
    const DecodeBatch batch(cache, num_seqs);
    double kv_bytes = 0.0;
    for (std::int64_t layer = 0; layer < num_layers; ++layer) {
      const KvCacheView view = cache.layer(static_cast<std::size_t>(layer));
      backend.synchronize();
      for (const TensorView& part : {view.keys, view.values}) {
        fill_random(part.data, part.num_elements(), part.dtype, 1.0F, 9);
        kv_bytes += static_cast<double>(part.num_bytes());
      }
    }
    const double hits = count_hits(model, *weights, batch.get(), cache, backend);
    const double layer_bytes = static_cast<double>(dense_bytes(weights->layers[0])) +
                               hits * static_cast<double>(expert_bytes(weights->layers[0]));
    const double bytes = static_cast<double>(num_layers) * layer_bytes + kv_bytes;
    const double seconds = time_calls(backend, [&](int) { model.forward(batch.get(), cache); });
    report.add({concat("decode ", dtype_name(dtype), " ", num_layers, " layers B=", num_seqs,
                       " hit=", hits, " without head"),
                seconds, bytes});
    const std::vector<std::int32_t> row = {0};
    const double head = time_calls(backend, [&](int) { model.logits(row); });
    if (num_seqs > 1) continue;
    report.add({"head BF16, one row, logits on the host", head,
                static_cast<double>(weights->lm_head.num_bytes())});
  }
}

}  // namespace m2::bench
