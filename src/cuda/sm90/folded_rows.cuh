// Products of weight rows with few tokens, both as they lie in memory: nothing is converted, sorted
// or loaded into registers on the weights' way to the matrix units.
//
// A core matrix of wgmma's plain layout is eight rows of sixteen bytes, one after the other. Here
// it is 128 bytes of one weight row, whose eight pieces of sixteen bytes stand as eight virtual
// rows: a wgmma takes eight weight rows of 256 bytes as its 64 rows. A token's columns are read the
// same way, as eight virtual tokens, so that of the products
//   D[(row, piece), (token, piece')]
// those with piece = piece' are wanted and the others ignored; a row's sum is that of its eight
// pieces. The matrix units have the room: with few tokens they wait for the weights.
//
// Activations are split into parts of the weights' type, each a virtual token of its own.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include "cuda/mma.cuh"
#include "cuda/sm90/wgmma.cuh"
#include "m2/dtype.h"

namespace m2::cuda::sm90 {

constexpr int kFoldedRows = 8;            // of weights, of a product
constexpr int kFoldedBytes = 256;         // of each of them
constexpr int kFoldedPieces = 8;          // of 128 bytes of a row
constexpr float kF8PartStep = 1.0F / 16;  // what a part of F8 is to the one before it
constexpr float kF8PartLimit = 256;       // largest absolute number of the first part

/// Parts that an activation is split into: F8 keeps 12 bits of it, BF16 16 bits, F16 11 bits.
template <DType kWeights>
constexpr int kFoldedParts = kWeights == DType::kF8E4M3 ? 3
                             : kWeights == DType::kBF16 ? 2
                                                        : 1;
template <DType kWeights>
constexpr Operand kFoldedOperand = kWeights == DType::kF8E4M3 ? Operand::kE4M3
                                   : kWeights == DType::kBF16 ? Operand::kBF16
                                                              : Operand::kF16;

#if M2_SM90_CODE

/// Eight rows (or parts of tokens) of `stride` bytes from each other, whose bytes lie in their
/// order; aligned to sixteen bytes, as is the stride. Columns move on by kFoldedStep a product.
__device__ inline std::uint64_t folded_descriptor(std::uint32_t address, int stride) {
  return (static_cast<std::uint64_t>(stride >> 4) << 32U) | (std::uint64_t{128 >> 4} << 16U) |
         ((address & 0x3FFFFU) >> 4U);
}
constexpr std::uint64_t kFoldedStep = kFoldedBytes >> 4;

/// Sums of eight rows with kTokens tokens. All threads of a warpgroup; warp w has the rows 2 w and
/// 2 w + 1.
template <DType kType, int kTokens>
class FoldedSums {
 public:
  static constexpr int kParts = kFoldedParts<kType>;
  static constexpr int kVirtualTokens = kFoldedPieces * kParts * kTokens;

  /// Adds products of `steps` times 256 bytes of columns. `rows`: folded_descriptor of the rows;
  /// `tokens`: of the tokens' parts, those of a token one after the other.
  __device__ void add(std::uint64_t rows, std::uint64_t tokens, int steps) {
    constexpr int kMost = kStepsAtOnce * kGroupsAtOnce;
    int step = 0;
    for (; step + kMost <= steps; step += kMost) {
      add_groups<kGroupsAtOnce, kStepsAtOnce>(rows + step * kFoldedStep,
                                              tokens + step * kFoldedStep);
    }
    for (; step < steps; ++step) {
      add_groups<1, 1>(rows + step * kFoldedStep, tokens + step * kFoldedStep);
    }
  }

  /// The sum of the warp's row 0 or 1 with a token, in all lanes.
  __device__ float sum(int row, int token) const {
    float sum = 0.0F;
#pragma unroll
    for (int part = kParts; part-- > 0;) {
      const float own = sums_[token * kParts + part][row];
      if constexpr (kType == DType::kF8E4M3) {
        sum = sum * kF8PartStep + own;
      } else {
        sum += own;
      }
    }
    // Of four lanes one has a wanted piece.
    const unsigned lane = threadIdx.x % 32;
    if (lane % 4 != lane / 8) sum = 0.0F;
#pragma unroll
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xFFFFFFFFU, sum, step);
    return sum;
  }

