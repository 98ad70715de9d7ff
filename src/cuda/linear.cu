#include "ops/linear.h"

#include <algorithm>
#include <span>

#include "cuda/context.h"
#include "cuda/dispatch.h"
#include "cuda/launch.cuh"
#include "cuda/one_token_stream.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {
namespace {

constexpr int kMaxParts = 4;

// One weight of a launch.
struct LinearPart {
  const void* weight;  // [rows, K]
  const float* scale;
  float* output;  // [T, rows]
  int rows;
  int first_block;  // of the grid
  bool accumulate;
};

// Weights of one width and storage type that share their input.
struct StreamLinear {
  const float* input;  // [T, K]
  int num_tokens;
  StreamShape shape;  // but for the rows
  int num_parts;
  LinearPart parts[kMaxParts];

  __device__ const LinearPart& part_of(int block) const {
    int index = 0;
    while (index + 1 < num_parts && block >= parts[index + 1].first_block) ++index;
    return parts[index];
  }
};

__device__ StreamShape shape_of(const StreamLinear& args, const LinearPart& part) {
  StreamShape shape = args.shape;
  shape.rows = part.rows;
  return shape;
}

template <int kRowTiles>
__device__ void make_tiles(const LinearPart& part, int first_row, RowTile (&tiles)[kRowTiles]) {
#pragma unroll
  for (int m = 0; m < kRowTiles; ++m) {
    tiles[m] = {part.weight, part.scale, first_row + m * kTileRows};
  }
}

__device__ void put(const LinearPart& part, int token, int row, float sum) {
  float& output = part.output[std::int64_t{token} * part.rows + row];
  output = part.accumulate ? output + sum : sum;
}

// Grid: x blocks of rows, y tiles of tokens.
template <DType kType, int kRowTiles, int kTokenTiles>
__global__ void __launch_bounds__(kStreamThreads, kStreamBlocks<kTokenTiles>)
    stream_linear_kernel(StreamLinear args) {
  constexpr int kRows = kRowTiles * kTileRows;
  constexpr int kTokens = kTokenTiles * kTileTokens;
  __shared__ BlockSums<kRowTiles, kTokenTiles> partial;
  const LinearPart& part = args.part_of(static_cast<int>(blockIdx.x));
  const int first_row = (static_cast<int>(blockIdx.x) - part.first_block) * kRows;
  const StreamShape shape = shape_of(args, part);
  RowTile tiles[kRowTiles];
  make_tiles(part, first_row, tiles);
  const WarpChunks chunks(shape);
  RowStream<kType, kRowTiles, kTokenTiles> stream(shape, tiles, chunks.begin, chunks.end);
  stream.start();
  begin_kernel();
  const int first_token = static_cast<int>(blockIdx.y) * kTokens;
  const auto row_of = [&](int i) -> const float* {
    const int token = first_token + i;
    if (token >= args.num_tokens) return nullptr;
    return args.input + std::int64_t{token} * shape.cols;
  };
  LaneSums sums[kRowTiles][kTokenTiles] = {};
  stream.multiply(row_of, sums);
  partial.store(sums);
  __syncthreads();
  for (int i = threadIdx.x; i < kRows * kTokens; i += kStreamThreads) {
    const int row = i % kRows;  // neighbours in a row of the output
    const int token = i / kRows;
    if (first_row + row >= part.rows || first_token + token >= args.num_tokens) continue;
    put(part, first_token + token, first_row + row,
        partial.sum(row / kTileRows, row % kTileRows, token));
  }
}

// Grid: x blocks of rows.
template <DType kType, int kRowTiles>
__global__ void __launch_bounds__(kStreamThreads, 2) one_token_linear_kernel(StreamLinear args) {
  constexpr int kRows = kRowTiles * kTileRows;
  extern __shared__ uint4 shared[];
  __shared__ OneTokenSums<kRowTiles> partial;
  const LinearPart& part = args.part_of(static_cast<int>(blockIdx.x));
  const int first_row = (static_cast<int>(blockIdx.x) - part.first_block) * kRows;
  const StreamShape shape = shape_of(args, part);
  RowTile tiles[kRowTiles];
  make_tiles(part, first_row, tiles);
  const WarpChunks chunks(shape);
  const int warp_bytes = one_token_bytes(most_warp_chunks(shape.chunks));
  auto* memory = reinterpret_cast<char*>(shared) + threadIdx.x / 32 * warp_bytes;
  OneTokenStream<kType, kRowTiles> stream(shape, tiles, chunks.begin, chunks.end, memory);
  stream.start();
  begin_kernel();
  float sums[kRowTiles][2];
  stream.multiply(args.input, sums);
  partial.store(sums);
  __syncthreads();
  const auto row = static_cast<int>(threadIdx.x);
  if (row < kRows && first_row + row < part.rows) put(part, 0, first_row + row, partial.sum(row));
}

class StreamLinearCall {
 public:
  StreamLinearCall(std::span<const LinearArgs> products, Context& context)
      : products_(products), context_(context) {
    const LinearArgs& first = products.front();
    args_ = {.input = first.input.as<float>(),
             .num_tokens = static_cast<int>(first.input.shape[0]),
             .shape = stream_shape(first.weight),
             .num_parts = static_cast<int>(products.size())};
  }

