#include <algorithm>
#include <random>

#include "base/error.h"
#include "benches.h"

namespace m2::bench {

void bench_linear(CudaBackend& backend, DType dtype, Report& report) {
  struct Size {
    const char* name;
    std::int64_t rows;
    std::int64_t cols;
  };
  constexpr int kCopies = 16;
  for (const Size& size : {Size{"qkv", 8192, 3072}, Size{"o", 3072, 6144}}) {
    RandomWeights weights(backend, {dtype});
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
  RandomWeights weights(backend, {DType::kF32});
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
    RandomWeights memory(backend, {dtype});
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