 private:
  // The matrix units keep some 14 bits of sums of F8 numbers: few are added there.
  static constexpr int kStepsAtOnce = kType == DType::kF8E4M3 ? 3 : 6;
  // On their way at a time, as far as registers last.
  static constexpr int kGroupsAtOnce =
      kTokens == 1 || (kTokens == 2 && kType != DType::kF8E4M3) ? 2 : 1;

  template <int kGroups, int kSteps>
  __device__ void add_groups(std::uint64_t rows, std::uint64_t tokens) {
    float products[kGroups][kVirtualTokens / 2];
    begin_products();
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
#pragma unroll
      for (int step = group * kSteps; step < (group + 1) * kSteps; ++step) {
        Products<kVirtualTokens>::template multiply<kFoldedOperand<kType>>(
            products[group], rows + step * kFoldedStep, tokens + step * kFoldedStep,
            step > group * kSteps ? 1 : 0);
      }
    }
    commit_products();
    wait_products<0>();
#pragma unroll
    for (auto& own : products) {
      pin(own);
      add_wanted(own);
    }
  }

  // A lane has virtual row lane / 4 of either weight row, and virtual tokens 2 (lane % 4) + i.
  __device__ void add_wanted(const float (&products)[kVirtualTokens / 2]) {
    const bool odd = threadIdx.x / 4 % 2 != 0;
#pragma unroll
    for (int j = 0; j < kParts * kTokens; ++j) {
#pragma unroll
      for (int row = 0; row < 2; ++row) {
        sums_[j][row] += odd ? products[4 * j + 2 * row + 1] : products[4 * j + 2 * row];
      }
    }
  }

  float sums_[kParts * kTokens][2] = {};
};

/// Two numbers as the next part takes them, and what is left of them for the part after it.
__device__ inline __nv_fp8x2_storage_t take_f8_part(__half2& x) {
  const __nv_fp8x2_storage_t codes =
      __nv_cvt_halfraw2_to_fp8x2(static_cast<__half2_raw>(x), __NV_SATFINITE, __NV_E4M3);
  const __half2 taken = __half2(__nv_cvt_fp8x2_to_halfraw2(codes, __NV_E4M3));
  x = __hmul2(__hsub2(x, taken), __float2half2_rn(1.0F / kF8PartStep));
  return codes;
}

/// Two numbers of at most kF8PartLimit in size, split into three parts. The first one's rest is
/// exact in f32 and has as many bits as f16 keeps.
__device__ inline void split_f8(float2 x, __nv_fp8x2_storage_t (&codes)[3]) {
  codes[0] = __nv_cvt_float2_to_fp8x2(x, __NV_SATFINITE, __NV_E4M3);
  const float2 taken = __half22float2(__half2(__nv_cvt_fp8x2_to_halfraw2(codes[0], __NV_E4M3)));
  __half2 rest = __floats2half2_rn((x.x - taken.x) / kF8PartStep, (x.y - taken.y) / kF8PartStep);
  codes[1] = take_f8_part(rest);
  codes[2] = __nv_cvt_halfraw2_to_fp8x2(static_cast<__half2_raw>(rest), __NV_SATFINITE, __NV_E4M3);
}

/// Four neighbouring columns of a token, split into parts: part p goes to part + p * stride bytes.
/// F8: at most kF8PartLimit in size.
template <DType kType>
__device__ void store_parts(char* part, int stride, float4 x) {
  if constexpr (kType == DType::kF8E4M3) {
    static_assert(kFoldedParts<kType> == 3);
    __nv_fp8x2_storage_t codes[2][3];
    split_f8({x.x, x.y}, codes[0]);
    split_f8({x.z, x.w}, codes[1]);
#pragma unroll
    for (int p = 0; p < 3; ++p) {
      *reinterpret_cast<std::uint32_t*>(part + p * stride) =
          codes[0][p] | static_cast<std::uint32_t>(codes[1][p]) << 16U;
    }
  } else {
    const SplitQuad parts = split_quad<kIsBf16<kType>>(x);
    *reinterpret_cast<uint2*>(part) = {parts.high[0], parts.high[1]};
    if constexpr (kFoldedParts<kType> == 2) {
      *reinterpret_cast<uint2*>(part + stride) = {parts.low[0], parts.low[1]};
    }
  }
}

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90
