// A block's slice of the tokens, scaled and split into parts in shared memory. A warp takes
// the 128 columns of a stage of one token at a time, scaled by a power of two of their own. The
// norm's weights are multiplied into them, its factor into the sums at the end, when the blocks
// have sent each other their slices' sums of squares.
#pragma once

#include "cuda/launch.cuh"
#include "cuda/mma.cuh"
#include "cuda/sm90/folded_rows.cuh"
#include "cuda/sm90/row_loads.cuh"
#include "cuda/sm90/sliced_share.cuh"

namespace m2::cuda::sm90::sliced {

struct SlicedInput {
  const float* rows;         // [T, K]
  const float* norm_weight;  // [K], absent where rows are taken as they are
  float eps;
  int count;  // T
  int cols;   // K
};

#if M2_SM90_CODE

/// For all threads that multiply.
template <bool kNormed>
class SlicedTokens {
 public:
  /// `operand` [stages, kOperandRows] rows of 128 bytes, swizzled.
  __device__ SlicedTokens(const SlicedInput& input, Span blocks, SlicedShared& shared,
                          char* operand)
      : input_(input),
        first_(blocks.begin),
        stages_(blocks.end - blocks.begin),
        shared_(shared),
        operand_(operand) {}

  /// Waits for earlier kernels, too.
  __device__ void fill() {
    const int items = stages_ * input_.count;
    for (int first = warp(); first < items; first += kBatch * kMultiplyWarps) {
      const auto item = [&](int i) { return min(first + i * kMultiplyWarps, items - 1); };
      float4 weights[kNormed ? kBatch : 1];
      if constexpr (kNormed) {
#pragma unroll
        for (int i = 0; i < kBatch; ++i) {
          weights[i] = load_written_vector(input_.norm_weight + column(item(i) / input_.count));
        }
      }
      if (first == warp()) await_earlier_kernels();
      float4 x[kBatch];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const int stage = item(i) / input_.count;
        const std::int64_t token = item(i) - stage * input_.count;
        x[i] = load_written_vector(input_.rows + token * input_.cols + column(stage));
      }
      if (first == warp() && lane() == 0) arrive(&shared_.barriers.asked);
      float squares[kBatch];
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        if constexpr (kNormed) squares[i] = norm(weights[i], x[i]);
        if (first + i * kMultiplyWarps < items) convert(item(i), x[i]);
      }
      if constexpr (kNormed) {
#pragma unroll
        for (int i = 0; i < kBatch; ++i) {
          squares[i] = sum_of_warp(squares[i]);
          // Those of the last item may come again.
          if (lane() == 0) {
            shared_.squares[item(i) / input_.count][item(i) % input_.count] = squares[i];
          }
        }
      }
    }
    if (items <= warp()) {
      await_earlier_kernels();
      if (lane() == 0) arrive(&shared_.barriers.asked);
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    sync_threads(1, kMultiplyThreads);
    if constexpr (kNormed) send_squares();
  }

  /// What sums with a token must be multiplied by.
  [[nodiscard]] __device__ float factor(int token) const {
    if constexpr (!kNormed) return 1.0F;
    wait(&shared_.barriers.squares, 0);
    float squares = 0.0F;
#pragma unroll
    for (int slice = 0; slice < kSlices; ++slice) squares += shared_.slice_squares[slice][token];
    return 1.0F / sqrtf(squares / static_cast<float>(input_.cols) + input_.eps);
  }

 private:
  static constexpr int kBatch = 4;  // of a warp's items, that come together

  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ int column(int stage) const { return (first_ + stage) * kScaleColumns + 4 * lane(); }

  // The sum of squares of what is multiplied by the norm's weights.
  __device__ static float norm(const float4& weight, float4& x) {
    const float squares = x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w;
    x = {x.x * weight.x, x.y * weight.y, x.z * weight.z, x.w * weight.w};
    return squares;
  }

  __device__ void send_squares() const {
    const int token = static_cast<int>(threadIdx.x) / kSlices;
    const unsigned to = threadIdx.x % kSlices;
    if (token >= input_.count) return;
    float sum = 0.0F;
    for (int stage = 0; stage < stages_; ++stage) sum += shared_.squares[stage][token];
    send(&shared_.slice_squares[cluster_rank()][token], &shared_.barriers.squares, to, sum);
  }

  __device__ void convert(int item, float4 x) {
    const int stage = item / input_.count;
    const int token = item - stage * input_.count;
    const float own = fmaxf(fmaxf(fabsf(x.x), fabsf(x.y)), fmaxf(fabsf(x.z), fabsf(x.w)));
    const float largest = __uint_as_float(__reduce_max_sync(kAllLanes, __float_as_uint(own)));
    const PowerScale power = scale_above(largest);
    if (lane() == 0) {
      // Parts do not show infinite numbers.
      shared_.powers[stage][token] = largest < INFINITY ? power.scale / kF8PartLimit : largest;
    }
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
  int stages_;
  SlicedShared& shared_;
  char* operand_;
};

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90::sliced
