// The benchmarks of the CUDA backend.
#pragma once

#include <cstdint>
#include <span>

#include "cuda/cuda_backend.h"
#include "random_model.h"
#include "report.h"

namespace m2::bench {

/// The experts of a layer, for each number of tokens; calls of a recorded step.
void bench_experts(CudaBackend& backend, WeightFormat format,
                   std::span<const std::int64_t> token_counts, Report& report);
void bench_linear(CudaBackend& backend, DType dtype, Report& report);
void bench_route(CudaBackend& backend, Report& report);
void bench_attention(CudaBackend& backend, KvFormat format, Report& report);
/// A layer of a chunk of new tokens.
void bench_prefill(CudaBackend& backend, Report& report);

}  // namespace m2::bench