  // What can share a launch.
  static bool fits(std::span<const LinearArgs> products) {
    if (products.empty() || products.size() > kMaxParts) return false;
    const LinearArgs& first = products.front();
    return std::ranges::all_of(products, [&](const LinearArgs& args) {
      const WeightView& weight = args.weight;
      return fits_mma(weight) && args.input.data == first.input.data &&
             weight.dtype == first.weight.dtype && weight.cols == first.weight.cols &&
             weight.block_rows == first.weight.block_rows &&
             weight.block_cols == first.weight.block_cols;
    });
  }

  template <DType kType>
  void run() {
    // Smaller blocks where large ones would leave multiprocessors without work.
    const bool small = count_blocks(2 * kTileRows) < context_.num_sms;
    if (args_.num_tokens == 1 && num_bytes() <= context_.shared_bytes - 4096) {
      return small ? launch_one<kType, 1>() : launch_one<kType, 2>();
    }
    if (args_.num_tokens <= kTileTokens) {
      return small ? launch<kType, 1, 1>() : launch<kType, 2, 1>();
    }
    launch<kType, 2, 4>();
  }

 private:
  template <DType kType, int kRowTiles, int kTokenTiles>
  void launch() {
    constexpr int kTokens = kTokenTiles * kTileTokens;
    const dim3 grid(set_parts(kRowTiles * kTileRows),
                    static_cast<unsigned>((args_.num_tokens + kTokens - 1) / kTokens));
    launch_kernel(context_, stream_linear_kernel<kType, kRowTiles, kTokenTiles>, grid,
                  kStreamThreads, 0, args_);
  }

  template <DType kType, int kRowTiles>
  void launch_one() {
    allow_shared_memory(one_token_linear_kernel<kType, kRowTiles>, num_bytes());
    launch_kernel(context_, one_token_linear_kernel<kType, kRowTiles>,
                  set_parts(kRowTiles * kTileRows), kStreamThreads, num_bytes(), args_);
  }

  [[nodiscard]] int num_bytes() const {
    return kStreamWarps * one_token_bytes(most_warp_chunks(args_.shape.chunks));
  }

  [[nodiscard]] int count_blocks(int block_rows) const {
    std::int64_t blocks = 0;
    for (const LinearArgs& args : products_)
      blocks += (args.weight.rows + block_rows - 1) / block_rows;
    return static_cast<int>(blocks);
  }

  // Returns the number of blocks.
  unsigned set_parts(int block_rows) {
    int blocks = 0;
    for (std::size_t i = 0; i < products_.size(); ++i) {
      const LinearArgs& args = products_[i];
      args_.parts[i] = {.weight = args.weight.data,
                        .scale = args.weight.scale,
                        .output = args.output.as<float>(),
                        .rows = static_cast<int>(args.weight.rows),
                        .first_block = blocks,
                        .accumulate = args.accumulate};
      blocks += static_cast<int>((args.weight.rows + block_rows - 1) / block_rows);
    }
    return static_cast<unsigned>(blocks);
  }

