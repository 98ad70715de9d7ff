// The head of the model: logits of chosen rows, and the best of them.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/device_batch.h"
#include "ops/backend.h"

namespace m2 {

/// The best logits of some rows, descending, the lower id first among equals (ops/top_scores.h).
struct TopLogits {
  TensorView ids;     // [rows, K] i32, in the host's memory
  TensorView logits;  // [rows, K] f32, in the host's memory

  [[nodiscard]] std::span<const std::int32_t> ids_of(std::size_t row) const {
    const auto count = static_cast<std::size_t>(ids.shape[1]);
    return {ids.as<std::int32_t>() + row * count, count};
  }
  [[nodiscard]] std::span<const float> logits_of(std::size_t row) const {
    const auto count = static_cast<std::size_t>(ids.shape[1]);
    return {logits.as<float>() + row * count, count};
  }
};

/// Its memory grows to the most rows seen and stays.
class Head {
 public:
  static constexpr std::int64_t kNumTop = 64;  // K, or V where that is less

  /// The weight [V, H] must live as long.
  explicit Head(const WeightView& weight) : weight_(weight) {}

  /// Logits of rows of `hidden_states` [T, H] f32: [rows, V] f32 in the host's memory, valid until
  /// the next call.
  TensorView all(const TensorView& hidden_states, std::span<const std::int32_t> rows,
                 Backend& backend);

  /// Their best ones alone: a device keeps the others.
  TopLogits top(const TensorView& hidden_states, std::span<const std::int32_t> rows,
                Backend& backend);

  /// The same of all rows of `norm`, which are not normed yet, in three parts: memory; work that
  /// may be recorded, with the same memory as long as what it adds to `key` is equal; its results.
  void plan(std::int64_t count, Backend& backend, std::vector<std::uint64_t>& key);
  void find_top(const RmsNormArgs& norm, Backend& backend);
  [[nodiscard]] TopLogits found_top(std::int64_t count, Backend& backend) const;

  /// A whole row of the last call, by its place in `rows`: [V] f32 in the host's memory, valid
  /// until the next call.
  TensorView row(std::int64_t index, Backend& backend);

 private:
  void plan(std::int64_t count, Backend& backend);
  void multiply(const TensorView& hidden_states, std::span<const std::int32_t> rows,
                Backend& backend);
  void choose(std::int64_t count, Backend& backend);
  [[nodiscard]] TensorView first_logits(std::int64_t count) const;
  [[nodiscard]] TensorView to_host(const TensorView& device, const Tensor& host,
                                   Backend& backend) const;

  WeightView weight_;
  UploadBuffer rows_;
  Tensor input_;     // [rows, H]
  Tensor logits_;    // [rows, V]
  Tensor top_;       // [2, rows, K]: the bits of ids, then logits
  Tensor host_;      // as logits_, where the backend's memory is not the host's; in use only then
  Tensor host_top_;  // as top_, likewise
};

}  // namespace m2
