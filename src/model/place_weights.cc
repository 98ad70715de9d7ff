#include "model/place_weights.h"

#include <algorithm>
#include <cstdint>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"

namespace m2 {
namespace {

bool is_int4(BlockFormat format) {
  return format == BlockFormat::kInt4G32 || format == BlockFormat::kInt4G128 ||
         format == BlockFormat::kQ4_0;
}

bool is_int8(BlockFormat format) {
  return format == BlockFormat::kInt8G32 || format == BlockFormat::kQ8_0;
}

// Whatever it is stored in, as BF16.
Tensor widened(const WeightView& host) {
  Tensor result(DType::kBF16, {host.rows, host.cols});
  ThreadPool threads(static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, 16U)));
  threads.parallel_for(host.rows, 16, [&](std::int64_t begin, std::int64_t end) {
    std::vector<float> numbers(static_cast<std::size_t>(host.cols));
    for (std::int64_t row = begin; row < end; ++row) {
      decode_row(host, row, numbers.data());
      std::ranges::transform(numbers, result.as<bf16>() + row * host.cols, to_bf16);
    }
  });
  return result;
}

// Devices multiply experts of 4 bits, but not of 8, and other matrices the other way round.
WeightView place_matrix(const WeightView& host, bool is_expert, Backend& backend, Owners& owners) {
  const bool lacks = is_expert ? is_int8(host.block_format) : is_int4(host.block_format);
  if (backend.host_accessible() || !host.present() || !lacks) return backend.place(host, owners);
  const Tensor values = widened(host);
  const WeightView placed = backend.place(
      {.data = values.view().data, .dtype = DType::kBF16, .rows = host.rows, .cols = host.cols},
      owners);
  backend.synchronize();  // the values are free now
  return placed;
}

WeightView place_dense(const WeightView& host, Backend& backend, Owners& owners) {
  return place_matrix(host, /*is_expert=*/false, backend, owners);
}

LayerWeights place_layer(const LayerWeights& layer, Backend& backend, Backend& mlp,
                         Owners& owners) {
  LayerWeights placed = layer;
  for (TensorView* vector : {&placed.input_norm, &placed.q_norm, &placed.k_norm}) {
    *vector = backend.place(*vector, owners);
  }
  for (WeightView* matrix : {&placed.q, &placed.k, &placed.v, &placed.attn_out}) {
    *matrix = place_dense(*matrix, backend, owners);
  }
  for (TensorView* vector : {&placed.post_attention_norm, &placed.correction_bias}) {
    *vector = mlp.place(*vector, owners);
  }
  placed.gate = place_dense(placed.gate, mlp, owners);
  for (ExpertWeights& expert : placed.experts) {
    for (WeightView* matrix : {&expert.gate, &expert.up, &expert.down}) {
      *matrix = place_matrix(*matrix, /*is_expert=*/true, mlp, owners);
    }
  }
  return placed;
}

// Weights may be on their way until their backend is synchronised: the files stay until then, also
// when loading fails.
class Arrival {
 public:
  explicit Arrival(const Placement& placement) : placement_(placement) {}
  Arrival(const Arrival&) = delete;
  Arrival& operator=(const Arrival&) = delete;
  ~Arrival() {
    try {
      wait();
    } catch (...) {
      // The error that ended the loading is on its way already.
    }
  }
  void wait() {
    placement_.embedding->synchronize();
    for (const auto& backend : placement_.layers) backend->synchronize();
    for (const auto& backend : placement_.mlps) backend->synchronize();
    placement_.head->synchronize();
  }

 private:
  const Placement& placement_;
};

}  // namespace

ModelWeights place_weights(const ModelWeights& weights, const Placement& placement,
                           const LoadProgress& progress) {
  M2_CHECK(placement.layers.size() == weights.layers.size(), "a placement of ",
           placement.layers.size(), " layers for a model of ", weights.layers.size());
  const auto total = static_cast<std::int64_t>(weights.layers.size()) + 2;
  const auto report = [&](std::int64_t done) {
    if (progress) progress(done, total);
  };
  ModelWeights placed;
  Arrival arrival(placement);  // ends before the memory that it waits for
  placed.tied = weights.tied;
  placed.owners = weights.owners;
  placed.embed_tokens = place_dense(weights.embed_tokens, *placement.embedding, placed.owners);
  report(1);
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    placed.layers.push_back(
        place_layer(weights.layers[i], *placement.layers[i], *placement.mlps[i], placed.owners));
    report(static_cast<std::int64_t>(i) + 2);
  }
  placed.norm = placement.head->place(weights.norm, placed.owners);
  // A tied head, or that of a bare model, is the embedding itself, unless it is used elsewhere.
  const bool shared =
      weights.lm_head.data == weights.embed_tokens.data && placement.head == placement.embedding;
  placed.lm_head =
      shared ? placed.embed_tokens : place_dense(weights.lm_head, *placement.head, placed.owners);
  arrival.wait();
  report(total);
  return placed;
}

}  // namespace m2
