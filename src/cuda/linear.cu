#include "ops/linear.h"

#include "cuda/context.h"
#include "cuda/dispatch.h"
#include "cuda/row_stream.cuh"

namespace m2::cuda {
namespace {

struct StreamLinear {
  const float* input;  // [T, K]
  const void* weight;  // [N, K]
  const float* scale;
  StreamShape shape;
  float* output;  // [T, N]
  int num_tokens;
  bool accumulate;
};

constexpr int kRowTiles = 2;
constexpr int kBlockRows = kRowTiles * kTileRows;

// Grid: x blocks of rows, y tiles of tokens.
template <DType kType, int kTokenTiles>
__global__ void __launch_bounds__(kStreamThreads, kStreamBlocks<kTokenTiles>)
    stream_linear_kernel(StreamLinear args) {
  constexpr int kTokens = kTokenTiles * kTileTokens;
  __shared__ BlockSums<kRowTiles, kTokenTiles> partial;
  const int first_row = static_cast<int>(blockIdx.x) * kBlockRows;
  const RowTile tiles[kRowTiles] = {{args.weight, args.scale, first_row},
                                    {args.weight, args.scale, first_row + kTileRows}};
  const WarpChunks chunks(args.shape);
  RowStream<kType, kRowTiles, kTokenTiles> stream(args.shape, tiles, chunks.begin, chunks.end);
  stream.start();
  const int first_token = static_cast<int>(blockIdx.y) * kTokens;
  const auto row_of = [&](int i) -> const float* {
    const int token = first_token + i;
    if (token >= args.num_tokens) return nullptr;
    return args.input + std::int64_t{token} * args.shape.cols;
  };
  LaneSums sums[kRowTiles][kTokenTiles] = {};
  stream.multiply(row_of, sums);
  partial.store(sums);
  __syncthreads();

  for (int i = threadIdx.x; i < kBlockRows * kTokens; i += kStreamThreads) {
    const int row = i % kBlockRows;  // neighbours in a row of the output
    const int token = i / kBlockRows;
    if (first_row + row >= args.shape.rows || first_token + token >= args.num_tokens) continue;
    const float sum = partial.sum(row / kTileRows, row % kTileRows, token);
    float& output =
        args.output[std::int64_t{first_token + token} * args.shape.rows + first_row + row];
    output = args.accumulate ? output + sum : sum;
  }
}

template <DType kType, int kTokenTiles>
void launch_stream(const StreamLinear& args, Context& context) {
  constexpr int kTokens = kTokenTiles * kTileTokens;
  const dim3 grid(static_cast<unsigned>((args.shape.rows + kBlockRows - 1) / kBlockRows),
                  static_cast<unsigned>((args.num_tokens + kTokens - 1) / kTokens));
  stream_linear_kernel<kType, kTokenTiles><<<grid, kStreamThreads, 0, context.stream.get()>>>(args);
}

template <DType kType>
void stream_linear(const LinearArgs& args, Context& context) {
  const StreamLinear stream = {.input = args.input.as<float>(),
                               .weight = args.weight.data,
                               .scale = args.weight.scale,
                               .shape = stream_shape(args.weight),
                               .output = args.output.as<float>(),
                               .num_tokens = static_cast<int>(args.input.shape[0]),
                               .accumulate = args.accumulate};
  if (stream.num_tokens <= kTileTokens) return launch_stream<kType, 1>(stream, context);
  launch_stream<kType, 4>(stream, context);
}

constexpr int kPlainThreads = 128;
constexpr int kPlainTokens = 8;

// Any type, size and alignment. One block a weight row (x) and tile of tokens (y).
template <DType kType>
__global__ void plain_linear_kernel(const float* input, WeightView weight, float* output,
                                    std::int64_t num_tokens, bool accumulate) {
  __shared__ float scratch[kPlainTokens][32];
  const std::int64_t row = blockIdx.x;
  const std::int64_t first_token = std::int64_t{blockIdx.y} * kPlainTokens;
  const std::int64_t scale_row = row / weight.block_rows * weight.scale_cols();
  const auto block_cols = static_cast<int>(weight.block_cols);
  const auto cols = static_cast<int>(weight.cols);
  float sums[kPlainTokens] = {};
  for (int col = threadIdx.x; col < cols; col += kPlainThreads) {
    float value = load_element<kType>(weight.data, row * cols + col);
    if constexpr (kType == DType::kF8E4M3) value *= weight.scale[scale_row + col / block_cols];
#pragma unroll
    for (int i = 0; i < kPlainTokens; ++i) {
      if (first_token + i < num_tokens) sums[i] += value * input[(first_token + i) * cols + col];
    }
  }
#pragma unroll
  for (int i = 0; i < kPlainTokens; ++i) {
    const float sum = sum_of_block(sums[i], scratch[i]);
    if (threadIdx.x != 0 || first_token + i >= num_tokens) continue;
    float& to = output[(first_token + i) * weight.rows + row];
    to = accumulate ? to + sum : sum;
  }
}

template <DType kType>
void plain_linear(const LinearArgs& args, Context& context) {
  const std::int64_t num_tokens = args.input.shape[0];
  const dim3 grid(static_cast<unsigned>(args.weight.rows),
                  static_cast<unsigned>((num_tokens + kPlainTokens - 1) / kPlainTokens));
  plain_linear_kernel<kType><<<grid, kPlainThreads, 0, context.stream.get()>>>(
      args.input.as<float>(), args.weight, args.output.as<float>(), num_tokens, args.accumulate);
}

}  // namespace

void linear(const LinearArgs& args, Context& context) {
  check(args);
  if (args.input.shape[0] == 0) return;
  for_weight_type(args.weight.dtype, [&](auto tag) {
    if constexpr (tag.value != DType::kF32) {
      if (fits_mma(args.weight)) return stream_linear<tag.value>(args, context);
    }
    plain_linear<tag.value>(args, context);
  });
  check_launch("linear");
}

}  // namespace m2::cuda
