// The activations of a few tokens in a block's shared memory, as operands of integer products with
// int4 codes.
//
// Over a unit's 128 columns a token is scale * (256 high + low), both parts signed bytes: within
// 2^-16 of the largest of the 128. The mma m16n8k32 takes a set of four tokens at a time; column 2
// t of it is the high part of token t and column 2 t + 1 the low one. All its sums are exact.
#pragma once

#include "cuda/bulk_copy.cuh"
#include "cuda/int4_layout.h"
#include "cuda/numeric.cuh"

namespace m2::cuda {

constexpr int kSetTokens = 4;

/// A lane's right operands of a set over a unit: two for each word of its weights.
struct SetOperands {
  std::uint32_t words[4][2];
  float scale;  // of token lane % 4
};

/// Where a lane finds its operands of four tokens that lie apart.
struct PickedTokens {
  std::uint32_t operands;
  std::uint32_t scale;
};

/// Where kSet is 1, each token is a set by itself, and any four can be picked.
template <int kWarps, int kSet = kSetTokens>
class Int4Tokens {
 public:
  __host__ __device__ static constexpr int num_bytes(int units, int sets) {
    return sets * set_bytes(units);
  }

  /// `shared` [num_bytes(units, sets)], aligned to 16 bytes.
  __device__ Int4Tokens(char* shared, int units) : shared_(shared), units_(units) {}

  /// Tokens 0 .. count - 1, row_of(token) [cols] f32, which other blocks may have written. By all
  /// of the warps, between barriers; of a set's other tokens nothing is defined. Calls
  /// meanwhile() while the first ones are on their way.
  template <typename RowOf, typename Meanwhile>
  __device__ void fill(const RowOf& row_of, int count, const Meanwhile& meanwhile) const {
    const int end = count * units_;
    const int own = static_cast<int>(threadIdx.x) / 32;
    Batch batch = load_batch(row_of, own, end);
    meanwhile();
    for (int first = own; first < end; first += kBatch * kWarps) {
      if (first != own) batch = load_batch(row_of, first, end);
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int at = first + i * kWarps;
        if (at < end) put(at / units_, at % units_, batch.columns[i]);
      }
    }
  }

  /// By a warp: columns 4 lane and the next three of a token's unit.
  __device__ void put(int token, int unit, float4 x) const {
    const float largest = largest_size(x);
    const float inverse = inverse_scale(largest);
    // With its neighbour a lane has the columns of a word.
    const std::uint32_t own[2] = {integers(x.x, x.y, inverse), integers(x.z, x.w, inverse)};
    const bool is_low = lane() % 2 != 0;  // the part that the lane stores
    std::uint32_t bytes[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const std::uint32_t other = __shfl_xor_sync(kAllLanes, own[i], 1);
      // In the order of the nibbles of a word: columns 0 4 1 5 are the low ones, 2 6 3 7 the high.
      bytes[i] = is_low ? __byte_perm(other, own[i], 0x6240U) ^ 0x80808080U
                        : __byte_perm(own[i], other, 0x7351U);
    }
    const int word = lane() / 8;
    const int to = (2 * (token % kSet) + lane() % 2) * 4 + lane() % 8 / 2;  // a lane
    char* set = block(token / kSet, unit);
    *reinterpret_cast<uint2*>(set + word / 2 * kHalfBytes + to * 16 + word % 2 * 8) =
        make_uint2(bytes[0], bytes[1]);
    if (lane() == 0) {
      scales(token / kSet)[unit * kSet + token % kSet] = largest * (1.0F / kLargest);
    }
  }

  [[nodiscard]] __device__ SetOperands load(int set, int unit) const {
    const std::uint32_t from = shared_address(block(set, unit));
    return load_from(from + lane() % kSetLanes * 16,
                     shared_address(scales(set) + unit * kSet + lane() % kSet));
  }

  /// token_of(i), i < 4: the i-th token of a set.
  template <typename TokenOf>
  [[nodiscard]] __device__ PickedTokens pick(const TokenOf& token_of) const {
    static_assert(kSet == 1);
    return {shared_address(block(token_of(lane() / kSetLanes), 0)) + lane() % kSetLanes * 16,
            shared_address(scales(token_of(lane() % kSetTokens)))};
  }
  [[nodiscard]] __device__ SetOperands load(const PickedTokens& picked, int unit) const {
    return load_from(picked.operands + unit * 2 * kHalfBytes, picked.scale + unit * 4);
  }

 private:
  static constexpr int kSetLanes = 8 * kSet;         // whose operands differ
  static constexpr int kHalfBytes = kSetLanes * 16;  // two words' operands
  // The operands of all units, then the scales.
  __host__ __device__ static constexpr int set_bytes(int units) {
    return (units * (2 * kHalfBytes + kSet * 4) + 15) / 16 * 16;
  }
  static constexpr float kLargest = 127.0F * 256.0F + 127.0F;

  __device__ static SetOperands load_from(std::uint32_t operands, std::uint32_t scale_at) {
    const uint4 low = load_shared(operands);
    const uint4 high = load_shared(operands + kHalfBytes);
    float scale;
    asm volatile("ld.shared.f32 %0, [%1];" : "=f"(scale) : "r"(scale_at) : "memory");
    return {{{low.x, low.y}, {low.z, low.w}, {high.x, high.y}, {high.z, high.w}}, scale};
  }

  // On their way at a time.
  static constexpr int kBatch = 8;
  struct Batch {
    float4 columns[kBatch];
  };

  template <typename RowOf>
  __device__ Batch load_batch(const RowOf& row_of, int first, int end) const {
    Batch batch = {};
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int at = first + i * kWarps;
      if (at >= end) break;
      const auto* row = reinterpret_cast<const float4*>(row_of(at / units_));
      batch.columns[i] = __ldcg(row + at % units_ * (kUnitColumns / 4) + lane());
    }
    return batch;
  }

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  [[nodiscard]] __device__ char* block(int set, int unit) const {
    return shared_ + set * set_bytes(units_) + unit * 2 * kHalfBytes;
  }
  [[nodiscard]] __device__ float* scales(int set) const {  // [units, kSet]
    return reinterpret_cast<float*>(block(set, units_));
  }

  // Over the warp; not a number where one is none, and never so small that its inverse is infinite.
  __device__ static float largest_size(float4 x) {
    const auto size = [](float v) { return __float_as_uint(v) & 0x7FFFFFFFU; };
    const std::uint32_t own = max(max(size(x.x), size(x.y)), max(size(x.z), size(x.w)));
    return __uint_as_float(__reduce_max_sync(kAllLanes, max(own, __float_as_uint(1e-30F))));
  }

  // kLargest / largest, without a division's way for the smallest and largest numbers.
  __device__ static float inverse_scale(float largest) {
    constexpr float kShrink = 0x1p-24F;  // whose inverse is no denormal number
    float inverse;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(inverse) : "f"(largest * kShrink));
    return inverse * (kLargest * kShrink);
  }

  // Two numbers as integers of 16 bits, plus 128: the high part is the upper byte, the low part the
  // other one less 128.
  __device__ static std::uint32_t integers(float x, float y, float inverse) {
    constexpr float kMagic = 12582912.0F + 128.0F;  // the integer is in the low bits of the sum
    return __byte_perm(__float_as_uint(fmaf(x, inverse, kMagic)),
                       __float_as_uint(fmaf(y, inverse, kMagic)), 0x5410U);
  }

  char* shared_;  // [sets] of set_bytes(units)
  int units_;
};

}  // namespace m2::cuda
