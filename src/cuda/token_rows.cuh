// The activations of a few tokens in a block's shared memory, as the matrix units take them.
//
// The units multiply 16-bit operands. Each kind of weight meets the activations that suit it:
//   F16, F8_E4M3 weights (exact in f16): one f16, after scaling each token to below 1 by a power of
//     two; within 2^-12 of the number itself, or 2^-25 of the token's largest one.
//   BF16 weights: two bf16, high + low; within 2^-17 of the number itself. They cost the matrix
//     units as much for a byte of weights as one f16 does with F8.
#pragma once

#include "cuda/weight_ring.cuh"

namespace m2::cuda {

/// 16-bit numbers that stand for an activation.
template <DType kType>
constexpr int kParts = kType == DType::kBF16 ? 2 : 1;

/// Norms the rows on the way: weight * (x / rms(x)).
struct RowNorm {
  const float* weight = nullptr;  // [cols], absent where rows are taken as they are
  float eps = 0.0F;
};

/// What a lane multiplies with a piece of rows for one tile of tokens.
template <DType kType>
struct TokenPiece {
  uint4 parts[kParts<kType>][kType == DType::kF8E4M3 ? 4 : 2];
};

/// A barrier of the warps that multiply.
__device__ inline void sync_stream_warps() {
  asm volatile("bar.sync 1, %0;" ::"n"(32 * kStreamWarps) : "memory");
}

/// Finds what each row must be multiplied by before its numbers become 16-bit ones.
class RowScales {
 public:
  __host__ __device__ static constexpr int num_bytes(int tokens) {
    return tokens * static_cast<int>(sizeof(float) + kStreamWarps * sizeof(float2));
  }

  /// `shared` [num_bytes(tokens)].
  __device__ RowScales(char* shared, int cols, int tokens)
      : shares_(reinterpret_cast<float2*>(shared)),
        scales_(reinterpret_cast<float*>(shares_ + tokens * kStreamWarps)),
        cols_(cols) {}

  /// What products with a token must be multiplied by.
  [[nodiscard]] __device__ float get(int token) const { return scales_[token]; }
  __device__ void set(int token, float scale) { scales_[token] = scale; }

  /// For `count` rows from row_of(i) [cols] f32: convert(i, row, first, step, factor, power) with
  /// the quads first, first + step .. of the row for a lane, the norm's factor and a power of two
  /// above the largest number. By all warps that multiply, with barriers of theirs inside and at
  /// the end.
  template <typename RowOf, typename Convert>
  __device__ void fill(const RowOf& row_of, int count, const RowNorm& norm,
                       const Convert& convert) {
    // Several warps share a row where there are few.
    const int sharing = max(1, kStreamWarps / count);
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int part = warp % sharing;
    const int first = part * 32 + static_cast<int>(threadIdx.x) % 32;
    const int step = kStreamWarps / sharing;
    for (int row = warp / sharing; row < count && warp < step * sharing; row += step) {
      measure(row_of(row), first, 32 * sharing, norm, &shares_[row * kStreamWarps + part]);
    }
    sync_stream_warps();
    for (int row = warp / sharing; row < count && warp < step * sharing; row += step) {
      const float2 found = total(row, sharing);
      const float mean = found.x / static_cast<float>(cols_);
      const float factor = norm.weight == nullptr ? 1.0F : 1.0F / sqrtf(mean + norm.eps);
      convert(row, row_of(row), first, 32 * sharing, factor, scale_above(found.y * factor));
    }
    sync_stream_warps();
  }

 private:
  // The sum of squares and the largest size of a warp's share of a row.
  __device__ void measure(const float* row, int first, int step, const RowNorm& norm,
                          float2* share) const {
    const auto* from = reinterpret_cast<const float4*>(row);
    const auto* weights = reinterpret_cast<const float4*>(norm.weight);
    float sum = 0.0F;
    float largest = 0.0F;
#pragma unroll 8
    for (int i = first; i < cols_ / 4; i += step) {
      float4 x = from[i];
      sum += x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w;
      if (weights != nullptr) {
        const float4 w = __ldg(weights + i);
        x = {x.x * w.x, x.y * w.y, x.z * w.z, x.w * w.w};
      }
      largest = fmaxf(largest, fmaxf(fmaxf(fabsf(x.x), fabsf(x.y)), fmaxf(fabsf(x.z), fabsf(x.w))));
    }
    sum = sum_of_warp(sum);
    for (int distance = 16; distance > 0; distance /= 2) {
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, distance));
    }
    if (threadIdx.x % 32 == 0) *share = {sum, largest};
  }

  [[nodiscard]] __device__ float2 total(int row, int sharing) const {
    float2 result = {};
    for (int i = 0; i < sharing; ++i) {
      const float2 share = shares_[row * kStreamWarps + i];
      result = {result.x + share.x, fmaxf(result.y, share.y)};
    }
    return result;
  }

  float2* shares_;  // [tokens, warps]
  float* scales_;   // [tokens]
  int cols_;
};

template <DType kType>
class TokenRows {
 public:
  /// Padded so that lanes that read together meet different banks.
  __host__ __device__ static constexpr int pitch(int cols) {
    return cols * 2 + (kType == DType::kF8E4M3 ? 16 : 64);
  }
  /// Of up to `tokens` rows: the parts, then their scales.
  __host__ __device__ static constexpr int num_bytes(int cols, int tokens) {
    return tokens * kParts<kType> * pitch(cols) + RowScales::num_bytes(tokens);
  }

