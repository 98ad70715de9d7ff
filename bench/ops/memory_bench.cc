// The ceiling of decode: reading memory once, on all threads, with the kernels' own loads.
#include <benchmark/benchmark.h>

#include <algorithm>

#include "base/environment.h"
#include "cpu/kernels.h"
#include "cpu/lanes.h"

namespace m2::bench {
namespace {

void read_memory(benchmark::State& state) {
  constexpr std::int64_t kFloats = std::int64_t{1} << 27;  // 512 MiB
  constexpr std::int64_t kStep = std::int64_t{1} << 16;
  const Tensor memory(DType::kF32, {kFloats});
  // Untouched pages of a new tensor are all the same page of zeros.
  std::fill_n(memory.as<float>(), kFloats, 1.0F);
  const auto& kernels = cpu::choose_kernels(environment::cpu_target());
  cpu::Lanes lanes(static_cast<int>(state.range(0)));
  Tensor sums(DType::kF32, {kFloats / kStep});
  for (auto _ : state) {
    lanes.run(kFloats / kStep, [&](std::int64_t task, cpu::Buffer&) {
      sums.as<float>()[task] = kernels.read_memory(memory.as<float>() + task * kStep, kStep);
    });
    benchmark::ClobberMemory();
  }
  const double bytes = static_cast<double>(kFloats) * sizeof(float);
  state.counters["GB/s"] =
      benchmark::Counter(bytes * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

BENCHMARK(read_memory)->ArgName("threads")->Arg(1)->Arg(0)->UseRealTime();

}  // namespace
}  // namespace m2::bench
