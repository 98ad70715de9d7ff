#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "base/error.h"
#include "benches.h"
#include "device_memory.h"

namespace m2::bench {

std::vector<std::int32_t> random_routing(const MiniMaxM2Config& config, std::int64_t num_tokens,
                                         std::mt19937& engine) {
  std::vector<std::int32_t> ids;
  std::uniform_int_distribution<std::int32_t> draw(
      0, static_cast<std::int32_t>(config.num_local_experts) - 1);
  for (std::int64_t t = 0; t < num_tokens; ++t) {
    std::set<std::int32_t> chosen;
    while (std::ssize(chosen) < config.num_experts_per_tok) chosen.insert(draw(engine));
    ids.insert(ids.end(), chosen.begin(), chosen.end());
  }
  return ids;
}

Tensor upload(Backend& backend, std::vector<std::int32_t> values, const Shape& shape) {
  Tensor device = backend.allocate(DType::kI32, shape);
  backend.upload({values.data(), DType::kI32, shape}, device.view());
  return device;
}

Tensor random_tensor(Backend& backend, const Shape& shape) {
  Tensor device = backend.allocate(DType::kF32, shape);
  backend.synchronize();
  fill_random(device.view().data, shape.num_elements(), DType::kF32, 1.0F, 7);
  return device;
}

TensorView RandomWeights::tensor(DType dtype, const Shape& shape, float scale) {
  const Tensor& made = tensors_.emplace_back(backend_.allocate(dtype, shape));
  backend_.synchronize();
  fill_random(made.view().data, shape.num_elements(), dtype, scale, ++seed_);
  return made.view();
}

WeightView RandomWeights::matrix(std::int64_t rows, std::int64_t cols, DType dtype) {
  const float size = std::sqrt(3.0F / static_cast<float>(cols));
  const bool scaled = dtype == DType::kF8E4M3;
  WeightView view = {.data = tensor(dtype, {rows, cols}, scaled ? 400.0F : size).data,
                     .dtype = dtype,
                     .rows = rows,
                     .cols = cols};
  if (!scaled) return view;
  const Shape blocks = {(rows + 127) / 128, (cols + 127) / 128};
  view.scale = tensor(DType::kF32, blocks, size / 400.0F).as<float>();
  return view;
}

WeightView RandomWeights::matrix(std::int64_t rows, std::int64_t cols) {
  return matrix(rows, cols, dtype_);
}

TensorView RandomWeights::vector(std::int64_t size, float scale) {
  return tensor(DType::kF32, {size}, scale);
}

// One allocation and filling for all experts of a layer.
std::vector<ExpertWeights> RandomWeights::experts(const MiniMaxM2Config& config) {
  const std::int64_t count = config.num_local_experts;
  const WeightView all = matrix(3 * count * config.intermediate_size, config.hidden_size);
  const auto bytes =
      static_cast<std::int64_t>(dtype_size(dtype_)) * config.intermediate_size * config.hidden_size;
  const std::int64_t scales = config.intermediate_size / 128 * (config.hidden_size / 128);
  std::vector<ExpertWeights> experts(static_cast<std::size_t>(count));
  std::int64_t index = 0;
  for (ExpertWeights& expert : experts) {
    for (WeightView* part : {&expert.gate, &expert.up, &expert.down}) {
      *part = all;
      part->data = static_cast<const std::byte*>(all.data) + index * bytes;
      if (all.scale != nullptr) part->scale = all.scale + index * scales;
      const bool down = part == &expert.down;
      part->rows = down ? config.hidden_size : config.intermediate_size;
      part->cols = down ? config.intermediate_size : config.hidden_size;
      ++index;
    }
  }
  return experts;
}

MiniMaxM2Config full_width_config() {
  MiniMaxM2Config config;
  config.vocab_size = 200064;
  config.hidden_size = 3072;
  config.intermediate_size = 1536;
  config.num_hidden_layers = 62;
  config.num_attention_heads = 48;
  config.num_key_value_heads = 8;
  config.head_dim = 128;
  config.num_local_experts = 256;
  config.num_experts_per_tok = 8;
  config.max_position_embeddings = 196608;
  config.rope.partial_rotary_factor = 0.5;
  return config;
}

void bench_experts(CudaBackend& backend, DType dtype, Report& report) {
  constexpr int kLayers = 2;  // alternate, so that no weight is in a cache
  constexpr int kRoutings = 16;
  const MiniMaxM2Config config = full_width_config();
  RandomWeights weights(backend, dtype);
  std::vector<std::vector<ExpertWeights>> layers;
  for (int i = 0; i < kLayers; ++i) layers.push_back(weights.experts(config));
  const ExpertWeights& expert = layers[0][0];
  const double expert_bytes =
      static_cast<double>(2 * expert.gate.num_bytes() + expert.down.num_bytes());
  std::mt19937 engine(3);
  for (const std::int64_t num_tokens : {1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 2048, 4096, 8192}) {
    const Shape topk = {num_tokens, config.num_experts_per_tok};
    std::vector<Tensor> ids;
    double hit = 0.0;
    for (int i = 0; i < kRoutings; ++i) {
      const auto routing = random_routing(config, num_tokens, engine);
      hit += static_cast<double>(std::set(routing.begin(), routing.end()).size()) / kRoutings;
      ids.push_back(upload(backend, routing, topk));
    }
    const Tensor hidden = random_tensor(backend, {num_tokens, config.hidden_size});
    const Tensor topk_weights = random_tensor(backend, topk);
    const Tensor output = random_tensor(backend, hidden.shape());
    const double seconds = time_calls(backend, [&](int i) {
      backend.moe_experts({.hidden_states = hidden.view(),
                           .topk_ids = ids[static_cast<std::size_t>(i % kRoutings)].view(),
                           .topk_weights = topk_weights.view(),
                           .experts = layers[static_cast<std::size_t>(i % kLayers)],
                           .output = output.view()});
    });
    const double flops = expert_bytes / static_cast<double>(dtype_size(dtype)) * 2.0 *
                         static_cast<double>(topk.num_elements());
    report.add({concat("moe_experts ", dtype_name(dtype), " T=", num_tokens, " hit=", hit), seconds,
                hit * expert_bytes, num_tokens > 64 ? flops : 0.0});
  }
}

void bench_linear(CudaBackend& backend, DType dtype, Report& report) {
  struct Size {
    const char* name;
    std::int64_t rows;
    std::int64_t cols;
  };
  constexpr int kCopies = 16;
  for (const Size& size : {Size{"qkv", 8192, 3072}, Size{"o", 3072, 6144}}) {
    RandomWeights weights(backend, dtype);
    std::vector<WeightView> copies;
    for (int i = 0; i < kCopies; ++i) copies.push_back(weights.matrix(size.rows, size.cols));
    for (const std::int64_t num_tokens : {1, 8, 16, 32, 64, 128, 512, 2048, 8192}) {
      const Tensor input = random_tensor(backend, {num_tokens, size.cols});
      const Tensor output = random_tensor(backend, {num_tokens, size.rows});
      const double seconds = time_recorded(backend, [&](int i) {
        backend.linear({.input = input.view(),
                        .weight = copies[static_cast<std::size_t>(i % kCopies)],
                        .output = output.view()});
      });
      report.add({concat("linear ", size.name, " ", dtype_name(dtype), " T=", num_tokens), seconds,
                  static_cast<double>(copies[0].num_bytes()),
                  2.0 * static_cast<double>(num_tokens * size.rows * size.cols)});
    }
  }
}

void bench_route(CudaBackend& backend, Report& report) {
  constexpr int kCopies = 32;
  const MiniMaxM2Config config = full_width_config();
  RandomWeights weights(backend, DType::kF32);
  std::vector<WeightView> gates;
  for (int i = 0; i < kCopies; ++i) {
    gates.push_back(weights.matrix(config.num_local_experts, config.hidden_size));
  }
  const TensorView factors = weights.vector(config.hidden_size);
  const TensorView bias = weights.vector(config.num_local_experts);
  for (const std::int64_t num_tokens : {1, 8, 16, 32, 64, 128}) {
    const Tensor input = random_tensor(backend, {num_tokens, config.hidden_size});
    const Tensor normed = random_tensor(backend, input.shape());
    const Tensor logits = random_tensor(backend, {num_tokens, config.num_local_experts});
    const Shape topk = {num_tokens, config.num_experts_per_tok};
    const Tensor ids = backend.allocate(DType::kI32, topk);
    const Tensor topk_weights = random_tensor(backend, topk);
    const double seconds = time_recorded(backend, [&](int i) {
      backend.norm_route({input.view(), factors, 1e-6F, normed.view()},
                         {.hidden_states = normed.view(),
                          .gate = gates[static_cast<std::size_t>(i % kCopies)],
                          .correction_bias = bias,
                          .router_logits = logits.view(),
                          .topk_ids = ids.view(),
                          .topk_weights = topk_weights.view()});
    });
    report.add({concat("norm_route T=", num_tokens), seconds,
                static_cast<double>(gates[0].num_bytes()), 0.0});
  }
}

void bench_attention(CudaBackend& backend, KvFormat format, Report& report) {
  struct Size {
    std::int64_t num_seqs;
    std::int64_t context_len;
  };
  const MiniMaxM2Config config = full_width_config();
  constexpr std::int64_t kBlockSize = 32;
  const DType dtype = storage_dtype(format);
  for (const Size& size : {Size{1, 1024}, Size{1, 32768}, Size{1, 131072}, Size{16, 8192}}) {
    const std::int64_t blocks = size.context_len / kBlockSize;
    const Shape cache = {blocks * size.num_seqs, config.num_key_value_heads, kBlockSize,
                         config.head_dim};
    RandomWeights memory(backend, dtype);
    const std::int64_t cols = config.num_key_value_heads * kBlockSize * config.head_dim;
    const TensorView keys = {const_cast<void*>(memory.matrix(cache[0], cols).data), dtype, cache};
    const TensorView values = {const_cast<void*>(memory.matrix(cache[0], cols).data), dtype, cache};
    std::vector<std::int32_t> tables(static_cast<std::size_t>(cache[0]));
    for (std::size_t i = 0; i < tables.size(); ++i) tables[i] = static_cast<std::int32_t>(i);
    std::ranges::shuffle(tables, std::mt19937(5));
    std::vector<std::int32_t> starts;
    for (std::int64_t s = 0; s <= size.num_seqs; ++s)
      starts.push_back(static_cast<std::int32_t>(s));
    const auto seqs = static_cast<std::size_t>(size.num_seqs);
    const std::vector<std::int32_t> lens(seqs, static_cast<std::int32_t>(size.context_len));
    const Tensor cu_seqlens = upload(backend, starts, {size.num_seqs + 1});
    const Tensor context_lens = upload(backend, lens, {size.num_seqs});
    const Tensor begin = upload(backend, std::vector<std::int32_t>(seqs, 0), {size.num_seqs});
    const Tensor block_tables = upload(backend, tables, {size.num_seqs, blocks});
    const Shape heads = {size.num_seqs, config.num_attention_heads, config.head_dim};
    const Tensor q = random_tensor(backend, heads);
    const Tensor output = random_tensor(backend, heads);
    const double seconds = time_recorded(backend, [&](int) {
      backend.attention({.q = q.view(),
                         .cache = {.keys = keys, .values = values, .format = format},
                         .cu_seqlens = cu_seqlens.view(),
                         .context_lens = context_lens.view(),
                         .key_begin = begin.view(),
                         .key_end = context_lens.view(),
                         .block_tables = block_tables.view(),
                         .max_context_len = size.context_len,
                         .max_queries = 1,
                         .scale = 0.088F,
                         .output = output.view()});
    });
    report.add(
        {concat("attention ", dtype_name(dtype), " S=", size.num_seqs, " C=", size.context_len),
         seconds, 2.0 * static_cast<double>(keys.num_bytes())});
  }
}

}  // namespace m2::bench
