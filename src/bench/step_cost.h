// What a forward pass must at least read and multiply.
#pragma once

#include <cstdint>

#include "model/kv_cache.h"
#include "model/weights.h"

namespace m2::bench {

/// One pass over sequences of the same length.
struct Step {
  std::int64_t num_seqs = 1;
  std::int64_t num_tokens = 1;    // new ones of each sequence
  std::int64_t num_cached = 0;    // before them
  std::int64_t num_logits = 0;    // rows of the head
  std::int64_t experts_used = 0;  // different ones, of all layers together
};

struct StepCost {
  double weight_bytes = 0.0;
  double kv_bytes = 0.0;
  double operations = 0.0;  // multiplications and additions

  [[nodiscard]] double bytes() const { return weight_bytes + kv_bytes; }
  StepCost& operator+=(const StepCost& other);
};

/// Every weight that is used, and every key and value that a new token sees, read once; the
/// products of the matrices and of the attention. What is written, and activations, do not count:
/// beside these they are little.
class CostModel {
 public:
  CostModel(const MiniMaxM2Config& config, const ModelWeights& weights, KvFormat kv_format);

  [[nodiscard]] StepCost cost(const Step& step) const;

 private:
  double dense_bytes_ = 0.0;   // of all layers: projections and routers
  double expert_bytes_ = 0.0;  // of an expert
  double head_bytes_ = 0.0;
  double embedding_row_bytes_ = 0.0;
  double kv_token_bytes_ = 0.0;    // of all layers
  double token_operations_ = 0.0;  // of all layers, without attention and head
  double key_operations_ = 0.0;    // of a token and a key that it sees, all layers
  double logit_operations_ = 0.0;  // of a row of the head
};

}  // namespace m2::bench
