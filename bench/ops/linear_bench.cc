#include <benchmark/benchmark.h>

#include "bench_weights.h"
#include "cpu/cpu_backend.h"

namespace m2::bench {
namespace {

// [T, 3072] times [3072, 3072]: bytes of weights and floating-point operations per second.
void linear(benchmark::State& state, Storage storage) {
  const std::int64_t num_tokens = state.range(0);
  CpuBackend backend(0);
  WeightPool pool(storage, std::int64_t{400} << 20);
  const Tensor input(DType::kF32, {num_tokens, kHiddenSize});
  const Tensor output(DType::kF32, {num_tokens, kHiddenSize});
  std::int64_t bytes = 0;
  for (auto _ : state) {
    const WeightView weight = pool.next(kHiddenSize, kHiddenSize);
    backend.linear({.input = input.view(), .weight = weight, .output = output.view()});
    bytes = weight.num_bytes();
  }
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  const double flops = 2.0 * static_cast<double>(num_tokens * kHiddenSize * kHiddenSize);
  state.counters["GB/s"] = benchmark::Counter(static_cast<double>(bytes) * 1e-9, rate);
  state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, rate);
  state.SetLabel(backend.description());
}

void tokens(benchmark::internal::Benchmark* bench) {
  bench->ArgName("T")->Arg(1)->Arg(4)->Arg(16)->Arg(128)->UseRealTime();
}

BENCHMARK_CAPTURE(linear, f32, DType::kF32)->Apply(tokens);
BENCHMARK_CAPTURE(linear, f16, DType::kF16)->Apply(tokens);
BENCHMARK_CAPTURE(linear, bf16, DType::kBF16)->Apply(tokens);
BENCHMARK_CAPTURE(linear, f8_e4m3, DType::kF8E4M3)->Apply(tokens);
BENCHMARK_CAPTURE(linear, int8_g32, BlockFormat::kInt8G32)->Apply(tokens);
BENCHMARK_CAPTURE(linear, int4_g32, BlockFormat::kInt4G32)->Apply(tokens);
BENCHMARK_CAPTURE(linear, int4_g128, BlockFormat::kInt4G128)->Apply(tokens);
BENCHMARK_CAPTURE(linear, q8_0, BlockFormat::kQ8_0)->Apply(tokens);
BENCHMARK_CAPTURE(linear, q4_0, BlockFormat::kQ4_0)->Apply(tokens);
BENCHMARK_CAPTURE(linear, q4_k, BlockFormat::kQ4_K)->Apply(tokens);
BENCHMARK_CAPTURE(linear, q5_k, BlockFormat::kQ5_K)->Apply(tokens);
BENCHMARK_CAPTURE(linear, q6_k, BlockFormat::kQ6_K)->Apply(tokens);
BENCHMARK_CAPTURE(linear, iq4_xs, BlockFormat::kIQ4_XS)->Apply(tokens);

}  // namespace
}  // namespace m2::bench
