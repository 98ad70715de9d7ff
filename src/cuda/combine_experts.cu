#include "cuda/combine_experts.h"

#include "cuda/alignment.h"
#include "cuda/launch.cuh"

namespace m2::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kBatch = 8;  // rows that are on their way together

/// Neighbouring columns that a thread adds up.
template <int kCols>
struct alignas(kCols * sizeof(float)) Columns {
  float values[kCols];
};

// Grid: x along H, y tokens.
template <int kCols>
__global__ void __launch_bounds__(kThreads)
    combine_experts_kernel(const Columns<kCols>* down,  // [T * K, H / kCols]
                           const float* topk_weights,   // [T, K]
                           int row_columns, int top_k,
                           Columns<kCols>* output) {  // [T, H / kCols]
  begin_kernel();
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i >= row_columns) return;
  const std::int64_t first_slot = std::int64_t{blockIdx.y} * top_k;
  Columns<kCols>& to = output[std::int64_t{blockIdx.y} * row_columns + i];
  const Columns<kCols> before = to;
  Columns<kCols> sum = {};
  for (int first = 0; first < top_k; first += kBatch) {
    Columns<kCols> rows[kBatch];
    float weights[kBatch];
#pragma unroll
    for (int j = 0; j < kBatch; ++j) {
      const std::int64_t slot = first_slot + min(first + j, top_k - 1);
      rows[j] = down[slot * row_columns + i];
      weights[j] = topk_weights[slot];
    }
#pragma unroll
    for (int j = 0; j < kBatch; ++j) {
      if (first + j >= top_k) break;
#pragma unroll
      for (int c = 0; c < kCols; ++c) sum.values[c] += weights[j] * rows[j].values[c];
    }
  }
#pragma unroll
  for (int c = 0; c < kCols; ++c) sum.values[c] += before.values[c];
  to = sum;
}

template <int kCols>
void combine(const float* down, const MoeExpertsArgs& args, const Context& context) {
  const auto row_columns = static_cast<int>(args.output.shape[1] / kCols);
  const dim3 blocks(static_cast<unsigned>((row_columns + kThreads - 1) / kThreads),
                    static_cast<unsigned>(args.output.shape[0]));
  launch_kernel(context, combine_experts_kernel<kCols>, blocks, kThreads, 0,
                reinterpret_cast<const Columns<kCols>*>(down), args.topk_weights.as<float>(),
                row_columns, static_cast<int>(args.topk_ids.shape[1]),
                static_cast<Columns<kCols>*>(args.output.data));
}

}  // namespace

void combine_experts(const float* down, const MoeExpertsArgs& args, const Context& context) {
  constexpr int kWide = 4;
  if (args.output.shape[1] % kWide == 0 && is_aligned(down) && is_aligned(args.output.data)) {
    return combine<kWide>(down, args, context);
  }
  combine<1>(down, args, context);
}

}  // namespace m2::cuda
