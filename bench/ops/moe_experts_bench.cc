#include <benchmark/benchmark.h>

#include <vector>

#include "bench_weights.h"
#include "cpu/cpu_backend.h"

namespace m2::bench {
namespace {

constexpr std::int64_t kNumExperts = 256;
constexpr std::int64_t kTopK = 8;

// One layer's experts with even routing: every token takes the next eight of 256.
void moe_experts(benchmark::State& state, Storage storage) {
  const std::int64_t num_tokens = state.range(0);
  CpuBackend backend(0);
  WeightPool pool(storage, std::int64_t{900} << 20);
  std::vector<ExpertWeights> experts;
  for (std::int64_t e = 0; e < kNumExperts; ++e) {
    experts.push_back({.gate = pool.next(kInnerSize, kHiddenSize),
                       .up = pool.next(kInnerSize, kHiddenSize),
                       .down = pool.next(kHiddenSize, kInnerSize)});
  }
  const Tensor hidden(DType::kF32, {num_tokens, kHiddenSize});
  const Tensor ids(DType::kI32, {num_tokens, kTopK});
  const Tensor weights(DType::kF32, {num_tokens, kTopK});
  const Tensor output(DType::kF32, {num_tokens, kHiddenSize});
  std::int32_t next = 0;
  for (auto _ : state) {
    for (std::int64_t i = 0; i < num_tokens * kTopK; ++i) {
      ids.as<std::int32_t>()[i] = next++ % kNumExperts;
    }
    backend.moe_experts({.hidden_states = hidden.view(),
                         .topk_ids = ids.view(),
                         .topk_weights = weights.view(),
                         .experts = experts,
                         .output = output.view()});
  }
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  const std::int64_t slots = num_tokens * kTopK;
  const double expert_bytes =
      static_cast<double>(2 * experts[0].gate.num_bytes() + experts[0].down.num_bytes());
  const double used = static_cast<double>(slots < kNumExperts ? slots : kNumExperts);
  const double flops = 6.0 * static_cast<double>(slots * kHiddenSize * kInnerSize);
  state.counters["GB/s"] = benchmark::Counter(used * expert_bytes * 1e-9, rate);
  state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, rate);
  state.SetLabel(backend.description());
}

void tokens(benchmark::internal::Benchmark* bench) {
  bench->ArgName("T")->Arg(1)->Arg(4)->Arg(128)->Arg(1024)->UseRealTime();
}

BENCHMARK_CAPTURE(moe_experts, bf16, DType::kBF16)->Apply(tokens);
BENCHMARK_CAPTURE(moe_experts, f8_e4m3, DType::kF8E4M3)->Apply(tokens);
BENCHMARK_CAPTURE(moe_experts, int8_g32, BlockFormat::kInt8G32)->Apply(tokens);
BENCHMARK_CAPTURE(moe_experts, int4_g32, BlockFormat::kInt4G32)->Apply(tokens);
BENCHMARK_CAPTURE(moe_experts, int4_g128, BlockFormat::kInt4G128)->Apply(tokens);

}  // namespace
}  // namespace m2::bench
