// The tokens of a product of folded rows: normed, scaled and split into parts in shared memory.
//
// F8 weights have scales for blocks of rows and columns. A product of the matrix units spans two
// blocks of columns, so the scales of a block of rows are multiplied into the tokens before these
// are split. A block's rows lie side by side, so that few of them have other scales than the first;
// tokens for two rows of scales are made together. F8 and F16 parts are of numbers that a power of
// two has brought into the type's range. The norm's factor is multiplied into the sums.
#pragma once

#include "cuda/launch.cuh"
#include "cuda/mma.cuh"
#include "cuda/sm90/folded_rows.cuh"
#include "cuda/sm90/row_loads.cuh"

namespace m2::cuda::sm90 {

constexpr int kFoldedGroups = 3;  // warpgroups that multiply
constexpr int kFoldedWarps = 4 * kFoldedGroups;
constexpr int kFoldedMultiplyThreads = 32 * kFoldedWarps;
constexpr int kFoldedScaleColumns = 128;  // that share a scale of F8

struct FoldedInput {
  const float* rows;         // [T, K]
  const float* norm_weight;  // [K], absent where rows are taken as they are
  float eps;
  int count;  // T
  int cols;   // K
};

/// Versions of the tokens, for two rows of scales.
template <DType kType>
constexpr int kFoldedVersions = kType == DType::kF8E4M3 ? 2 : 1;

template <int kTokens>
struct FoldedTokensShared {
  alignas(16) float largest[2][kTokens][kFoldedWarps];  // numbers of a warp's columns, by version
  alignas(16) float squares[kTokens][kFoldedWarps];     // their sum
};

#if M2_SM90_CODE

/// Up to kTokens of them, for all threads that multiply.
template <DType kType, int kTokens, bool kNormed>
class FoldedTokens {
 public:
  static constexpr int kVersions = kFoldedVersions<kType>;
  using Shared = FoldedTokensShared<kTokens>;

  /// `parts` [kVersions, kTokens, kParts] rows of `stride` bytes, aligned to sixteen.
  __device__ FoldedTokens(const FoldedInput& input, Shared& shared, char* parts, int stride)
      : input_(input), shared_(shared), parts_(parts), stride_(stride) {}

  /// With scales [K / 128] of F8 weights, as many as `versions`. All products with what was there
  /// before must be done. The first time `asked` is given: it waits for earlier kernels and arrives
  /// there when it has asked for the tokens.
  __device__ void fill(const float* const (&scales)[kVersions], int versions, Barrier* asked) {
    const int steps = stride_ / kFoldedBytes;
    Quads x;
    Scales own_scales;
    float squares[kTokens] = {};
    float largest[kVersions][kTokens] = {};
    for (int first = 0; first < steps; first += kBatch * kFoldedWarps) {
      load(scales, first, first == 0 ? asked : nullptr, x, own_scales, squares);
      if constexpr (kRanged) find_largest(x, own_scales, largest);
    }
    share(squares, largest);
    sync_threads(1, kFoldedMultiplyThreads);
    for (int first = 0; first < steps; first += kBatch * kFoldedWarps) {
      if (steps > kBatch * kFoldedWarps) load(scales, first, nullptr, x, own_scales, squares);
      convert(first, versions, x, own_scales);
    }
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
    sync_threads(1, kFoldedMultiplyThreads);
  }

  /// What sums with a token must be multiplied by.
  [[nodiscard]] __device__ float factor(int version, int token) const {
    float result = 1.0F;
    if constexpr (kRanged) {
      const float most = largest_of(version, token);
      // Parts do not show infinite numbers.
      result = most < INFINITY ? scale_above(most).scale / kLimit : most;
    }
    if constexpr (kNormed) {
      float squares = 0.0F;
#pragma unroll
      for (int i = 0; i < kFoldedWarps; ++i) squares += shared_.squares[token][i];
      result *= 1.0F / sqrtf(squares / static_cast<float>(input_.cols) + input_.eps);
    }
    return result;
  }
  [[nodiscard]] __device__ std::uint64_t descriptor(int version) const {
    return folded_descriptor(shared_address(parts(version)), stride_);
  }

 private:
  static constexpr int kParts = kFoldedParts<kType>;
  static constexpr bool kRanged = kType != DType::kBF16;
  static constexpr float kLimit = kType == DType::kF8E4M3 ? kF8PartLimit : 1.0F;
  static constexpr int kElementBytes = kType == DType::kF8E4M3 ? 1 : 2;
  static constexpr int kQuads = kFoldedBytes / kElementBytes / 128;  // of a lane in a step
  // Steps of a warp that come together; rows that are normed are the shorter ones.
  static constexpr int kBatch = (kNormed ? 2 : 4) / kQuads / (kTokens > 2 ? 2 : 1);

  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int quad_of(int step, int q) { return (step * kQuads + q) * 32 + lane(); }

  [[nodiscard]] __device__ char* parts(int version) const {
    return parts_ + version * kTokens * kParts * stride_;
  }
  [[nodiscard]] __device__ float largest_of(int version, int token) const {
    float most = 0.0F;
#pragma unroll
    for (int i = 0; i < kFoldedWarps; ++i) most = fmaxf(most, shared_.largest[version][token][i]);
    return most;
  }

