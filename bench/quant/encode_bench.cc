// What a conversion does to a strip on one core: weights to floats, floats to blocks, blocks back.
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "m2/tensor.h"
#include "quant/ggml_format.h"
#include "quant/strip_format.h"
#include "quant/weight_view.h"

namespace m2::bench {
namespace {

constexpr std::int64_t kCols = 3072;  // of an expert's gate
constexpr std::int64_t kWeights = kStripRows * kCols;

std::vector<float> normal_weights() {
  std::mt19937 engine(1);
  std::normal_distribution<float> normal(0.0F, 0.02F);
  std::vector<float> weights(kWeights);
  for (float& weight : weights) weight = normal(engine);
  return weights;
}

void count(benchmark::State& state) {
  state.counters["weights/s"] =
      benchmark::Counter(kWeights, benchmark::Counter::kIsIterationInvariantRate);
}

void encode(BlockFormat format, const std::vector<float>& weights, std::byte* out) {
  if (is_strip_format(format)) {
    return encode_strip(format, weights.data(), kStripRows, kCols, out);
  }
  for (std::int64_t row = 0; row < kStripRows; ++row) {
    encode_ggml_row(format, weights.data() + row * kCols, kCols,
                    out + row * ggml_layout(format).row_bytes(kCols));
  }
}

std::vector<std::byte> blocks_for(BlockFormat format) {
  return std::vector<std::byte>(
      static_cast<std::size_t>(block_matrix_bytes(format, kStripRows, kCols)));
}

void encode_blocks(benchmark::State& state, BlockFormat format) {
  const auto weights = normal_weights();
  auto out = blocks_for(format);
  for (auto _ : state) {
    encode(format, weights, out.data());
    benchmark::ClobberMemory();
  }
  count(state);
}

void decode(benchmark::State& state, const WeightView& view) {
  std::vector<float> row(kCols);
  for (auto _ : state) {
    for (std::int64_t r = 0; r < kStripRows; ++r) decode_row(view, r, row.data());
    benchmark::ClobberMemory();
  }
  count(state);
}

void decode_blocks(benchmark::State& state, BlockFormat format) {
  auto out = blocks_for(format);
  encode(format, normal_weights(), out.data());
  WeightView view = {out.data(), DType::kU8, kStripRows, kCols};
  view.block_format = format;
  decode(state, view);
}

void decode_elements(benchmark::State& state, DType dtype) {
  const Tensor weights(dtype, {kStripRows, kCols});
  const std::vector<float> scales(1 + kCols / 128, 1.0F);
  WeightView view = {weights.view().data, dtype, kStripRows, kCols};
  if (dtype == DType::kF8E4M3) view.scale = scales.data();
  decode(state, view);
}

BENCHMARK_CAPTURE(encode_blocks, int8_g32, BlockFormat::kInt8G32);
BENCHMARK_CAPTURE(encode_blocks, int4_g32, BlockFormat::kInt4G32);
BENCHMARK_CAPTURE(encode_blocks, int4_g128, BlockFormat::kInt4G128);
BENCHMARK_CAPTURE(encode_blocks, q8_0, BlockFormat::kQ8_0);
BENCHMARK_CAPTURE(encode_blocks, q4_k, BlockFormat::kQ4_K);
BENCHMARK_CAPTURE(encode_blocks, q6_k, BlockFormat::kQ6_K);
BENCHMARK_CAPTURE(decode_blocks, int8_g32, BlockFormat::kInt8G32);
BENCHMARK_CAPTURE(decode_blocks, int4_g32, BlockFormat::kInt4G32);
BENCHMARK_CAPTURE(decode_elements, bf16, DType::kBF16);
BENCHMARK_CAPTURE(decode_elements, fp8, DType::kF8E4M3);

}  // namespace
}  // namespace m2::bench