  std::span<const LinearArgs> products_;
  Context& context_;
  StreamLinear args_{};
};

constexpr int kPlainThreads = 128;
constexpr int kPlainTokens = 8;

// Any type, size and alignment. One block a weight row (x) and tile of tokens (y).
template <DType kType>
__global__ void plain_linear_kernel(const float* input, WeightView weight, float* output,
                                    std::int64_t num_tokens, bool accumulate) {
  __shared__ float scratch[kPlainTokens][32];
  begin_kernel();
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
    if (first_token + i >= num_tokens) break;
    const float sum = sum_of_block(sums[i], scratch[i]);
    if (threadIdx.x != 0) continue;
    float& to = output[(first_token + i) * weight.rows + row];
    to = accumulate ? to + sum : sum;
  }
}

template <DType kType>
void plain_linear(const LinearArgs& args, Context& context) {
  const std::int64_t num_tokens = args.input.shape[0];
  const dim3 grid(static_cast<unsigned>(args.weight.rows),
                  static_cast<unsigned>((num_tokens + kPlainTokens - 1) / kPlainTokens));
  launch_kernel(context, plain_linear_kernel<kType>, grid, kPlainThreads, 0, args.input.as<float>(),
                args.weight, args.output.as<float>(), num_tokens, args.accumulate);
}

// The router at decode: F32 rows in vectors, all of a thread's in flight. Grid as above.
template <int kTokens>
__global__ void __launch_bounds__(kPlainThreads)
    f32_linear_kernel(const float4* input, const float4* weight, float* output, int rows,
                      int vectors, int num_tokens, bool accumulate) {
  __shared__ float scratch[kTokens][32];
  begin_kernel();
  const int row = static_cast<int>(blockIdx.x);
  const int first_token = static_cast<int>(blockIdx.y) * kTokens;
  float sums[kTokens] = {};
#pragma unroll 6
  for (int i = threadIdx.x; i < vectors; i += kPlainThreads) {
    const float4 w = __ldg(weight + std::int64_t{row} * vectors + i);
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      if (first_token + t >= num_tokens) break;
      const float4 x = input[std::int64_t{first_token + t} * vectors + i];
      sums[t] += w.x * x.x + w.y * x.y + w.z * x.z + w.w * x.w;
    }
  }
#pragma unroll
  for (int t = 0; t < kTokens; ++t) {
    if (first_token + t >= num_tokens) break;
    const float sum = sum_of_block(sums[t], scratch[t]);
    if (threadIdx.x != 0) continue;
    float& to = output[std::int64_t{first_token + t} * rows + row];
    to = accumulate ? to + sum : sum;
  }
}

template <int kTokens>
void f32_linear(const LinearArgs& args, Context& context) {
  const auto num_tokens = static_cast<int>(args.input.shape[0]);
  const dim3 grid(static_cast<unsigned>(args.weight.rows),
                  static_cast<unsigned>((num_tokens + kTokens - 1) / kTokens));
  launch_kernel(context, f32_linear_kernel<kTokens>, grid, kPlainThreads, 0,
                static_cast<const float4*>(args.input.data),
                static_cast<const float4*>(args.weight.data), args.output.as<float>(),
                static_cast<int>(args.weight.rows), static_cast<int>(args.weight.cols / 4),
                num_tokens, args.accumulate);
}

bool is_aligned(const void* data) { return reinterpret_cast<std::uintptr_t>(data) % 16 == 0; }

void plain_linear(const LinearArgs& args, Context& context) {
  const WeightView& weight = args.weight;
  const bool vectors =
      weight.cols % 4 == 0 && is_aligned(weight.data) && is_aligned(args.input.data);
  if (weight.dtype == DType::kF32 && vectors) {
    return args.input.shape[0] == 1 ? f32_linear<1>(args, context) : f32_linear<8>(args, context);
  }
  for_weight_type(weight.dtype, [&](auto tag) { plain_linear<tag.value>(args, context); });
}

}  // namespace

void linear(const LinearArgs& args, Context& context) { linears({&args, 1}, context); }

void linears(std::span<const LinearArgs> products, Context& context) {
  for (const LinearArgs& args : products) check(args);
  if (products.empty() || products.front().input.shape[0] == 0) return;
  if (StreamLinearCall::fits(products)) {
    StreamLinearCall call(products, context);
    for_weight_type(products.front().weight.dtype, [&](auto tag) {
      if constexpr (tag.value != DType::kF32) call.run<tag.value>();
    });
  } else if (products.size() == 1) {
    plain_linear(products.front(), context);
  } else {
    for (const LinearArgs& args : products) linear(args, context);
  }
  check_launch("linear");
}

}  // namespace m2::cuda
