// What the kernels of long contexts share: whose rows a block has, and their queries.
#pragma once

#include "cuda/key_products.cuh"

namespace m2::cuda {

constexpr float kLog2E = 1.4426950408889634F;
constexpr int kFillingThreads = 256;

// The mean over all values of the context, for a row that sees no key.
template <DType kType, int kHeadDim>
__device__ float mean_value(const AttentionView& args, const Tile& tile, int dim) {
  if (!args.uniform_when_masked) return 0.0F;
  float sum = 0.0F;
  for (int key = 0; key < tile.context_len; ++key) {
    const std::int64_t row = args.cache_row(tile.sequence, tile.kv_head, key);
    sum += load_element<kType>(args.values, row * kHeadDim + dim);
  }
  return sum / static_cast<float>(tile.context_len);
}

__device__ inline Tile make_tile(const AttentionView& args, int rows_per_tile) {
  const int sequence = static_cast<int>(blockIdx.y) / args.num_kv_heads;
  const int first_token = args.cu_seqlens[sequence];
  return {.sequence = sequence,
          .kv_head = static_cast<int>(blockIdx.y) % args.num_kv_heads,
          .first_token = first_token,
          .num_queries = args.cu_seqlens[sequence + 1] - first_token,
          .context_len = args.context_lens[sequence],
          .group = args.num_heads / args.num_kv_heads,
          .first_row = static_cast<int>(blockIdx.z) * rows_per_tile};
}

// The rows' queries as the products take them, [D / 16, kRows, 4], and what their scores must be
// multiplied by, [kRows]. By eight warps.
template <DType kType, int kRows, int kHeadDim>
__device__ void fill_queries(const AttentionView& args, const Tile& tile, SplitQuad* quads,
                             float* scales) {
  static_assert(kType == DType::kBF16 || kHeadDim == 128);  // a warp has a row
  for (int index = threadIdx.x; index < kRows * (kHeadDim / 4); index += kFillingThreads) {
    const int row = index / (kHeadDim / 4);
    const int quad = index % (kHeadDim / 4);
    float4 q = {};
    if (tile.has(row)) {
      const std::int64_t vector = std::int64_t{tile.token(row)} * args.num_heads + tile.head(row);
      q = reinterpret_cast<const float4*>(args.q)[vector * (kHeadDim / 4) + quad];
    }
    PowerScale power = {1.0F, 1.0F};
    if constexpr (kType == DType::kF8E4M3) {
      const float largest = fmaxf(fmaxf(fabsf(q.x), fabsf(q.y)), fmaxf(fabsf(q.z), fabsf(q.w)));
      power = scale_above(__uint_as_float(__reduce_max_sync(kAllLanes, __float_as_uint(largest))));
      q = {q.x * power.inverse, q.y * power.inverse, q.z * power.inverse, q.w * power.inverse};
    }
    quads[quad_place<kType>(quad, kRows, row)] = split_quad<kIsBf16<kType>>(q);
    if (quad == 0) scales[row] = args.scale * kLog2E * power.scale;
  }
}

}  // namespace m2::cuda
