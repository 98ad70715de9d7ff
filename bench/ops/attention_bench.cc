#include <benchmark/benchmark.h>

#include <cstring>
#include <numeric>
#include <vector>

#include "cpu/cpu_backend.h"

namespace m2::bench {
namespace {

constexpr std::int64_t kHeads = 48;
constexpr std::int64_t kKvHeads = 8;
constexpr std::int64_t kHeadDim = 128;
constexpr std::int64_t kBlockSize = 32;

// The blocks of one layer of the published model: exact for 0 bits, else with codes.
struct Blocks {
  Blocks(std::int64_t num_blocks, int bits, KvFormat format) {
    const auto allocate = [](DType dtype, const Shape& shape) {
      Tensor tensor(dtype, shape);  // written, so that the pages are there
      std::memset(tensor.view().data, 1, tensor.view().num_bytes());
      return tensor;
    };
    const Shape exact = {bits == 0 ? num_blocks : 1, kKvHeads, kBlockSize, kHeadDim};
    tensors.push_back(allocate(storage_dtype(format), exact));
    tensors.push_back(allocate(storage_dtype(format), exact));
    cache = {.keys = tensors[0].view(), .values = tensors[1].view(), .format = format};
    if (bits == 0) return;
    constexpr std::int64_t kGroupSize = 64;
    const Shape codes = {num_blocks, kKvHeads, kBlockSize, kHeadDim * bits / 8};
    const Shape groups = {num_blocks, kKvHeads, kBlockSize, kHeadDim / kGroupSize, 2};
    tensors.push_back(allocate(DType::kU8, codes));
    tensors.push_back(allocate(DType::kU8, codes));
    tensors.push_back(allocate(DType::kF32, groups));
    tensors.push_back(allocate(DType::kF32, groups));
    cache.quantized = {.keys = tensors[2].view(),
                       .values = tensors[3].view(),
                       .key_groups = tensors[4].view(),
                       .value_groups = tensors[5].view(),
                       .bits = bits,
                       .group_size = kGroupSize};
  }

  [[nodiscard]] std::int64_t bytes_of_token() const {
    const auto token = [](const TensorView& keys) {
      return 2 * static_cast<std::int64_t>(keys.num_bytes()) / (keys.shape[0] * kBlockSize);
    };
    const QuantizedBlocksView& codes = cache.quantized;
    return codes.present() ? token(codes.keys) + token(codes.key_groups) : token(cache.keys);
  }

  std::vector<Tensor> tensors;
  KvCacheView cache;
};

template <typename T>
TensorView view(std::vector<T>& values, const Shape& shape) {
  return {values.data(), DTypeOf<T>::kValue, shape};
}

// One query behind a context: decoding.
void attention(benchmark::State& state, int bits, KvFormat format) {
  const std::int64_t context_len = state.range(0);
  const std::int64_t num_blocks = (context_len + kBlockSize - 1) / kBlockSize;
  CpuBackend backend(0);
  const Blocks blocks(num_blocks, bits, format);
  std::vector<std::int32_t> table(static_cast<std::size_t>(num_blocks));
  std::iota(table.begin(), table.end(), bits == 0 ? 0 : kFirstQuantizedBlock);
  std::vector<std::int32_t> cu_seqlens = {0, 1};
  std::vector<std::int32_t> begin = {0};
  std::vector<std::int32_t> end = {static_cast<std::int32_t>(context_len)};
  const Tensor q(DType::kF32, {1, kHeads, kHeadDim});
  const Tensor output(DType::kF32, q.shape());
  for (auto _ : state) {
    backend.attention({.q = q.view(),
                       .cache = blocks.cache,
                       .cu_seqlens = view(cu_seqlens, {2}),
                       .context_lens = view(end, {1}),
                       .key_begin = view(begin, {1}),
                       .key_end = view(end, {1}),
                       .block_tables = view(table, {1, num_blocks}),
                       .max_context_len = context_len,
                       .max_queries = 1,
                       .output = output.view()});
  }
  const auto rate = benchmark::Counter::kIsIterationInvariantRate;
  const auto bytes = static_cast<double>(context_len * blocks.bytes_of_token());
  state.counters["GB/s"] = benchmark::Counter(bytes * 1e-9, rate);
  state.SetLabel(backend.description());
}

void contexts(benchmark::internal::Benchmark* bench) {
  bench->ArgName("C")->Arg(1024)->Arg(16384)->Arg(65536)->UseRealTime();
}

BENCHMARK_CAPTURE(attention, f32, 0, KvFormat::kF32)->Apply(contexts);
BENCHMARK_CAPTURE(attention, bf16, 0, KvFormat::kBF16)->Apply(contexts);
BENCHMARK_CAPTURE(attention, codes_8, 8, KvFormat::kF32)->Apply(contexts);
BENCHMARK_CAPTURE(attention, codes_4, 4, KvFormat::kF32)->Apply(contexts);

}  // namespace
}  // namespace m2::bench
