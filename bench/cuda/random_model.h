// Weights, routing and activations of the published model's sizes, at random.
#pragma once

#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

#include "m2/config.h"
#include "ops/backend.h"
#include "ops/random_fill.h"

namespace m2::bench {

/// How weights are stored.
struct WeightFormat {
  DType dtype = DType::kU8;
  BlockFormat block_format = BlockFormat::kNone;

  [[nodiscard]] std::string_view name() const;
};

/// Owns weights of one format in device memory, filled with random numbers.
class RandomWeights {
 public:
  RandomWeights(Backend& backend, WeightFormat format) : backend_(backend), format_(format) {}

  /// A matrix whose products keep the size of their input.
  WeightView matrix(std::int64_t rows, std::int64_t cols);
  WeightView matrix(std::int64_t rows, std::int64_t cols, WeightFormat format);
  /// Rows of BF16 numbers of about 1.
  WeightView embeddings(std::int64_t rows, std::int64_t cols);
  TensorView vector(std::int64_t size, float scale = 1.0F);
  /// Gate, up and down of all experts of a layer.
  std::vector<ExpertWeights> experts(const MiniMaxM2Config& config);

 private:
  TensorView fill(std::int64_t num_bytes, const RandomPattern& pattern);

  Backend& backend_;
  WeightFormat format_;
  std::vector<Tensor> tensors_;
  std::uint64_t seed_ = 1;
};

/// The published model's sizes.
[[nodiscard]] MiniMaxM2Config full_width_config();

/// Of a layer's experts.
[[nodiscard]] double expert_flops(const MiniMaxM2Config& config, std::int64_t num_tokens);

/// Expert ids of one step: every token draws K different ones.
[[nodiscard]] std::vector<std::int32_t> random_routing(const MiniMaxM2Config& config,
                                                       std::int64_t num_tokens,
                                                       std::mt19937& engine);
[[nodiscard]] Tensor upload(Backend& backend, std::vector<std::int32_t> values, const Shape& shape);
[[nodiscard]] Tensor random_tensor(Backend& backend, const Shape& shape);

}  // namespace m2::bench
