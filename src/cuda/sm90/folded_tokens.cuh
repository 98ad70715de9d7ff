// The tokens of a product of folded rows: normed, scaled and split into parts in shared memory.
//
// F8 weights have scales for blocks of rows and columns. A product of the matrix units spans two
// blocks of columns, so the scales of a block of rows are multiplied into the tokens before these
// are split; a block's rows lie side by side, so that this happens once or twice. F8 and F16 parts
// are of numbers that a power of two has brought into the type's range.
#pragma once

#include "cuda/mma.cuh"
#include "cuda/sm90/folded_rows.cuh"

namespace m2::cuda::sm90 {

constexpr int kFoldedGroups = 3;  // warpgroups that multiply
constexpr int kFoldedWarps = 4 * kFoldedGroups;
constexpr int kFoldedMultiplyThreads = 32 * kFoldedWarps;
constexpr int kFoldedScaleQuads = 128 / 4;  // that share a scale of F8

struct FoldedInput {
  const float* rows;         // [T, K]
  const float* norm_weight;  // [K], absent where rows are taken as they are
  float eps;
  int count;  // T
  int cols;   // K
};

#if M2_SM90_CODE

/// Up to kTokens of them, for all threads that multiply.
template <DType kType, int kTokens, bool kNormed>
class FoldedTokens {
 public:
  static constexpr int kParts = kFoldedParts<kType>;
  static constexpr int kSharing = kFoldedWarps / kTokens;  // warps of a token
  struct Shared {
    float2 shares[kFoldedWarps];  // sum of squares and largest number of a warp's columns
    float scales[kTokens];        // what products with a token must be multiplied by
  };

  /// `parts` [kTokens, kParts] rows of `stride` bytes, aligned to sixteen.
  __device__ FoldedTokens(const FoldedInput& input, Shared& shared, char* parts, int stride)
      : input_(input), shared_(shared), parts_(parts), stride_(stride) {}

  /// With scales [K / 128] of F8 weights. All products with what was there before must be done.
  /// loaded(): is called when the tokens have come.
  template <typename Loaded>
  __device__ void fill(const float* scales, const Loaded& loaded) {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    const int token = warp / kSharing;
    const bool fills = token < input_.count;
    const int quads = input_.cols / 4;
    float4 x[kBatch];
    if (fills) {
      float squares = 0.0F;
      float largest = 0.0F;
      for (int first = first_quad(); first < quads; first += kBatch * kStep) {
        load(token, scales, first, x, squares);
#pragma unroll
        for (const float4& v : x) largest = fmaxf(largest, largest_of(v));
      }
      largest = __uint_as_float(__reduce_max_sync(kAllLanes, __float_as_uint(largest)));
      shared_.shares[warp] = {kNormed ? sum_of_warp(squares) : 0.0F, largest};
    }
    loaded();
    sync_threads(1, kFoldedMultiplyThreads);
    if (fills) convert(token, scales, x);
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    sync_threads(1, kFoldedMultiplyThreads);
  }

  [[nodiscard]] __device__ float scale(int token) const { return shared_.scales[token]; }
  [[nodiscard]] __device__ std::uint64_t descriptor() const {
    return folded_descriptor(shared_address(parts_), stride_);
  }

 private:
  static constexpr bool kRanged = kType != DType::kBF16;
  static constexpr float kLimit = kType == DType::kF8E4M3 ? kF8PartLimit : 1.0F;
  static constexpr int kElementBytes = kType == DType::kF8E4M3 ? 1 : 2;
  static constexpr int kStep = 32 * kSharing;  // quads from one of a thread's to the next
  static constexpr int kBatch = 4;             // quads of a thread that come together

  __device__ static int first_quad() { return static_cast<int>(threadIdx.x) % kStep; }
  __device__ static float largest_of(const float4& v) {
    return fmaxf(fmaxf(fabsf(v.x), fabsf(v.y)), fmaxf(fabsf(v.z), fabsf(v.w)));
  }

  // A thread's quads from `first` on times the norm's and the scale's weights, zeros beyond the
  // columns; adds their squares.
  __device__ void load(int token, const float* scales, int first, float4 (&x)[kBatch],
                       float& squares) const {
    const auto* row =
        reinterpret_cast<const float4*>(input_.rows + std::int64_t{token} * input_.cols);
    const int quads = input_.cols / 4;
    float4 weight[kNormed ? kBatch : 1];
    float scale[kBatch];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int quad = min(first + i * kStep, quads - 1);
      x[i] = row[quad];
      if constexpr (kNormed) {
        weight[i] = __ldg(reinterpret_cast<const float4*>(input_.norm_weight) + quad);
      }
      scale[i] = kType == DType::kF8E4M3 ? __ldg(scales + quad / kFoldedScaleQuads) : 1.0F;
      if (first + i * kStep >= quads) scale[i] = 0.0F;
    }
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      float4& v = x[i];
      if constexpr (kNormed) {
        const float counts = first + i * kStep < quads ? 1.0F : 0.0F;
        squares += counts * (v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w);
        v = {v.x * weight[i].x, v.y * weight[i].y, v.z * weight[i].z, v.w * weight[i].w};
      }
      v = {v.x * scale[i], v.y * scale[i], v.z * scale[i], v.w * scale[i]};
    }
  }

  [[nodiscard]] __device__ float2 total(int token) const {
    float2 result = {};
#pragma unroll
    for (int i = 0; i < kSharing; ++i) {
      const float2 share = shared_.shares[token * kSharing + i];
      result = {result.x + share.x, fmaxf(result.y, share.y)};
    }
    return result;
  }

  // `x`: the thread's quads if they are one batch.
  __device__ void convert(int token, const float* scales, float4 (&x)[kBatch]) {
    const float2 found = total(token);
    const PowerScale power = kRanged ? scale_above(found.y) : PowerScale{1.0F, 1.0F};
    const float times = power.inverse * kLimit;
    if (first_quad() == 0) {
      const float mean = found.x / static_cast<float>(input_.cols);
      const float factor = kNormed ? 1.0F / sqrtf(mean + input_.eps) : 1.0F;
      shared_.scales[token] = factor * power.scale / kLimit;
    }
    char* to = parts_ + token * kParts * stride_;
    const int quads = input_.cols / 4;
    for (int first = first_quad(); first < quads; first += kBatch * kStep) {
      float squares = 0.0F;
      if (quads > kBatch * kStep) load(token, scales, first, x, squares);
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int quad = first + i * kStep;
        if (quad >= quads) break;
        store_parts<kType>(to + quad * 4 * kElementBytes, stride_,
                           {x[i].x * times, x[i].y * times, x[i].z * times, x[i].w * times});
      }
    }
  }

  const FoldedInput& input_;
  Shared& shared_;
  char* parts_;
  int stride_;
};

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90
