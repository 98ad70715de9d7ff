// int8 weights as the operands of the matrix units.
#pragma once

#include "cuda/int8_layout.h"
#include "cuda/mma.cuh"

namespace m2::cuda {

/// Four codes times their scale, in f16: within 2^-12 of the number.
__device__ inline WeightPairs expand_int8(std::uint32_t codes, __half2 scale) {
  WeightPairs result;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    // Bytes behind the exponent of 1024, where f16 counts by ones.
    const std::uint32_t bits = __byte_perm(codes, 0x64646464U, i == 0 ? 0x4140U : 0x4342U);
    const __half2 numbers =
        __hsub2(reinterpret_cast<const __half2&>(bits), __half2half2(__ushort_as_half(0x6480)));
    const __half2 scaled = __hmul2(numbers, scale);
    result.pair[i] = reinterpret_cast<const std::uint32_t&>(scaled);
  }
  return result;
}

}  // namespace m2::cuda
