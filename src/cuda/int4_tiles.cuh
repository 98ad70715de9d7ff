// Tiles of int4 experts (int4_layout.h): eight rows over all their columns lie side by side.
//
// A warp has the same units of 128 columns of every tile, and keeps the activations of its columns
// in registers: one f16 for each, after scaling a token's 128 columns to below 1 by a power of two;
// within 2^-12 of the number itself, or 2^-25 of the largest of the 128. The matrix units multiply
// it with codes q + 8 (code_pairs); what the eights add is taken away by starting the sums of every
// group from -8 times the sum of its activations. The weights are the left operand of the mma: the
// first tile of a pair is its upper rows.
#pragma once

#include "cuda/expert_stages.cuh"
#include "cuda/int4_stream.cuh"

namespace m2::cuda {

/// `kPieces` units of a row are a warp's.
template <int kGroup, int kPieces>
class Int4Tiles {
 public:
  using Shape = Int4Shape;
  static constexpr int kTokens = kTileTokens;
  static constexpr int kSums = 2;  // tokens lane % 4 * 2, + 1 with row lane / 4
  using Sums = float[2][kSums];

  /// Whether a row has as many units.
  static bool fits(const Shape& shape) {
    return shape.cols == kPieces * kStreamWarps * kUnitColumns;
  }
  static constexpr int kTileBytes = kPieces * kStreamWarps * kUnitBytes<kGroup>;
  static_assert(2 * kTileBytes % StageRing::kAlignment == 0);

  static int slot_bytes(const Shape&) { return 2 * kTileBytes + StageTail::kBytes; }

  __device__ static const char* tile(const Shape&, const void* data, int row) {
    return static_cast<const char*>(data) + std::int64_t{row / kUnitRows} * kTileBytes;
  }
  __device__ static const float* scale(const Shape&, const float*, int) { return nullptr; }

  /// By the asking warp: the stage of a pair; mark(slot) by all lanes.
  template <typename Mark>
  __device__ static void push(StageRing& ring, const Shape&, const TilePair& pair, int,
                              const Mark& mark) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    ring.push(2 * kTileBytes, mark, [&](std::uint32_t slot, std::uint32_t barrier) {
      if (lane < 2) copy_bulk(slot + lane * kTileBytes, pair.tile(lane), kTileBytes, barrier);
    });
  }

  /// Tokens 0 .. count - 1, row_of(token) [cols]. By every warp for itself.
  template <typename RowOf>
  __device__ void fill(const RowOf& row_of, int count, const Shape&) {
    const int token = static_cast<int>(threadIdx.x) % 32 / 4;
    const float* row = token < count ? row_of(token) : nullptr;
#pragma unroll
    for (int i = 0; i < kPieces; ++i) {
      const int unit = i * kStreamWarps + static_cast<int>(threadIdx.x) / 32;
      fill_unit(row != nullptr ? row + unit * kUnitColumns : nullptr, i);
    }
  }
  __device__ void fill_one(const float* row, const Shape& shape) {
    fill([&](int) { return row; }, 1, shape);
  }

  /// sums[t] += tile t of the next pair, which is there, times the tokens.
  __device__ void multiply(StageRing& ring, const Shape&, int, Sums& sums) const {
    uint4 words[kPieces][2];
    Scales scales[kPieces][2];
    ring.pop_peeked([&](std::uint32_t slot) {
#pragma unroll
      for (int i = 0; i < kPieces; ++i) {
        const int unit = i * kStreamWarps + static_cast<int>(threadIdx.x) / 32;
#pragma unroll
        for (int t = 0; t < 2; ++t) {
          const std::uint32_t at = slot + t * kTileBytes + unit * kUnitBytes<kGroup>;
          words[i][t] = load_shared(at + threadIdx.x % 32 * 16);
          scales[i][t].load(at + kUnitWordBytes);
        }
      }
    });
#pragma unroll
    for (int i = 0; i < kPieces; ++i) multiply_unit(i, words[i], scales[i], sums);
  }

