// Products on the matrix units: mma m16n8k16, sixteen weight rows times eight tokens over sixteen
// columns, both in 16 bits.
//
// Operands may take their columns in any order, as long as both take the same. A lane reads sixteen
// contiguous bytes of a weight row and uses them in the order of memory, four columns a step; so
// the activations that belong to them are contiguous too.
#pragma once

#include <bit>

#include "cuda/numeric.cuh"

namespace m2::cuda {

constexpr int kTileRows = 16;   // weight rows of an mma
constexpr int kTileTokens = 8;  // tokens of an mma

template <DType kType>
constexpr bool kIsBf16 = kType == DType::kBF16;

/// The two 16-bit parts of two activations.
template <bool kBf16>
__device__ inline void split_pair(float x, float y, std::uint32_t& high, std::uint32_t& low) {
  if constexpr (kBf16) {
    const __nv_bfloat162 h = __floats2bfloat162_rn(x, y);
    const __nv_bfloat162 l = __floats2bfloat162_rn(x - __low2float(h), y - __high2float(h));
    high = reinterpret_cast<const std::uint32_t&>(h);
    low = reinterpret_cast<const std::uint32_t&>(l);
  } else {
    const __half2 h = __floats2half2_rn(x, y);
    const __half2 l = __floats2half2_rn(x - __low2float(h), y - __high2float(h));
    high = reinterpret_cast<const std::uint32_t&>(h);
    low = reinterpret_cast<const std::uint32_t&>(l);
  }
}

/// Four neighbouring activations as a lane of an mma takes them.
struct alignas(16) SplitQuad {
  std::uint32_t high[2];
  std::uint32_t low[2];
};

/// Splits a quad.
template <bool kBf16>
__device__ inline SplitQuad split_quad(float4 x) {
  SplitQuad parts;
  split_pair<kBf16>(x.x, x.y, parts.high[0], parts.low[0]);
  split_pair<kBf16>(x.z, x.w, parts.high[1], parts.low[1]);
  return parts;
}

/// A power of two above some numbers, and its inverse.
struct PowerScale {
  float scale;
  float inverse;
};

/// From the exponent of the largest size; kept normal at both ends.
__device__ inline PowerScale scale_above(float largest) {
  const std::uint32_t exponent = min(max(__float_as_uint(largest) >> 23U, 2U), 250U) + 1U;
  return {__uint_as_float(exponent << 23U), __uint_as_float((254U - exponent) << 23U)};
}

/// The operand registers of four weights of a row: columns 0 1 and 2 3.
struct WeightPairs {
  std::uint32_t pair[2];
};

/// Four F8_E4M3 numbers in f16, exactly.
__device__ inline WeightPairs widen(std::uint32_t word) {
  WeightPairs pairs;
#if __CUDA_ARCH__ >= 890
  asm("{.reg .b16 low, high; mov.b32 {low, high}, %2; cvt.rn.f16x2.e4m3x2 %0, low; "
      "cvt.rn.f16x2.e4m3x2 %1, high;}"
      : "=r"(pairs.pair[0]), "=r"(pairs.pair[1])
      : "r"(word));
#else
  for (int i = 0; i < 2; ++i) {
    const auto code = static_cast<__nv_fp8x2_storage_t>(word >> (16U * i));
    const __half2_raw half = __nv_cvt_fp8x2_to_halfraw2(code, __NV_E4M3);
    pairs.pair[i] = reinterpret_cast<const std::uint32_t&>(half);
  }
#endif
  return pairs;
}

/// What step `step` takes from sixteen bytes of a row: four columns each.
template <DType kType>
__device__ inline WeightPairs weight_pairs(const uint4& vector, int step) {
  if constexpr (kType == DType::kF8E4M3) {
    return widen(step == 0 ? vector.x : step == 1 ? vector.y : step == 2 ? vector.z : vector.w);
  } else {
    return step == 0 ? WeightPairs{{vector.x, vector.y}} : WeightPairs{{vector.z, vector.w}};
  }
}

/// sums += rows (upper: row lane / 4, lower: that + 8) times tokens.
template <bool kBf16>
__device__ inline void mma(float (&sums)[4], const WeightPairs& upper, const WeightPairs& lower,
                           const std::uint32_t (&tokens)[2]) {
  if constexpr (kBf16) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(upper.pair[0]), "r"(lower.pair[0]), "r"(upper.pair[1]), "r"(lower.pair[1]),
          "r"(tokens[0]), "r"(tokens[1]));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(upper.pair[0]), "r"(lower.pair[0]), "r"(upper.pair[1]), "r"(lower.pair[1]),
          "r"(tokens[0]), "r"(tokens[1]));
  }
}

/// sums += rows of 32 columns of signed bytes times tokens: the mma m16n8k32.
__device__ inline void integer_mma(int (&sums)[4], const std::uint32_t (&rows)[4],
                                   const std::uint32_t (&tokens)[2]) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+r"(sums[0]), "+r"(sums[1]), "+r"(sums[2]), "+r"(sums[3])
      : "r"(rows[0]), "r"(rows[1]), "r"(rows[2]), "r"(rows[3]), "r"(tokens[0]), "r"(tokens[1]));
}

}  // namespace m2::cuda
