// The benchmarks of the CUDA backend.
#pragma once

#include <cstdint>
#include <random>

#include "cuda/cuda_backend.h"
#include "m2/config.h"
#include "model/minimax_m2.h"
#include "report.h"

namespace m2::bench {

/// Owns weights of one storage type in device memory, filled with random numbers.
class RandomWeights {
 public:
  RandomWeights(Backend& backend, DType dtype) : backend_(backend), dtype_(dtype) {}

  /// A matrix whose products keep the size of their input.
  WeightView matrix(std::int64_t rows, std::int64_t cols);
  WeightView matrix(std::int64_t rows, std::int64_t cols, DType dtype);
  TensorView vector(std::int64_t size, float scale = 1.0F);
  /// Gate, up and down of `count` experts.
  std::vector<ExpertWeights> experts(const MiniMaxM2Config& config);

 private:
  TensorView tensor(DType dtype, const Shape& shape, float scale);

  Backend& backend_;
  DType dtype_;
  std::vector<Tensor> tensors_;
  std::uint64_t seed_ = 1;
};

/// The published model's sizes.
[[nodiscard]] MiniMaxM2Config full_width_config();

/// Expert ids of one step: every token draws K different ones.
[[nodiscard]] std::vector<std::int32_t> random_routing(const MiniMaxM2Config& config,
                                                       std::int64_t num_tokens,
                                                       std::mt19937& engine);
[[nodiscard]] Tensor upload(Backend& backend, std::vector<std::int32_t> values, const Shape& shape);
[[nodiscard]] Tensor random_tensor(Backend& backend, const Shape& shape);

void bench_experts(CudaBackend& backend, DType dtype, Report& report);
void bench_linear(CudaBackend& backend, DType dtype, Report& report);
void bench_route(CudaBackend& backend, Report& report);
void bench_attention(CudaBackend& backend, KvFormat format, Report& report);
/// A layer of a chunk of new tokens.
void bench_prefill(CudaBackend& backend, Report& report);
void bench_int4_experts(CudaBackend& backend, BlockFormat format, Report& report);

}  // namespace m2::bench
