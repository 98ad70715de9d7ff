// Integer products of sixteen rows of int4 codes, a unit of 128 columns at a time, with tokens.
//
// The weights are the left operand of an mma m16n8k32, two units (int4_layout.h) of eight rows:
// codes q become signed bytes 16 q, three instructions for eight. (As 16-bit numbers they took
// five, and twice as many products.)
#pragma once

#include "cuda/int4_tokens.cuh"
#include "cuda/mma.cuh"

namespace m2::cuda {

/// A lane's share of the units of the upper and the lower eight rows: row lane / 4 of both.
template <int kGroup>
class UnitPair {
 public:
  /// Of units in shared memory.
  __device__ void load(std::uint32_t upper, std::uint32_t lower) {
    load_half(upper, 0);
    load_half(lower, 1);
  }

  /// use(pair, half, product) of the rows of every pair with token lane % 4 of its operands.
  template <int kPairs, typename Use>
  __device__ static void multiply(const UnitPair (&pairs)[kPairs],
                                  const SetOperands (&tokens)[kPairs], const Use& use) {
    int products[kPairs][kGroups][4] = {};
#pragma unroll
    for (int w = 0; w < 4; ++w) {
#pragma unroll
      for (int i = 0; i < kPairs; ++i) {  // hide each other's latency
        integer_mma(products[i][w * kGroups / 4], pairs[i].codes_[w], tokens[i].words[w]);
      }
    }
#pragma unroll
    for (int i = 0; i < kPairs; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        use(i, half, pairs[i].weighted(products[i], half) * (tokens[i].scale * (1.0F / 16.0F)));
      }
    }
  }

 private:
  static constexpr int kGroups = kUnitColumns / kGroup;

  __device__ void load_half(std::uint32_t unit, int half) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const uint4 words = load_shared(unit + lane * 16);
    const std::uint32_t list[4] = {words.x, words.y, words.z, words.w};
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      codes_[w][half] = high_nibbles(list[w] << 4U);
      codes_[w][2 + half] = high_nibbles(list[w]);
    }
    const std::uint32_t scales = unit + kUnitWordBytes + lane / 4 * (2 * kGroups);
    if constexpr (kGroups == 1) {
      unsigned short bits;
      asm volatile("ld.shared.u16 %0, [%1];" : "=h"(bits) : "r"(scales) : "memory");
      scales_[half][0] = __half2float(__ushort_as_half(bits));
    } else {
      static_assert(kGroups == 4);
      const uint2 pairs = load_shared_pair(scales);
      const float2 low = __half22float2(reinterpret_cast<const __half2&>(pairs.x));
      const float2 high = __half22float2(reinterpret_cast<const __half2&>(pairs.y));
      scales_[half][0] = low.x;
      scales_[half][1] = low.y;
      scales_[half][2] = high.x;
      scales_[half][3] = high.y;
    }
  }

  // Codes q + 8 in the high nibbles as bytes 16 q, by one instruction (the compiler finds two).
  __device__ static std::uint32_t high_nibbles(std::uint32_t word) {
    std::uint32_t bytes;
    asm("lop3.b32 %0, %1, 0x80808080, 0xF0F0F0F0, 0x28;" : "=r"(bytes) : "r"(word));
    return bytes;  // (word ^ 0x80..) & 0xF0..
  }

  // The sums of both parts together, times the scales of the rows.
  [[nodiscard]] __device__ float weighted(const int (&products)[kGroups][4], int half) const {
    float sum = 0.0F;
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      const int total = 256 * products[group][2 * half] + products[group][2 * half + 1];
      sum += scales_[half][group] * static_cast<float>(total);
    }
    return sum;
  }

  std::uint32_t codes_[4]
                      [4];  // [words]: upper, lower row of the low nibbles, then of the high ones
  float scales_[2][kGroups];
};

}  // namespace m2::cuda
