// The activations of a few tokens in a block's shared memory, for products with int4 codes.
//
// One f16 stands for an activation, after scaling each token to below 1 by a power of two: within
// 2^-12 of the number itself, or 2^-25 of the token's largest one. The matrix units multiply it
// with codes q + 8 (code_pairs); what the eights add is taken away by starting the sums of every
// group from -8 times the sum of its activations.
#pragma once

#include "cuda/int4_operand.cuh"
#include "cuda/token_rows.cuh"

namespace m2::cuda {

template <int kGroup>
class CodeTokens {
 public:
  static constexpr int kUnitGroups = kUnitColumns / kGroup;

  /// Padded so that lanes that read together meet different banks.
  __host__ __device__ static constexpr int pitch(int cols) { return cols * 2 + 64; }
  /// Of up to `tokens` rows: the numbers, then what sums start from, then the scales.
  __host__ __device__ static constexpr int num_bytes(int cols, int tokens) {
    return (starts_offset(cols, tokens) + cols / kGroup * padded(tokens) * 4 +
            RowScales::num_bytes(tokens) + 15) /
           16 * 16;
  }

  /// `shared` [num_bytes(cols, tokens)], aligned to 16 bytes.
  __device__ CodeTokens(char* shared, int cols, int tokens)
      : rows_(shared),
        starts_(reinterpret_cast<float*>(shared + starts_offset(cols, tokens))),
        scales_(reinterpret_cast<char*>(starts_ + cols / kGroup * padded(tokens)), cols, tokens),
        cols_(cols),
        padded_(padded(tokens)) {}

  /// As TokenRows::fill.
  template <typename RowOf>
  __device__ void fill(const RowOf& row_of, int count) {
    scales_.fill(row_of, count, {},
                 [&](int row, const float* values, int first, int step, float, PowerScale power) {
                   convert(row, values, first, step, power);
                 });
  }

  /// Where the vectors of a lane of column `token` of the mma begin: those of word w of unit u are
  /// 256 u + 64 w bytes further.
  [[nodiscard]] __device__ std::uint32_t vectors(int token) const {
    return shared_address(rows_) + token * pitch(cols_) + threadIdx.x % 4 * 16;
  }
  /// What the sums of the tokens 2 `pair` and the next start from in a group of columns.
  [[nodiscard]] __device__ float2 starts(int group, int pair) const {
    return reinterpret_cast<const float2*>(starts_ + group * padded_)[pair];
  }
  /// What sums of products must be multiplied by.
  [[nodiscard]] __device__ float rescaled(float sum, int token) const {
    return sum * (1.0F / kCodeUnit) * scales_.get(token);
  }

 private:
  __host__ __device__ static constexpr int padded(int tokens) { return (tokens + 7) / 8 * 8; }
  __host__ __device__ static constexpr int starts_offset(int cols, int tokens) {
    return tokens * pitch(cols);
  }

  // The 32 lanes of a warp have a unit's columns of the row at a time.
  __device__ void convert(int row, const float* values, int first, int step, PowerScale power) {
    char* to = rows_ + row * pitch(cols_);
#pragma unroll 4
    for (int i = first; i < cols_ / 4; i += step) {
      const float4 x = reinterpret_cast<const float4*>(values)[i];
      const float low = kLowFactor * power.inverse;
      const __half2 pairs[2] = {__floats2half2_rn(x.x * low, x.y * low),
                                __floats2half2_rn(x.z * power.inverse, x.w * power.inverse)};
      *reinterpret_cast<uint2*>(to + i * 8) = reinterpret_cast<const uint2&>(pairs);
      const float sum = (__low2float(pairs[0]) + __high2float(pairs[0])) * (1.0F / kLowFactor) +
                        __low2float(pairs[1]) + __high2float(pairs[1]);
      start_from(row, i, sum);
    }
    if (first == 0) scales_.set(row, power.scale);
  }

  __device__ void start_from(int row, int quad, float sum) {
    constexpr int kLanes = kGroup / 4;
#pragma unroll
    for (int distance = kLanes / 2; distance > 0; distance /= 2) {
      sum += __shfl_xor_sync(kAllLanes, sum, distance);
    }
    if (quad % kLanes == 0) starts_[quad / kLanes * padded_ + row] = -8.0F * kCodeUnit * sum;
  }

  char* rows_;     // [tokens] rows of `pitch` bytes
  float* starts_;  // [cols / group, padded tokens]
  RowScales scales_;
  int cols_;
  int padded_;
};

}  // namespace m2::cuda
