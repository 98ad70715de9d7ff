// What happens to the sums of a tile: 64 weight rows of a warpgroup times its tokens.
#pragma once

#include <cuda_bf16.h>

#include "cuda/sm90/gemm_stages.cuh"

namespace m2::cuda::sm90 {

#if M2_SM90_CODE

// Undoes the scaling of the tokens' rows.
template <int kTokens>
__device__ void scale_by_row(const NextTile& tile, float (&sums)[kTokens / 2]) {
  const float* scales = tile.token_scales + threadIdx.x % 4 * 2;
#pragma unroll
  for (int j = 0; j < kTokens / 8; ++j) {
    const float2 scale = *reinterpret_cast<const float2*>(scales + 8 * j);
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[4 * j + i] *= i % 2 == 0 ? scale.x : scale.y;
  }
}

__device__ inline std::uint32_t pack_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return reinterpret_cast<const std::uint32_t&>(pair);
}
// Rows become tokens: lane l then has token l / 4 and rows 2 (l % 4), + 1.
__device__ inline std::uint32_t transpose_pairs(std::uint32_t pair) {
  std::uint32_t result;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(pair));
  return result;
}

// SiLU(gate) * up of eight rows for each warp.
template <int kTokens>
__device__ void write_inner(const Gemm& args, const TileInfo& info,
                            const float (&sums)[kTokens / 2]) {
  const bool swapped = matrix_of(args, info).gate_is_second != 0;
  const int lane = threadIdx.x % 32;
  const int row = (info.pair * 2 + ClusterPlace().row_half()) * 64 +
                  static_cast<int>(threadIdx.x) / 32 * 8 + lane % 4 * 2;
  const std::int64_t width = args.widths[0];
  auto* to =
      static_cast<__nv_bfloat16*>(args.outputs[0]) + (info.tile.first_row + lane / 4) * width + row;
  const int count = info.tile.count - lane / 4;
#pragma unroll
  for (int j = 0; j < kTokens / 8; ++j) {
    float inner[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float gate = swapped ? sums[4 * j + 2 + i] : sums[4 * j + i];
      const float up = swapped ? sums[4 * j + i] : sums[4 * j + 2 + i];
      inner[i] = gate * up * __fdividef(1.0F, 1.0F + __expf(-gate));
    }
    const std::uint32_t rows = transpose_pairs(pack_bf16(inner[0], inner[1]));
    if (8 * j < count) *reinterpret_cast<std::uint32_t*>(to) = rows;
    to += 8 * width;
  }
}

template <int kTokens>
__device__ void write_rows(const Gemm& args, const TileInfo& info,
                           const float (&sums)[kTokens / 2]) {
  const int lane = threadIdx.x % 32;
  const int column = lane % 4;
  const bool odd = column % 2 != 0;
  // Neighbouring lanes exchange, so that each has four rows side by side.
  const int row = (info.pair * 2 + ClusterPlace().row_half()) * kBlockRows +
                  static_cast<int>(threadIdx.x) / 32 * 16 + (odd ? 6 + 2 * column : 2 * column);
  const std::int64_t width = args.widths[info.part];
  auto* to = static_cast<__nv_bfloat16*>(args.outputs[info.part]) +
             (info.tile.first_row + lane / 4) * width + row;
  const int count = info.tile.count - lane / 4;
#pragma unroll
  for (int j = 0; j < kTokens / 8; ++j) {
    const std::uint32_t upper = transpose_pairs(pack_bf16(sums[4 * j], sums[4 * j + 1]));
    const std::uint32_t lower = transpose_pairs(pack_bf16(sums[4 * j + 2], sums[4 * j + 3]));
    const std::uint32_t other = __shfl_xor_sync(0xFFFFFFFFU, odd ? upper : lower, 1);
    const uint2 rows = odd ? make_uint2(other, lower) : make_uint2(upper, other);
    if (8 * j < count) *reinterpret_cast<uint2*>(to) = rows;
    to += 8 * width;
  }
}

template <int kTokens>
__device__ void write_tokens(const Gemm& args, const TileInfo& info,
                             const float (&sums)[kTokens / 2]) {
  const int lane = threadIdx.x % 32;
  const int row = (info.pair * 2 + ClusterPlace().row_half()) * kBlockRows +
                  static_cast<int>(threadIdx.x) / 32 * 16 + lane / 4;
  const std::int64_t width = args.widths[info.part];
  const int first = lane % 4 * 2;
  float* output =
      static_cast<float*>(args.outputs[info.part]) + (info.tile.first_row + first) * width + row;
  const int count = info.tile.count - first;
  const auto write_all = [&](const auto& write) {
    float* to = output;
#pragma unroll
    for (int j = 0; j < kTokens / 8; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        if (8 * j + i >= count) continue;
        write(to + i * width, sums[4 * j + i]);
        write(to + i * width + 8, sums[4 * j + 2 + i]);
      }
      to += 8 * width;
    }
  };
  if (args.accumulate) {
    // One addition to each number, made in the second cache: nobody waits for what was there.
    write_all([](float* to, float sum) {
      asm volatile("red.global.add.f32 [%0], %1;" ::"l"(to), "f"(sum) : "memory");
    });
  } else {
    write_all([](float* to, float sum) { *to = sum; });
  }
}

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90
