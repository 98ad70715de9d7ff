#include "cuda/launch.cuh"
#include "cuda/mma.cuh"
#include "cuda/sm90/row_tiles.h"

namespace m2::cuda::sm90 {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / 32;
constexpr int kHeld = kTileMostColumns / 4 / kThreads;  // quads of a thread

struct Filling {
  const float4* input;        // [T, cols]
  const float4* norm_weight;  // [cols], absent where rows are taken as they are
  float eps;
  int quads;  // cols / 4
  char* rows;
  float* scales;
};

__device__ float largest_of(float4 x) {
  return fmaxf(fmaxf(fabsf(x.x), fabsf(x.y)), fmaxf(fabsf(x.z), fabsf(x.w)));
}

// Over the threads of a block: the sum of x, the largest y.
__device__ float2 sum_and_largest(float x, float y) {
  __shared__ float2 scratch[kWarps];
  const int lane = static_cast<int>(threadIdx.x) % 32;
  x = sum_of_warp(x);
  y = __uint_as_float(__reduce_max_sync(kAllLanes, __float_as_uint(y)));
  if (lane == 0) scratch[threadIdx.x / 32] = {x, y};
  __syncthreads();
  const float2 own = lane < kWarps ? scratch[lane] : float2{};
  return {sum_of_warp(own.x),
          __uint_as_float(__reduce_max_sync(kAllLanes, __float_as_uint(own.y)))};
}

// Four neighbouring columns of a row: where a lane of a product finds the weights that belong to
// them, column 4 i in step i % (C / 16) of its C / 4 neighbouring ones, C = 128 or 64 columns.
template <DType kType>
struct QuadPlace {
  static constexpr int kStageColumns = kType == DType::kF8E4M3 ? 128 : 64;
  int block;  // of 64 columns
  int chunk;  // of sixteen bytes: the first pair; the second pair lies in the next
  int byte;

  __device__ explicit QuadPlace(int quad) {
    constexpr int kSteps = kStageColumns / 16;
    const int within = quad % (kStageColumns / 4);
    const int step = within % kSteps;
    block = quad / (kStageColumns / 4) * (kStageColumns / 64) + step / 4;
    chunk = step % 4 * 2;
    byte = within / kSteps * 4;
  }
};

// One block a token.
template <DType kType, int kTokens>
__global__ void __launch_bounds__(kThreads) fill_tile_tokens_kernel(const Filling args) {
  constexpr int kRows = token_parts(kType) * kTokens;
  const int thread = static_cast<int>(threadIdx.x);
  const int token = static_cast<int>(blockIdx.x);
  const bool norms = args.norm_weight != nullptr;
  float4 weight[kHeld];
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int quad = i * kThreads + thread;
    weight[i] = norms && quad < args.quads ? __ldg(args.norm_weight + quad)
                                           : float4{1.0F, 1.0F, 1.0F, 1.0F};
  }
  begin_kernel();
  const float4* input = args.input + std::int64_t{token} * args.quads;
  float4 x[kHeld];
  float squares = 0.0F;
  float largest = 0.0F;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int quad = i * kThreads + thread;
    x[i] = quad < args.quads ? input[quad] : float4{};
  }
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    float4& v = x[i];
    const float4& w = weight[i];
    squares += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
    v = {v.x * w.x, v.y * w.y, v.z * w.z, v.w * w.w};
    largest = fmaxf(largest, largest_of(v));
  }
  const float2 found = sum_and_largest(squares, largest);
  const float factor =
      norms ? 1.0F / sqrtf(found.x / static_cast<float>(4 * args.quads) + args.eps) : 1.0F;
  constexpr bool kScaled = kType != DType::kBF16;
  const PowerScale power = kScaled ? scale_above(found.y * factor) : PowerScale{1.0F, 1.0F};
  if (thread == 0) args.scales[token] = power.scale;
  const float times = factor * power.inverse;
#pragma unroll
  for (int i = 0; i < kHeld; ++i) {
    const int quad = i * kThreads + thread;
    if (quad >= args.quads) break;
    const float4& v = x[i];
    const SplitQuad parts =
        split_quad<kIsBf16<kType>>({v.x * times, v.y * times, v.z * times, v.w * times});
    const QuadPlace<kType> place(quad);
    const auto write = [&](int row, const std::uint32_t(&pairs)[2]) {
      char* to = args.rows + (std::int64_t{place.block} * kRows + row) * 128 + place.byte;
#pragma unroll
      for (int pair = 0; pair < 2; ++pair) {
        const int chunk = (place.chunk + pair) ^ (row % 8);
        *reinterpret_cast<std::uint32_t*>(to + chunk * 16) = pairs[pair];
      }
    };
    write(token, parts.high);
    if constexpr (token_parts(kType) == 2) write(kTokens + token, parts.low);
  }
}

}  // namespace

void fill_tile_tokens(const TensorView& input, const RmsNormArgs* norm, DType type,
                      const TileTokens& to, Context& context) {
  const auto num_tokens = static_cast<int>(input.shape[0]);
  const Filling args = {
      .input = static_cast<const float4*>(input.data),
      .norm_weight = norm == nullptr ? nullptr : static_cast<const float4*>(norm->weight.data),
      .eps = norm == nullptr ? 0.0F : norm->eps,
      .quads = static_cast<int>(input.shape[1] / 4),
      .rows = static_cast<char*>(to.rows),
      .scales = to.scales};
  const auto start = [&](auto kernel) {
    launch_kernel(context, kernel, static_cast<unsigned>(num_tokens), kThreads, 0, args);
  };
  const bool few = padded_tokens(num_tokens) == 32;
  if (type == DType::kF8E4M3) {
    start(few ? fill_tile_tokens_kernel<DType::kF8E4M3, 32>
              : fill_tile_tokens_kernel<DType::kF8E4M3, 64>);
  } else if (type == DType::kF16) {
    start(few ? fill_tile_tokens_kernel<DType::kF16, 32>
              : fill_tile_tokens_kernel<DType::kF16, 64>);
  } else {
    start(few ? fill_tile_tokens_kernel<DType::kBF16, 32>
              : fill_tile_tokens_kernel<DType::kBF16, 64>);
  }
}

}  // namespace m2::cuda::sm90