  // Of the columns of a batch of a warp's steps.
  using Quads = float4[kTokens][kBatch][kQuads];
  using Scales = float[kVersions][kBatch][kQuads];

  // The warp's steps from `first` on, those beyond the columns again; times the norm's weights, and
  // adds their squares.
  __device__ void load(const float* const (&scales)[kVersions], int first, Barrier* asked, Quads& x,
                       Scales& own_scales, float (&squares)[kTokens]) const {
    const int steps = stride_ / kFoldedBytes;
    const auto own_step = [&](int i) { return first + i * kFoldedWarps + warp(); };
    float4 weights[kNormed ? kBatch : 1][kQuads];
#pragma unroll
    for (int i = 0; i < kBatch; ++i) {
      const int step = min(own_step(i), steps - 1);
#pragma unroll
      for (int q = 0; q < kQuads; ++q) {
        if constexpr (kNormed) {
          weights[i][q] = load_vector(input_.norm_weight + 4 * quad_of(step, q));
        }
#pragma unroll
        for (int v = 0; v < kVersions; ++v) {
          own_scales[v][i][q] = 1.0F;
          if constexpr (kType == DType::kF8E4M3) {
            asm volatile("ld.global.f32 %0, [%1];"
                         : "=f"(own_scales[v][i][q])
                         : "l"(scales[v] + step * 2 + q)
                         : "memory");
          }
        }
      }
    }
    if (asked != nullptr) await_earlier_kernels();
#pragma unroll
    for (int token = 0; token < kTokens; ++token) {
      const float* row = input_.rows + std::int64_t{min(token, input_.count - 1)} * input_.cols;
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
#pragma unroll
        for (int q = 0; q < kQuads; ++q) {
          x[token][i][q] = load_written_vector(row + 4 * quad_of(min(own_step(i), steps - 1), q));
        }
      }
    }
    if (asked != nullptr && lane() == 0) arrive(asked);
    if constexpr (kNormed) {
#pragma unroll
      for (int i = 0; i < kBatch; ++i) {
        const float counts = own_step(i) < steps ? 1.0F : 0.0F;
#pragma unroll
        for (int token = 0; token < kTokens; ++token) {
#pragma unroll
          for (int q = 0; q < kQuads; ++q) {
            float4& u = x[token][i][q];
            const float4& w = weights[i][q];
            squares[token] += counts * (u.x * u.x + u.y * u.y + u.z * u.z + u.w * u.w);
            u = {u.x * w.x, u.y * w.y, u.z * w.z, u.w * w.w};
          }
        }
      }
    }
  }

  __device__ static void find_largest(const Quads& x, const Scales& scales,
                                      float (&largest)[kVersions][kTokens]) {
#pragma unroll
    for (int token = 0; token < kTokens; ++token) {
#pragma unroll
      for (int i = 0; i < kBatch * kQuads; ++i) {
        const float4& u = x[token][i / kQuads][i % kQuads];
        const float most = fmaxf(fmaxf(fabsf(u.x), fabsf(u.y)), fmaxf(fabsf(u.z), fabsf(u.w)));
#pragma unroll
        for (int v = 0; v < kVersions; ++v) {
          const float scale = fabsf(scales[v][i / kQuads][i % kQuads]);
          largest[v][token] = fmaxf(largest[v][token], most * scale);
        }
      }
    }
  }

  // What the warp has found.
  __device__ void share(const float (&squares)[kTokens],
                        const float (&largest)[kVersions][kTokens]) const {
#pragma unroll
    for (int token = 0; token < kTokens; ++token) {
      if constexpr (kRanged) {
#pragma unroll
        for (int v = 0; v < kVersions; ++v) {
          const unsigned most = __reduce_max_sync(kAllLanes, __float_as_uint(largest[v][token]));
          if (lane() == 0) shared_.largest[v][token][warp()] = __uint_as_float(most);
        }
      }
      if constexpr (kNormed) {
        const float sum = sum_of_warp(squares[token]);
        if (lane() == 0) shared_.squares[token][warp()] = sum;
      }
    }
  }

  __device__ void convert(int first, int versions, const Quads& x, const Scales& scales) const {
    const int steps = stride_ / kFoldedBytes;
#pragma unroll
    for (int v = 0; v < kVersions; ++v) {
      if (v >= versions) break;
#pragma unroll
      for (int token = 0; token < kTokens; ++token) {
        if (token >= input_.count) break;
        const float times = kRanged ? scale_above(largest_of(v, token)).inverse * kLimit : 1.0F;
        char* to = parts(v) + token * kParts * stride_;
#pragma unroll
        for (int i = 0; i < kBatch; ++i) {
          const int step = first + i * kFoldedWarps + warp();
          if (step >= steps) break;
#pragma unroll
          for (int q = 0; q < kQuads; ++q) {
            const float s = scales[v][i][q] * times;
            const float4& u = x[token][i][q];
            store_parts<kType>(to + quad_of(step, q) * 4 * kElementBytes, stride_,
                               {u.x * s, u.y * s, u.z * s, u.w * s});
          }
        }
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
