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

// Sums of one of the groups of eight rows of a warp: rows 8 group + lane / 4, tokens 8 j + 2 (lane
// % 4) + i. Two waves have the groups in turn.
template <int kWaves, int kCount>
__device__ float sum_of_group(const float (&sums)[kWaves][kCount], int group, int j, int i) {
  return sums[group % kWaves][4 * j + group / kWaves * 2 + i];
}

// Pairs of two groups of eight rows side by side, by token: neighbouring lanes exchange, so that
// each has four rows.
__device__ inline uint2 four_rows(std::uint32_t upper, std::uint32_t lower) {
  const bool odd = threadIdx.x % 2 != 0;
  const std::uint32_t other = __shfl_xor_sync(0xFFFFFFFFU, odd ? upper : lower, 1);
  return odd ? make_uint2(other, lower) : make_uint2(upper, other);
}
// Which ones: the first, of 16.
__device__ inline int first_of_four_rows() {
  const int column = static_cast<int>(threadIdx.x) % 4;
  return column % 2 != 0 ? 6 + 2 * column : 2 * column;
}

// The place of token lane / 4 in an output of BF16.
__device__ inline __nv_bfloat16* token_place(const Gemm& args, const TileInfo& info, int part,
                                             int row) {
  const int token = info.tile.first_row + static_cast<int>(threadIdx.x) % 32 / 4;
  return static_cast<__nv_bfloat16*>(args.outputs[part]) + std::int64_t{token} * args.widths[part] +
         row;
}

// SiLU(gate) * up of eight rows of a wave for each warp. `first_row`: of the block's pass.
template <int kTokens, int kWaves>
__device__ void write_inner(const Gemm& args, const TileInfo& info, int first_row,
                            const float (&sums)[kWaves][kTokens / 2]) {
  const bool swapped = matrix_of(args, info).gate_is_second != 0;
  const int lane = threadIdx.x % 32;
  const int row = first_row / 2 + static_cast<int>(threadIdx.x) / 32 * 8 * kWaves +
                  (kWaves == 2 ? first_of_four_rows() : lane % 4 * 2);
  const std::int64_t width = args.widths[0];
  __nv_bfloat16* to = token_place(args, info, 0, row);
  const int count = info.tile.count - lane / 4;
#pragma unroll
  for (int j = 0; j < kTokens / 8; ++j) {
    std::uint32_t rows[kWaves];
#pragma unroll
    for (int group = 0; group < kWaves; ++group) {
      float inner[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float first = sum_of_group(sums, 2 * group, j, i);
        const float second = sum_of_group(sums, 2 * group + 1, j, i);
        const float gate = swapped ? second : first;
        const float up = swapped ? first : second;
        inner[i] = gate * up * __fdividef(1.0F, 1.0F + __expf(-gate));
      }
      rows[group] = transpose_pairs(pack_bf16(inner[0], inner[1]));
    }
    if constexpr (kWaves == 2) {
      const uint2 four = four_rows(rows[0], rows[1]);
      if (8 * j < count) *reinterpret_cast<uint2*>(to) = four;
    } else {
      if (8 * j < count) *reinterpret_cast<std::uint32_t*>(to) = rows[0];
    }
    to += 8 * width;
  }
}

template <int kTokens, int kWaves>
__device__ void write_rows(const Gemm& args, const TileInfo& info, int first_row,
                           const float (&sums)[kWaves][kTokens / 2]) {
  const int row =
      first_row + static_cast<int>(threadIdx.x) / 32 * 16 * kWaves + first_of_four_rows();
  const std::int64_t width = args.widths[info.part];
  __nv_bfloat16* to = token_place(args, info, info.part, row);
  const int count = info.tile.count - static_cast<int>(threadIdx.x) % 32 / 4;
#pragma unroll
  for (int j = 0; j < kTokens / 8; ++j) {
#pragma unroll
    for (int i = 0; i < kWaves; ++i) {
      const auto pairs = [&](int group) {
        return transpose_pairs(
            pack_bf16(sum_of_group(sums, group, j, 0), sum_of_group(sums, group, j, 1)));
      };
      const uint2 rows = four_rows(pairs(2 * i), pairs(2 * i + 1));
      if (8 * j < count) *reinterpret_cast<uint2*>(to + 16 * i) = rows;
    }
    to += 8 * width;
  }
}

template <int kTokens, int kWaves>
__device__ void write_tokens(const Gemm& args, const TileInfo& info, int first_row,
                             const float (&sums)[kWaves][kTokens / 2]) {
  const int lane = threadIdx.x % 32;
  const int row = first_row + static_cast<int>(threadIdx.x) / 32 * 16 * kWaves + lane / 4;
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
#pragma unroll
        for (int group = 0; group < 2 * kWaves; ++group) {
          write(to + i * width + 8 * group, sum_of_group(sums, group, j, i));
        }
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
