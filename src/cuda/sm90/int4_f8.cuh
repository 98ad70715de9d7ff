// int4 weights as E4M3 operands of wgmma from registers.
//
// A code is exact: the small numbers of E4M3 are equally far apart, so that the byte of a magnitude
// up to 15 is that magnitude, in units of 2^-9. A word of a unit becomes a lane's eight columns of
// its row for a step of 32: the even ones of eight neighbours, then the odd ones. Tokens have their
// columns in this order.
#pragma once

#include <cuda_fp16.h>

#include <cstdint>

#include "cuda/int4_layout.h"

namespace m2::cuda::sm90 {

constexpr float kInt4Unit = 512.0F;  // what a byte counts in

/// Tokens: of a block of eight words of four columns each, the place of the even columns of words 2
/// i and 2 i + 1; their odd ones are four words further on.
__device__ inline int even_columns_word(int word) { return word / 8 * 8 + word % 8 / 2; }

#if M2_SM90_CODE

// Tables of four nibbles q + 8, given also with their fourth bits flipped. Negative numbers are
// found as bytes less 0x7F, beside 0xFF in the other table; the others as bytes and 0x80, beside 0.
class E4M3Codes {
 public:
  // Known constants would be moved to a register at every use.
  __device__ E4M3Codes() {
    asm volatile("mov.b32 %0, 0x06070809;" : "=r"(negative_));
    asm volatile("mov.b32 %0, 0x83828180;" : "=r"(positive_));
  }
  __device__ std::uint32_t operator()(std::uint32_t nibbles, std::uint32_t flipped) const {
    return look_up(negative_, 0x02030405U, nibbles) + look_up(positive_, 0x87868584U, flipped) -
           0x80808080U;
  }

 private:
  // Bytes of `low` and `high` by the lower three bits of four nibbles. The fourth bit gives the
  // byte's sign eight times instead.
  static __device__ std::uint32_t look_up(std::uint32_t low, std::uint32_t high,
                                          std::uint32_t nibbles) {
    std::uint32_t bytes;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(bytes) : "r"(low), "r"(high), "r"(nibbles));
    return bytes;
  }

  std::uint32_t negative_;
  std::uint32_t positive_;
};

/// What a lane needs of a wave: 128 columns of two of its rows.
template <int kGroup>
struct Int4Rows {
  static constexpr int kGroups = kUnitColumns / kGroup;
  uint4 words[2];
  __half scales[2][kGroups];

  /// The units of the two groups of eight rows.
  __device__ void load(const char* upper, const char* lower) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const char* units[2] = {upper, lower};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      words[i] = *reinterpret_cast<const uint4*>(units[i] + lane * 16);
      const auto* from = reinterpret_cast<const __half*>(units[i] + kUnitWordBytes);
      if constexpr (kGroups == 1) {
        scales[i][0] = from[lane / 4];
      } else {
        const uint2 four = *reinterpret_cast<const uint2*>(from + lane / 4 * kGroups);
        reinterpret_cast<uint2&>(scales[i]) = four;
      }
    }
  }

  __device__ void expand(const E4M3Codes& code, std::uint32_t (&operands)[4][4]) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const std::uint32_t list[4] = {words[i].x, words[i].y, words[i].z, words[i].w};
#pragma unroll
      for (int step = 0; step < 4; ++step) {
        const std::uint32_t word = list[step];
        const std::uint32_t flipped = word ^ 0x88888888U;
        operands[step][i] = code(word, flipped);
        operands[step][2 + i] = code(word >> 16U, flipped >> 16U);
      }
    }
  }
};

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90
