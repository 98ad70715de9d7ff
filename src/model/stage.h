// What a forward pass needs on one backend: activations and the arrays of the batch.
#pragma once

#include <cstdint>
#include <memory>

#include "m2/config.h"
#include "model/device_batch.h"
#include "ops/backend.h"

namespace m2 {

/// Grows to the largest batch seen and stays. All tensors lie in the backend's memory.
struct Stage {
  std::shared_ptr<Backend> backend;

  std::int64_t max_tokens = 0;
  Tensor residual;       // [T, H]
  Tensor normed;         // [T, H]
  Tensor q;              // [T, Nq * D]
  Tensor k;              // [T, Nkv * D]
  Tensor v;              // [T, Nkv * D]
  Tensor attn_out;       // [T, Nq * D]
  Tensor router_logits;  // [T, E]
  Tensor topk_ids;       // [T, K] i32
  Tensor topk_weights;   // [T, K]

  // Of the current forward pass, uploaded where the host's memory cannot be used.
  DeviceBatch batch;
  TensorView mask;  // [S or 1, Nq or 1, Q, C], or absent
  UploadBuffer mask_buffer;

  void plan(const MiniMaxM2Config& config, std::int64_t num_tokens);
  /// A copy in the host's memory.
  [[nodiscard]] Tensor host_copy(const TensorView& device) const;
};

/// Copies f32 numbers from one stage's memory to another's, through the host where neither of the
/// two can use it directly.
void move_between(const Stage& from, const TensorView& source, const Stage& to,
                  const TensorView& target);

}  // namespace m2
