// The sum over a token's experts.
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "cuda/sm90/tokens.h"

namespace m2::cuda::sm90 {
namespace {

constexpr int kThreads = 128;

struct Combination {
  const uint4* down;                // [rows, H] bf16
  const std::int32_t* row_of_slot;  // [T, K]
  const float* topk_weights;        // [T, K]
  int top_k;
  int vectors;    // of eight columns
  float* output;  // [T, H]
};

// Grid: x along H, y tokens.
__global__ void __launch_bounds__(kThreads) combine_rows_kernel(Combination args) {
  begin_kernel();
  const int vector = static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x);
  if (vector >= args.vectors) return;
  const std::int64_t first = std::int64_t{blockIdx.y} * args.top_k;
  float sums[8] = {};
#pragma unroll 8
  for (int j = 0; j < args.top_k; ++j) {
    const std::int64_t row = args.row_of_slot[first + j];
    const float weight = args.topk_weights[first + j];
    const uint4 values = __ldcs(args.down + row * args.vectors + vector);
    const std::uint32_t words[4] = {values.x, values.y, values.z, values.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 pair = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(words[i]));
      sums[2 * i] += weight * pair.x;
      sums[2 * i + 1] += weight * pair.y;
    }
  }
  auto* output = reinterpret_cast<float4*>(args.output) +
                 (std::int64_t{blockIdx.y} * args.vectors + vector) * 2;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    float4 to = output[i];
    to.x += sums[4 * i];
    to.y += sums[4 * i + 1];
    to.z += sums[4 * i + 2];
    to.w += sums[4 * i + 3];
    output[i] = to;
  }
}

}  // namespace

void combine_rows(const void* down, const MoeExpertsArgs& args, const TokenRows& groups,
                  const Context& context) {
  const auto vectors = static_cast<int>(args.output.shape[1] / 8);
  const dim3 grid(static_cast<unsigned>((vectors + kThreads - 1) / kThreads),
                  static_cast<unsigned>(args.output.shape[0]));
  launch_kernel(context, combine_rows_kernel, grid, kThreads, 0,
                {.down = static_cast<const uint4*>(down),
                 .row_of_slot = groups.row_of_slot,
                 .topk_weights = args.topk_weights.as<float>(),
                 .top_k = static_cast<int>(args.topk_ids.shape[1]),
                 .vectors = vectors,
                 .output = args.output.as<float>()});
}

}  // namespace m2::cuda::sm90
