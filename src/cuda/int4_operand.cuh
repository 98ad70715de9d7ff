// int4 weights as the operands of 16-bit matrix instructions.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "cuda/int4_layout.h"

namespace m2::cuda {

/// The four pairs of a word as exact f16 numbers q.
__device__ inline void expand_word(std::uint32_t word, std::uint32_t (&pairs)[4]) {
  // f16 1024 + q + 8, or 1024 + 16 (q + 8) from the upper nibble of a byte.
  constexpr std::uint32_t kMagic = 0x64006400U;
  const __half2 low_offset = __float2half2_rn(-1032.0F);
  const __half2 high_offset = __float2half2_rn(-72.0F);
  const __half2 sixteenth = __float2half2_rn(0.0625F);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const std::uint32_t bits = i < 2 ? word : word >> 8U;
    const std::uint32_t mask = i % 2 == 0 ? 0x000F000FU : 0x00F000F0U;
    const std::uint32_t biased = (bits & mask) | kMagic;
    const __half2 value = reinterpret_cast<const __half2&>(biased);
    const __half2 q =
        i % 2 == 0 ? __hadd2(value, low_offset) : __hfma2(value, sixteenth, high_offset);
    pairs[i] = reinterpret_cast<const std::uint32_t&>(q);
  }
}

__device__ inline std::uint32_t scaled(std::uint32_t pair, __half scale) {
  const __half2 value = __hmul2(reinterpret_cast<const __half2&>(pair), __half2half2(scale));
  return reinterpret_cast<const std::uint32_t&>(value);
}

/// The operands of eight steps of sixteen columns from the units of the upper and lower eight rows,
/// scales included.
template <int kGroup>
__device__ void expand_units(const char* upper, const char* lower,
                             std::uint32_t (&operands)[8][4]) {
  const int lane = threadIdx.x % 32;
  const char* units[2] = {upper, lower};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const uint4 words = *reinterpret_cast<const uint4*>(units[half] + lane * 16);
    const std::uint32_t list[4] = {words.x, words.y, words.z, words.w};
    const auto* scales = reinterpret_cast<const __half*>(units[half] + kUnitWordBytes);
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      const __half scale = scales[kGroup == 128 ? lane / 4 : lane / 4 * 4 + w];
      std::uint32_t pairs[4];
      expand_word(list[w], pairs);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        operands[2 * w + i / 2][i % 2 * 2 + half] = scaled(pairs[i], scale);
      }
    }
  }
}

/// Where the columns `column` and the next (even) of a block of 128 belong among the activations of
/// a wgmma, so that they meet their weights; the word of the pair.
__device__ inline int wgmma_column(int column) {
  const int lane = column % 32 / 8;
  const int word = column / 32;
  const int pair = column % 8 / 2;
  return word * 32 + pair / 2 * 16 + pair % 2 * 8 + lane * 2;
}

}  // namespace m2::cuda
