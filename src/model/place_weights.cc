#include "model/place_weights.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
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

// Weights may be on their way until their backend is synchronised: the files, and what was made of
// them, stay until then, also when loading fails.
class Arrival {
 public:
  explicit Arrival(const Placement& placement) {
    add(placement.embedding);
    for (const auto& backend : placement.layers) add(backend);
    for (const auto& backend : placement.mlps) add(backend);
    add(placement.head);
  }
  Arrival(const Arrival&) = delete;
  Arrival& operator=(const Arrival&) = delete;
  ~Arrival() {
    for (Backend* backend : backends_) {
      try {
        backend->synchronize();
      } catch (...) {
        // The error that ended the loading is on its way already.
      }
    }
  }

  void wait() {
    for (Backend* backend : backends_) backend->synchronize();
    widened_.clear();
    widened_bytes_ = 0;
  }

  // A matrix as BF16, whatever it is stored in. Waits when there is much of this kind, and not for
  // each: a device's threads and buffers for loading end with every wait.
  WeightView widened(const WeightView& host) {
    constexpr std::int64_t kMostBytes = std::int64_t{1} << 30;
    if (widened_bytes_ >= kMostBytes) wait();
    if (!threads_) {
      threads_.emplace(static_cast<int>(std::clamp(std::thread::hardware_concurrency(), 1U, 16U)));
    }
    const Tensor& values = widened_.emplace_back(DType::kBF16, Shape{host.rows, host.cols});
    const WeightView result = {
        .data = values.view().data, .dtype = DType::kBF16, .rows = host.rows, .cols = host.cols};
    widened_bytes_ += result.num_bytes();
    threads_->parallel_for(host.rows, 16, [&](std::int64_t begin, std::int64_t end) {
      std::vector<float> numbers(static_cast<std::size_t>(host.cols));
      for (std::int64_t row = begin; row < end; ++row) {
        decode_row(host, row, numbers.data());
        std::ranges::transform(numbers, values.as<bf16>() + row * host.cols, to_bf16);
      }
    });
    return result;
  }

 private:
  void add(const std::shared_ptr<Backend>& backend) {
    if (std::ranges::find(backends_, backend.get()) == backends_.end()) {
      backends_.push_back(backend.get());
    }
  }

  std::vector<Backend*> backends_;  // each once
  std::optional<ThreadPool> threads_;
  std::vector<Tensor> widened_;
  std::int64_t widened_bytes_ = 0;
};

// Devices multiply experts of 4 bits, but not of 8, and other matrices the other way round.
WeightView place_matrix(const WeightView& host, bool is_expert, Backend& backend, Arrival& arrival,
                        Owners& owners) {
  const bool lacks = is_expert ? is_int8(host.block_format) : is_int4(host.block_format);
  if (backend.host_accessible() || !host.present() || !lacks) return backend.place(host, owners);
  return backend.place(arrival.widened(host), owners);
}

WeightView place_dense(const WeightView& host, Backend& backend, Arrival& arrival, Owners& owners) {
  return place_matrix(host, /*is_expert=*/false, backend, arrival, owners);
}

LayerWeights place_layer(const LayerWeights& layer, Backend& backend, Backend& mlp,
                         Arrival& arrival, Owners& owners) {
  LayerWeights placed = layer;
  for (TensorView* vector : {&placed.input_norm, &placed.q_norm, &placed.k_norm}) {
    *vector = backend.place(*vector, owners);
  }
  for (WeightView* matrix : {&placed.q, &placed.k, &placed.v, &placed.attn_out}) {
    *matrix = place_dense(*matrix, backend, arrival, owners);
  }
  for (TensorView* vector : {&placed.post_attention_norm, &placed.correction_bias}) {
    *vector = mlp.place(*vector, owners);
  }
  placed.gate = place_dense(placed.gate, mlp, arrival, owners);
  for (ExpertWeights& expert : placed.experts) {
    for (WeightView* matrix : {&expert.gate, &expert.up, &expert.down}) {
      *matrix = place_matrix(*matrix, /*is_expert=*/true, mlp, arrival, owners);
    }
  }
  return placed;
}

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
  placed.embed_tokens =
      place_dense(weights.embed_tokens, *placement.embedding, arrival, placed.owners);
  report(1);
  for (std::size_t i = 0; i < weights.layers.size(); ++i) {
    placed.layers.push_back(place_layer(weights.layers[i], *placement.layers[i], *placement.mlps[i],
                                        arrival, placed.owners));
    report(static_cast<std::int64_t>(i) + 2);
  }
  placed.norm = placement.head->place(weights.norm, placed.owners);
  // A tied head, or that of a bare model, is the embedding itself, unless it is used elsewhere.
  const bool shared =
      weights.lm_head.data == weights.embed_tokens.data && placement.head == placement.embedding;
  placed.lm_head = shared ? placed.embed_tokens
                          : place_dense(weights.lm_head, *placement.head, arrival, placed.owners);
  arrival.wait();
  report(total);
  return placed;
}

}  // namespace m2