  /// To [2 tiles, 8 rows, kTokens] of the warp.
  __device__ static void store(const Sums& sums, float* to) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int t = 0; t < 2; ++t) {
      reinterpret_cast<float2*>(to + t * kTileTokens * kTileOfRows)[lane] = {sums[t][0],
                                                                             sums[t][1]};
    }
  }
  [[nodiscard]] __device__ static int sum_index(int row, int token) {
    return row * kTileTokens + token;
  }

  /// The token that the lane's sums of a pair's tile t are kept of, if each tile has one.
  [[nodiscard]] __device__ static int own_choice(int t) {
    return 2 * (static_cast<int>(threadIdx.x) % 4) + t;
  }
  /// For the tokens of one unit that belong to a tile each: adds those of pair `pair` to `own`, row
  /// lane / 4.
  __device__ static void keep_own(int pair, const Sums& sums, const float (&weights)[2],
                                  float2& own) {
    if (static_cast<int>(threadIdx.x) % 4 != pair) return;
    own.x += weights[0] * sums[0][0] + weights[1] * sums[1][1];
  }
  /// Over the lanes; by all, to `rows` [8].
  __device__ static void store_own(float2 own, float* rows) {
    for (int lanes = 1; lanes < 4; lanes *= 2) own.x += __shfl_xor_sync(kAllLanes, own.x, lanes);
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if (lane % 4 == 0) rows[lane / 4] = own.x;
  }

 private:
  static constexpr int kGroups = kUnitColumns / kGroup;  // of a unit

  // Of row lane / 4.
  struct Scales {
    std::uint32_t halves[(kGroups + 1) / 2];

    __device__ void load(std::uint32_t unit) {
      const int row = static_cast<int>(threadIdx.x) % 32 / 4;
      if constexpr (kGroups == 1) {
        unsigned short bits;
        asm volatile("ld.shared.u16 %0, [%1];" : "=h"(bits) : "r"(unit + row * 2) : "memory");
        halves[0] = bits;
      } else {
        const uint2 pairs = load_shared_pair(unit + row * 8);
        halves[0] = pairs.x;
        halves[1] = pairs.y;
      }
    }
    [[nodiscard]] __device__ float get(int group) const {
      const __half2 pair = reinterpret_cast<const __half2&>(halves[group / 2]);
      return group % 2 == 0 ? __low2float(pair) : __high2float(pair);
    }
  };

  // Of the lane's token and columns; none: zeros.
  __device__ void fill_unit(const float* columns, int i) {
    float4 x[4][2];
    float largest = 0.0F;
#pragma unroll
    for (int w = 0; w < 4; ++w) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const int at = w * 32 + static_cast<int>(threadIdx.x) % 4 * 8 + j * 4;
        x[w][j] = columns == nullptr ? float4{} : *reinterpret_cast<const float4*>(columns + at);
        largest = fmaxf(largest, fmaxf(fmaxf(fabsf(x[w][j].x), fabsf(x[w][j].y)),
                                       fmaxf(fabsf(x[w][j].z), fabsf(x[w][j].w))));
      }
    }
    for (int lanes = 1; lanes < 4; lanes *= 2) {
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, lanes));
    }
    const PowerScale power = scale_above(largest);
    float group_sums[kGroups] = {};
#pragma unroll
    for (int w = 0; w < 4; ++w) {
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const float4& v = x[w][j];
        // Not times the product of both, which is infinite where all are nearly zero.
        const __half2 pairs[2] = {
            __floats2half2_rn(v.x * power.inverse * kLowFactor, v.y * power.inverse * kLowFactor),
            __floats2half2_rn(v.z * power.inverse, v.w * power.inverse)};
        columns_[i][w][2 * j] = reinterpret_cast<const std::uint32_t&>(pairs[0]);
        columns_[i][w][2 * j + 1] = reinterpret_cast<const std::uint32_t&>(pairs[1]);
        group_sums[w * kGroups / 4] +=
            (__low2float(pairs[0]) + __high2float(pairs[0])) * (1.0F / kLowFactor) +
            __low2float(pairs[1]) + __high2float(pairs[1]);
      }
    }
    // What belongs to the lane's tokens of the sums, which are other ones.
    const int from = static_cast<int>(threadIdx.x) % 4 * 8;
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      float sum = group_sums[group];
      for (int lanes = 1; lanes < 4; lanes *= 2) sum += __shfl_xor_sync(kAllLanes, sum, lanes);
      sum *= -8.0F * kCodeUnit;
      starts_[i][group][0] = __shfl_sync(kAllLanes, sum, from);
      starts_[i][group][1] = __shfl_sync(kAllLanes, sum, from + 4);
    }
    const float scale = power.scale * (1.0F / kCodeUnit);
    scales_[i][0] = __shfl_sync(kAllLanes, scale, from);
    scales_[i][1] = __shfl_sync(kAllLanes, scale, from + 4);
  }

  __device__ void multiply_unit(int i, const uint4 (&words)[2], const Scales (&scales)[2],
                                Sums& sums) const {
    constexpr int kChains = 4;  // hide each other's latency; with a scale each they are groups
    float products[kChains][4] = {};
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
#pragma unroll
      for (int j = 0; j < 4; ++j) products[group][j] = starts_[i][group][j % 2];
    }
#pragma unroll
    for (int w = 0; w < kChains; ++w) {
      std::uint32_t pairs[2][4];
#pragma unroll
      for (int t = 0; t < 2; ++t) {
        const uint4& vector = words[t];
        code_pairs(w == 0 ? vector.x : w == 1 ? vector.y : w == 2 ? vector.z : vector.w, pairs[t]);
      }
#pragma unroll
      for (int step = 0; step < 2; ++step) {
        const std::uint32_t columns[2] = {columns_[i][w][2 * step], columns_[i][w][2 * step + 1]};
        mma<false>(products[w], {{pairs[0][2 * step], pairs[0][2 * step + 1]}},
                   {{pairs[1][2 * step], pairs[1][2 * step + 1]}}, columns);
      }
    }
#pragma unroll
    for (int t = 0; t < 2; ++t) {
#pragma unroll
      for (int j = 0; j < kSums; ++j) {
        float sum = 0.0F;
        if constexpr (kGroups == 1) {
          sum = scales[t].get(0) * ((products[0][2 * t + j] + products[1][2 * t + j]) +
                                    (products[2][2 * t + j] + products[3][2 * t + j]));
        } else {
#pragma unroll
          for (int w = 0; w < kChains; ++w) sum += scales[t].get(w) * products[w][2 * t + j];
        }
        sums[t][j] += sum * scales_[i][j];
      }
    }
  }

  std::uint32_t columns_[kPieces][4][4];  // [words, pairs] of token lane / 4
  float starts_[kPieces][kGroups][2];     // of tokens lane % 4 * 2, + 1
  float scales_[kPieces][2];
};

}  // namespace m2::cuda
