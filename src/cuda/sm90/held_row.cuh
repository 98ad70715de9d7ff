// A row of activations that a block or a warp keeps in registers.
#pragma once

#include "cuda/numeric.cuh"

namespace m2::cuda::sm90 {

template <typename Input>
__device__ float4 load_quad(const void* input, std::int64_t quad) {
  if constexpr (sizeof(Input) == 4) {
    return static_cast<const float4*>(input)[quad];
  } else {
    const uint2 pairs = static_cast<const uint2*>(input)[quad];
    const float2 low = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(pairs.x));
    const float2 high = __bfloat1622float2(reinterpret_cast<const __nv_bfloat162&>(pairs.y));
    return {low.x, low.y, high.x, high.y};
  }
}

__device__ inline float largest_of(float4 x) {
  return fmaxf(fmaxf(fabsf(x.x), fabsf(x.y)), fmaxf(fabsf(x.z), fabsf(x.w)));
}
__device__ inline float largest_of_warp(float value) {
  for (int step = 16; step > 0; step /= 2) {
    value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, step));
  }
  return value;
}

// The largest of a group of threads, which is a warp or the block.
template <int kGroup>
__device__ float largest_of_group(float found) {
  found = largest_of_warp(found);
  if constexpr (kGroup > 32) {
    __shared__ float scratch[kGroup / 32];
    if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = found;
    __syncthreads();
    for (const float other : scratch) found = fmaxf(found, other);
  }
  return found;
}

// A row of float32, most or all of it in the registers of a group of threads.
template <int kHeld, int kGroup>
class HeldRow {
 public:
  __device__ HeldRow(const void* input, int cols, std::int64_t row)
      : input_(input), quads_(cols / 4), first_(row * quads_) {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int quad = place() + i * kGroup;
      if (quad < quads_) held_[i] = load_quad<float>(input_, first_ + quad);
    }
  }

  /// Calls use(quad, numbers) for the thread's quads.
  template <typename Use>
  __device__ void for_each(const Use& use) const {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int quad = place() + i * kGroup;
      if (quad < quads_) use(quad, held_[i]);
    }
    for (int quad = place() + kHeld * kGroup; quad < quads_; quad += kGroup) {
      use(quad, load_quad<float>(input_, first_ + quad));
    }
  }

  /// rms_norm of a row that is held as a whole.
  __device__ void norm(const float* weight, float eps) {
    __shared__ float scratch[32];
    float sum = 0.0F;
    for_each([&](int, float4 x) { sum += x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w; });
    const float mean = sum_of_block(sum, scratch) / static_cast<float>(4 * quads_);
    const float factor = 1.0F / sqrtf(mean + eps);
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int quad = place() + i * kGroup;
      if (quad >= quads_) break;
      const float4 w = __ldg(reinterpret_cast<const float4*>(weight) + quad);
      float4& x = held_[i];
      x = {w.x * (x.x * factor), w.y * (x.y * factor), w.z * (x.z * factor), w.w * (x.w * factor)};
    }
  }

  [[nodiscard]] __device__ float largest() const {
    float found = 0.0F;
    for_each([&](int, float4 x) { found = fmaxf(found, largest_of(x)); });
    return largest_of_group<kGroup>(found);
  }

 private:
  static __device__ int place() { return static_cast<int>(threadIdx.x) % kGroup; }

  const void* input_;
  int quads_;
  std::int64_t first_;
  float4 held_[kHeld];
};

// A row of bf16, read in vectors of eight and kept packed.
template <int kHeld, int kGroup>
class PackedRow {
 public:
  __device__ PackedRow(const void* input, int cols, std::int64_t row)
      : row_(static_cast<const uint4*>(input) + row * (cols / 8)), vectors_(cols / 8) {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int vector = place() + i * kGroup;
      held_[i] = vector < vectors_ ? row_[vector] : uint4{};
    }
  }

  /// Calls use(vector, numbers) for the thread's vectors.
  template <typename Use>
  __device__ void for_each(const Use& use) const {
#pragma unroll
    for (int i = 0; i < kHeld; ++i) {
      const int vector = place() + i * kGroup;
      if (vector < vectors_) use(vector, held_[i]);
    }
    for (int vector = place() + kHeld * kGroup; vector < vectors_; vector += kGroup) {
      use(vector, row_[vector]);
    }
  }

  [[nodiscard]] __device__ float largest() const {
    __nv_bfloat162 found = {};
    for_each([&](int, uint4 x) {
      for (const std::uint32_t word : {x.x, x.y, x.z, x.w}) {
        found = __hmax2(found, __habs2(reinterpret_cast<const __nv_bfloat162&>(word)));
      }
    });
    return largest_of_group<kGroup>(fmaxf(__bfloat162float(found.x), __bfloat162float(found.y)));
  }

 private:
  static __device__ int place() { return static_cast<int>(threadIdx.x) % kGroup; }

  const uint4* row_;
  int vectors_;
  uint4 held_[kHeld];
};

}  // namespace m2::cuda::sm90
