// The activations of up to sixteen tokens in the registers of the warps that multiply.
//
// A warp multiplies the same columns of every row, so it keeps its columns of the tokens, as the
// left operand of the mma: tokens are its rows, weights its columns. The operand's formats are
// those of token_rows.cuh, but the power of two that scales f16 belongs to a token's piece of
// columns, not to all of the token: no warp waits for another. With BF16 weights the high parts are
// the upper eight rows of the mma and the low parts the lower ones.
#pragma once

#include "cuda/row_pieces.cuh"
#include "cuda/token_rows.cuh"

namespace m2::cuda {

template <DType kType, int kTokens, int kPieces>
class TokenFragments {
 public:
  static constexpr int kGroups = kTokens / kTileTokens;
  static constexpr int kSums =
      2 * kGroups;  // of a lane: tokens lane / 4 (+ 8), rows lane % 4 * 2, + 1
  static_assert(kGroups == 1 || (kGroups == 2 && kType != DType::kBF16));

  /// Tokens 0 .. count - 1, row_of(token) [cols]. By every warp for itself.
  template <typename RowOf>
  __device__ void fill(const RowOf& row_of, int count, int cols) {
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      const int token = group * kTileTokens + own_token();
      const float* row = token < count ? row_of(token) : nullptr;
#pragma unroll
      for (int i = 0; i < kPieces; ++i) {
        float4 x[kSteps];
        load(x, row, i, cols);
        convert(x, i, group);
      }
    }
  }

  /// sums += the warp's i-th piece of eight rows times the tokens.
  __device__ void multiply(int i, const RowPiece& rows, float (&sums)[kSums]) const {
    float products[2][4] = {};  // two chains hide each other's latency
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const int half = step / (kSteps / 2);
      const WeightPairs weights = weight_pairs<kType>(rows.vectors[half], step % (kSteps / 2));
      const std::uint32_t(&a)[kRegisters] = values_[i][step];
      const WeightPairs upper = {{a[0], a[1]}};
      WeightPairs lower = {};
      if constexpr (kRegisters == 4) lower = {{a[2], a[3]}};
      mma<kIsBf16<kType>>(products[half], upper, lower, weights.pair);
    }
#pragma unroll
    for (int j = 0; j < 4; ++j) products[0][j] += products[1][j];
    if constexpr (kType == DType::kBF16) {
      sums[0] += products[0][0] + products[0][2];
      sums[1] += products[0][1] + products[0][3];
    } else {
#pragma unroll
      for (int j = 0; j < kSums; ++j) sums[j] += products[0][j] * (rows.scale * scales_[i][j / 2]);
    }
  }

 private:
  static constexpr int kSteps = kType == DType::kF8E4M3 ? 8 : 4;  // of a piece
  static constexpr int kRegisters = kType == DType::kBF16 || kGroups == 2 ? 4 : 2;

  __device__ static int own_token() { return static_cast<int>(threadIdx.x) % 32 / 4; }

  // The lane's columns of the warp's i-th piece: those of its vectors of a weight row.
  static __device__ void load(float4 (&x)[kSteps], const float* row, int i, int cols) {
    constexpr int kVectorCols = 2 * kSteps;  // of sixteen bytes of weights
    const int first = (i * kStreamWarps + static_cast<int>(threadIdx.x) / 32) * kPieceCols<kType>;
    const bool used = row != nullptr && first < cols;
    const int column = first + static_cast<int>(threadIdx.x) % 4 * kVectorCols;
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      constexpr int kHalf = kSteps / 2;
      const int at = column + step / kHalf * (kPieceCols<kType> / 2) + step % kHalf * 4;
      x[step] = used ? *reinterpret_cast<const float4*>(row + at) : float4{};
    }
  }

  __device__ void convert(const float4 (&x)[kSteps], int i, int group) {
    PowerScale power = {1.0F, 1.0F};
    if constexpr (kType != DType::kBF16) {
      float largest = 0.0F;
#pragma unroll
      for (const float4& v : x) {
        largest =
            fmaxf(largest, fmaxf(fmaxf(fabsf(v.x), fabsf(v.y)), fmaxf(fabsf(v.z), fabsf(v.w))));
      }
      for (int lanes = 1; lanes < 4; lanes *= 2) {
        largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, lanes));
      }
      power = scale_above(largest);
      scales_[i][group] = power.scale;
    }
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      const float4& v = x[step];
      const SplitQuad parts = split_quad<kIsBf16<kType>>(
          {v.x * power.inverse, v.y * power.inverse, v.z * power.inverse, v.w * power.inverse});
      std::uint32_t(&to)[kRegisters] = values_[i][step];
      to[2 * group] = parts.high[0];
      to[2 * group + 1] = parts.high[1];
      if constexpr (kType == DType::kBF16) {
        to[2] = parts.low[0];
        to[3] = parts.low[1];
      }
    }
  }

  std::uint32_t values_[kPieces][kSteps][kRegisters];
  float scales_[kPieces][kGroups];
};

}  // namespace m2::cuda
