// Scalar conversions, activation functions and reductions of the kernels.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdint>

#include "ops/activation.h"
#include "quant/weight_view.h"

namespace m2::cuda {

constexpr unsigned kAllLanes = 0xFFFFFFFFU;

/// Element `index` of an array of kType; any alignment that the type itself needs.
template <DType kType>
__device__ inline float load_element(const void* data, std::int64_t index) {
  if constexpr (kType == DType::kF32) {
    return static_cast<const float*>(data)[index];
  } else if constexpr (kType == DType::kF16) {
    return __half2float(static_cast<const __half*>(data)[index]);
  } else if constexpr (kType == DType::kBF16) {
    return __bfloat162float(static_cast<const __nv_bfloat16*>(data)[index]);
  } else {
    static_assert(kType == DType::kF8E4M3);
    const auto code = static_cast<const __nv_fp8_storage_t*>(data)[index];
    return __half2float(__half(__nv_cvt_fp8_to_halfraw(code, __NV_E4M3)));
  }
}

__device__ inline float sum_of_warp(float value) {
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(kAllLanes, value, step);
  return value;
}

/// The sum over all threads of a block of up to 1024, the same in every thread. `scratch` [32] is
/// free again after the next __syncthreads of the caller.
__device__ inline float sum_of_block(float value, float* scratch) {
  value = sum_of_warp(value);
  if (threadIdx.x % 32 == 0) scratch[threadIdx.x / 32] = value;
  __syncthreads();
  const unsigned num_warps = (blockDim.x + 31) / 32;
  const unsigned lane = threadIdx.x % 32;
  return sum_of_warp(lane < num_warps ? scratch[lane] : 0.0F);
}

__device__ inline float sigmoid(float x) { return 1.0F / (1.0F + expf(-x)); }

/// The formulas of ops/activation.cc.
__device__ inline float device_activate(Activation activation, float x) {
  constexpr float kSqrt2OverPi = 0.79788456080286536F;
  const auto gelu = [](float v) { return 0.5F * v * erfcf(v * -0.70710678118654752F); };
  const auto relu = [](float v) { return v > 0.0F || isnan(v) ? v : 0.0F; };
  const auto clamp = [](float v, float low, float high) {
    return v < low ? low : (v > high ? high : v);
  };
  switch (activation) {
    case Activation::kSilu:
      return x * sigmoid(x);
    case Activation::kGelu:
      return gelu(x);
    case Activation::kGeluTanh:
      return x * sigmoid(2.0F * kSqrt2OverPi * (x + 0.044715F * x * x * x));
    case Activation::kGeluFast:
      return x * sigmoid(2.0F * 0.7978845608F * x * (1.0F + 0.044715F * x * x));
    case Activation::kGelu10:
      return clamp(gelu(x), -10.0F, 10.0F);
    case Activation::kQuickGelu:
      return x * sigmoid(1.702F * x);
    case Activation::kRelu:
      return relu(x);
    case Activation::kRelu2:
      return relu(x) * relu(x);
    case Activation::kRelu6:
      return clamp(relu(x), 0.0F, 6.0F);
    case Activation::kLeakyRelu:
      return x < 0.0F ? 0.01F * x : x;
    case Activation::kSigmoid:
      return sigmoid(x);
    case Activation::kTanh:
      return tanhf(x);
    case Activation::kLinear:
      return x;
    case Activation::kMish:
      return x * tanhf((x > 0.0F ? x : 0.0F) + log1pf(expf(-fabsf(x))));
    case Activation::kLaplace:
      return 0.5F * (1.0F + erff((x - 0.707107F) / (0.282095F * 1.41421356237309505F)));
  }
  return x;
}

}  // namespace m2::cuda
