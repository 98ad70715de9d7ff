#include "cuda/plain_experts.h"

#include "cuda/dispatch.h"
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"

namespace m2::cuda {
namespace {

constexpr int kPlainThreads = 128;

// A matrix of unknown alignment with the sizes that all experts share.
struct PlainMatrix {
  const void* data;
  const float* scale;
  std::int64_t cols;
  int block_rows;
  int block_cols;
  int scale_cols;

  template <DType kType>
  __device__ float load(std::int64_t row, int col) const {
    float value = load_element<kType>(data, row * cols + col);
    if constexpr (kType == DType::kF8E4M3) {
      value *= scale[row / block_rows * scale_cols + col / block_cols];
    }
    return value;
  }
};

inline PlainMatrix plain_matrix(const WeightView& weight) {
  return {nullptr,
          nullptr,
          weight.cols,
          static_cast<int>(weight.block_rows),
          static_cast<int>(weight.block_cols),
          static_cast<int>(weight.scale_cols())};
}

// sums[i] = row `row` of the matrix times row_of(i), over the threads of the block.
template <DType kType, typename RowOf>
__device__ inline void plain_products(const PlainMatrix& matrix, std::int64_t row, int count,
                                      const RowOf& row_of, float (*scratch)[32],
                                      float (&sums)[kPlainTokens]) {
  for (int i = 0; i < kPlainTokens; ++i) sums[i] = 0.0F;
  for (int col = threadIdx.x; col < matrix.cols; col += kPlainThreads) {
    const float value = matrix.load<kType>(row, col);
#pragma unroll
    for (int i = 0; i < kPlainTokens; ++i) {
      if (i < count) sums[i] += value * row_of(i)[col];
    }
  }
#pragma unroll
  for (int i = 0; i < kPlainTokens; ++i) sums[i] = sum_of_block(sums[i], scratch[i]);
}

// Grid: x rows, y tiles of slots.
template <DType kType>
__global__ void plain_gate_up_kernel(const float* hidden_states,     // [T, H]
                                     const ExpertPointers* experts,  // [E]
                                     ExpertGroupsView groups, PlainMatrix gate, PlainMatrix up,
                                     int rows, int top_k, Activation activation,
                                     float* inner) {  // [T * K, I]
  __shared__ float scratch[2][kPlainTokens][32];
  begin_kernel();
  const ExpertTile slots = groups.tile(blockIdx.y);
  if (slots.count == 0) return;
  const ExpertPointers& expert = experts[slots.expert];
  gate.data = expert.gate;
  gate.scale = expert.gate_scale;
  up.data = expert.up;
  up.scale = expert.up_scale;
  const auto row_of = [&](int i) {
    return hidden_states + groups.slot(slots.first + i) / top_k * gate.cols;
  };
  float gate_sums[kPlainTokens];
  float up_sums[kPlainTokens];
  plain_products<kType>(gate, blockIdx.x, slots.count, row_of, scratch[0], gate_sums);
  plain_products<kType>(up, blockIdx.x, slots.count, row_of, scratch[1], up_sums);
  if (threadIdx.x != 0) return;
#pragma unroll
  for (int i = 0; i < kPlainTokens; ++i) {
    if (i >= slots.count) break;
    const std::int64_t slot = groups.slot(slots.first + i);
    inner[slot * rows + blockIdx.x] = device_activate(activation, gate_sums[i]) * up_sums[i];
  }
}

// Grid: x rows, y tiles of slots.
template <DType kType>
__global__ void plain_down_kernel(const float* inner,             // [T * K, I]
                                  const ExpertPointers* experts,  // [E]
                                  ExpertGroupsView groups, PlainMatrix matrix, int rows,
                                  float* down) {  // [T * K, H]
  __shared__ float scratch[kPlainTokens][32];
  begin_kernel();
  const ExpertTile slots = groups.tile(blockIdx.y);
  if (slots.count == 0) return;
  matrix.data = experts[slots.expert].down;
  matrix.scale = experts[slots.expert].down_scale;
  const auto row_of = [&](int i) { return inner + groups.slot(slots.first + i) * matrix.cols; };
  float sums[kPlainTokens];
  plain_products<kType>(matrix, blockIdx.x, slots.count, row_of, scratch, sums);
  if (threadIdx.x != 0) return;
#pragma unroll
  for (int i = 0; i < kPlainTokens; ++i) {
    if (i >= slots.count) break;
    const std::int64_t slot = groups.slot(slots.first + i);
    down[slot * rows + blockIdx.x] = sums[i];
  }
}

}  // namespace

void plain_gate_up(const MoeExpertsArgs& args, const ExpertGroupsView& groups,
                   const ExpertPointers* table, float* inner, Context& context) {
  const ExpertWeights& first = args.experts.front();
  const dim3 grid(static_cast<unsigned>(first.gate.rows), static_cast<unsigned>(groups.max_tiles));
  for_weight_type(first.gate.dtype, [&](auto tag) {
    launch_kernel(context, plain_gate_up_kernel<tag.value>, grid, kPlainThreads, 0,
                  args.hidden_states.as<float>(), table, groups, plain_matrix(first.gate),
                  plain_matrix(first.up), static_cast<int>(first.gate.rows),
                  static_cast<int>(args.topk_ids.shape[1]), args.activation, inner);
  });
}

void plain_down(const MoeExpertsArgs& args, const ExpertGroupsView& groups,
                const ExpertPointers* table, const float* inner, float* down, Context& context) {
  const WeightView& first = args.experts.front().down;
  const dim3 grid(static_cast<unsigned>(first.rows), static_cast<unsigned>(groups.max_tiles));
  for_weight_type(first.dtype, [&](auto tag) {
    launch_kernel(context, plain_down_kernel<tag.value>, grid, kPlainThreads, 0, inner, table,
                  groups, plain_matrix(first), static_cast<int>(first.rows), down);
  });
}

}  // namespace m2::cuda
