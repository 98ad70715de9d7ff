#include "model/place_weights.h"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/error.h"

namespace m2 {
namespace {

// Weights may be on their way until their backend is synchronised: the files stay until then, also
// when loading fails.
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
  }

 private:
  void add(const std::shared_ptr<Backend>& backend) {
    if (std::ranges::find(backends_, backend.get()) == backends_.end()) {
      backends_.push_back(backend.get());
    }
  }

  std::vector<Backend*> backends_;  // each once
};

LayerWeights place_layer(const LayerWeights& layer, Backend& backend, Backend& mlp,
                         Owners& owners) {
  LayerWeights placed = layer;
  for (TensorView* vector : {&placed.input_norm, &placed.q_norm, &placed.k_norm}) {
    *vector = backend.place(*vector, owners);
  }
  for (WeightView* matrix : {&placed.q, &placed.k, &placed.v, &placed.attn_out}) {
    *matrix = backend.place(*matrix, MatrixUse::kProduct, owners);
  }
  for (TensorView* vector : {&placed.post_attention_norm, &placed.correction_bias}) {
    *vector = mlp.place(*vector, owners);
  }
  placed.gate = mlp.place(placed.gate, MatrixUse::kProduct, owners);
  for (ExpertWeights& expert : placed.experts) {
    for (WeightView* matrix : {&expert.gate, &expert.up, &expert.down}) {
      *matrix = mlp.place(*matrix, MatrixUse::kExpert, owners);
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
      placement.embedding->place(weights.embed_tokens, MatrixUse::kProduct, placed.owners);
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
  placed.lm_head = shared
                       ? placed.embed_tokens
                       : placement.head->place(weights.lm_head, MatrixUse::kProduct, placed.owners);
  arrival.wait();
  report(total);
  return placed;
}

}  // namespace m2