  /// `shared` [num_bytes(cols, tokens)], aligned to 16 bytes.
  __device__ TokenRows(char* shared, int cols, int tokens)
      : rows_(shared),
        address_(shared_address(shared)),
        scales_(shared + tokens * kParts<kType> * pitch(cols), cols, tokens),
        cols_(cols),
        tokens_(tokens) {}

  /// Fills `count` rows from row_of(i) [cols] f32; by all warps that multiply, with barriers of
  /// theirs inside and at the end. The rows before must not be in use any more.
  template <typename RowOf>
  __device__ void fill(const RowOf& row_of, int count, const RowNorm& norm) {
    scales_.fill(
        row_of, count, norm,
        [&](int row, const float* values, int first, int step, float factor, PowerScale power) {
          convert(row, values, first, step, norm.weight, factor, power);
        });
  }

  /// Of piece `piece` of the rows; lanes of tokens beyond `count` repeat the last one.
  __device__ TokenPiece<kType> load(int piece, int tile, int count) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    return load_token(piece, min(tile * kTileTokens + lane / 4, count - 1));
  }
  /// For a lane whose column of the mma is `token`.
  __device__ TokenPiece<kType> load_token(int piece, int token) const {
    const int column = static_cast<int>(threadIdx.x) % 4;
    const std::uint32_t row = address_ + token * pitch(cols_) + piece * (2 * kPieceCols<kType>);
    TokenPiece<kType> result;
#pragma unroll
    for (int part = 0; part < kParts<kType>; ++part) {
      const std::uint32_t from = row + part * tokens_ * pitch(cols_);
      if constexpr (kType == DType::kF8E4M3) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          result.parts[part][i] = load_shared(from + column * 32 + i / 2 * 128 + i % 2 * 16);
        }
      } else {
        result.parts[part][0] = load_shared(from + column * 16);
        result.parts[part][1] = load_shared(from + column * 16 + 64);
      }
    }
    return result;
  }

  /// What products with a token must be multiplied by.
  [[nodiscard]] __device__ float scale(int token) const { return scales_.get(token); }

 private:
  __device__ void convert(int row, const float* values, int first, int step, const float* weights,
                          float factor, PowerScale power) {
    constexpr bool kScaled = kParts<kType> == 1;
    const float inverse = kScaled ? power.inverse : 1.0F;
    char* to = rows_ + row * pitch(cols_);
#pragma unroll 8
    for (int i = first; i < cols_ / 4; i += step) {
      float4 x = reinterpret_cast<const float4*>(values)[i];
      if (weights != nullptr) {
        const float4 w = __ldg(reinterpret_cast<const float4*>(weights) + i);
        x = {w.x * (x.x * factor), w.y * (x.y * factor), w.z * (x.z * factor),
             w.w * (x.w * factor)};
      }
      x = {x.x * inverse, x.y * inverse, x.z * inverse, x.w * inverse};
      const SplitQuad parts = split_quad<kIsBf16<kType>>(x);
      *reinterpret_cast<uint2*>(to + i * 8) = {parts.high[0], parts.high[1]};
      if constexpr (kParts<kType> == 2) {
        *reinterpret_cast<uint2*>(to + tokens_ * pitch(cols_) + i * 8) = {parts.low[0],
                                                                          parts.low[1]};
      }
    }
    if (first == 0) scales_.set(row, kScaled ? power.scale : 1.0F);
  }

  char* rows_;  // [parts, tokens] rows of `pitch` bytes
  std::uint32_t address_;
  RowScales scales_;
  int cols_;
  int tokens_;
};

/// The sums of a lane for sixteen rows and eight tokens. [0, 1]: upper row lane / 4, tokens
/// lane % 4 * 2 and the next; [2, 3]: the lower row.
using LaneSums = float[4];

/// sums += a tile of rows times eight tokens.
template <DType kType>
__device__ inline void multiply(const TilePiece& rows, const TokenPiece<kType>& tokens,
                                LaneSums& sums) {
  constexpr int kSteps = kType == DType::kF8E4M3 ? 4 : 2;  // of a vector of weights
  LaneSums products[2] = {};                               // two chains hide each other's latency
#pragma unroll
  for (int step = 0; step < kSteps; ++step) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const WeightPairs upper = weight_pairs<kType>(rows.upper[half], step);
      const WeightPairs lower = weight_pairs<kType>(rows.lower[half], step);
#pragma unroll
      for (int part = 0; part < kParts<kType>; ++part) {
        const uint4& vector = tokens.parts[part][half * (kSteps / 2) + step / 2];
        const std::uint32_t pair[2] = {step % 2 == 0 ? vector.x : vector.z,
                                       step % 2 == 0 ? vector.y : vector.w};
        mma<kIsBf16<kType>>(products[half], upper, lower, pair);
      }
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float product = products[0][i] + products[1][i];
    if constexpr (kType == DType::kF8E4M3) {
      sums[i] += product * (i < 2 ? rows.upper_scale : rows.lower_scale);
    } else {
      sums[i] += product;
    }
  }
}

}  // namespace m2::cuda
