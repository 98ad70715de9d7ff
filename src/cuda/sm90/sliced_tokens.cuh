// A block's slice of the tokens, scaled and split into parts in shared memory. A warp takes
// the 128 columns of a stage of one token at a time, scaled by a power of two of their own.
#pragma once

#include "cuda/mma.cuh"
#include "cuda/sm90/folded_rows.cuh"
#include "cuda/sm90/sliced_share.cuh"

namespace m2::cuda::sm90::sliced {

struct SlicedInput {
  const float* rows;  // [T, K]
  int count;          // T
  int cols;           // K
};

#if M2_SM90_CODE

/// For all threads that multiply.
class SlicedTokens {
 public:
  /// `operand` [stages, kOperandRows] rows of 128 bytes, swizzled.
  __device__ SlicedTokens(const SlicedInput& input, Span blocks, SlicedShared& shared,
                          char* operand)
      : input_(input),
        first_(blocks.begin),
        items_((blocks.end - blocks.begin) * input.count),
        shared_(shared),
        operand_(operand) {}

  __device__ void fill() {
    for (int first = warp(); first < items_; first += kBatch * kMultiplyWarps) {
      float4 x[kBatch];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int item = first + i * kMultiplyWarps;
        x[i] = item < items_ ? load(item) : float4{};
      }
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int item = first + i * kMultiplyWarps;
        if (item < items_) convert(item, x[i]);
      }
    }
    if (lane() == 0) arrive(&shared_.barriers.loaded);
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    sync_threads(1, kMultiplyThreads);
  }

 private:
  static constexpr int kBatch = 4;  // of a warp's items, that come together

  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ int column(int stage) const { return (first_ + stage) * kScaleColumns + 4 * lane(); }

  __device__ float4 load(int item) const {
    const int stage = item / input_.count;
    const std::int64_t token = item - stage * input_.count;
    return __ldcg(
        reinterpret_cast<const float4*>(input_.rows + token * input_.cols + column(stage)));
  }

  __device__ void convert(int item, float4 x) {
    const int stage = item / input_.count;
    const int token = item - stage * input_.count;
    const float largest = fmaxf(fmaxf(fabsf(x.x), fabsf(x.y)), fmaxf(fabsf(x.z), fabsf(x.w)));
    const PowerScale power =
        scale_above(__uint_as_float(__reduce_max_sync(kAllLanes, __float_as_uint(largest))));
    if (lane() == 0) shared_.powers[stage][token] = power.scale / kF8PartLimit;
    const float times = power.inverse * kF8PartLimit;
    __nv_fp8x2_storage_t codes[2][kParts];
    split_f8({x.x * times, x.y * times}, codes[0]);
    split_f8({x.z * times, x.w * times}, codes[1]);
#pragma unroll
    for (int part = 0; part < kParts; ++part) {
      const int row = part * kTokens + token;
      char* to = operand_ + stage * kOperandBytes + row * kScaleColumns +
                 (lane() / 4 ^ row % 8) * 16 + lane() % 4 * 4;
      *reinterpret_cast<std::uint32_t*>(to) =
          codes[0][part] | static_cast<std::uint32_t>(codes[1][part]) << 16U;
    }
  }

  const SlicedInput& input_;
  int first_;  // block of columns
  int items_;  // stages times tokens
  SlicedShared& shared_;
  char* operand_;
};

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90::sliced
