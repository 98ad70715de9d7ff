// The rows of a stage of weights as the left operands of the products in row_tiles.cu.
#pragma once

#include "cuda/int8_operand.cuh"
#include "cuda/mma.cuh"
#include "cuda/sm90/ptx.cuh"

namespace m2::cuda::sm90 {

#if M2_SM90_CODE

// The operands of a warp's sixteen rows from a stage's weights: rows lane / 4 and that + 8, and of
// both the 32 bytes from 32 (lane % 4) on, four columns a step.
template <DType kType>
struct RowOperands {
  static constexpr int kSteps = kType == DType::kF8E4M3 ? 8 : 4;
  std::uint32_t values[kSteps][4];

  __device__ explicit RowOperands(const char* weights) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int row = static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane / 4;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int chunk = (lane % 4 * 2 + i) ^ (lane / 4);
        const uint4 vector =
            *reinterpret_cast<const uint4*>(weights + (row + 8 * half) * 128 + chunk * 16);
#pragma unroll
        for (int j = 0; j < kSteps / 2; ++j) {
          const WeightPairs pairs = weight_pairs<kType>(vector, j);
          values[i * (kSteps / 2) + j][half] = pairs.pair[0];
          values[i * (kSteps / 2) + j][2 + half] = pairs.pair[1];
        }
      }
    }
  }
};

// The same from units of int8 weights: a warp has one.
template <>
struct RowOperands<DType::kU8> {
  static constexpr int kSteps = 8;
  std::uint32_t values[kSteps][4];

  __device__ explicit RowOperands(const char* weights) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const char* unit = weights + static_cast<int>(threadIdx.x) % 128 / 32 * kInt8UnitBytes;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const __half2 scale = __half2half2(reinterpret_cast<const __half*>(
          unit + kInt8CodeBytes)[half * (kInt8Rows / 2) * 4 + lane]);
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const uint4 vector = reinterpret_cast<const uint4*>(unit)[(half * 2 + i) * 32 + lane];
        const std::uint32_t words[4] = {vector.x, vector.y, vector.z, vector.w};
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const WeightPairs pairs = expand_int8(words[j], scale);
          values[i * 4 + j][half] = pairs.pair[0];
          values[i * 4 + j][2 + half] = pairs.pair[1];
        }
      }
    }
  }
};

// The scales of the tile's blocks of 128 columns: a lane holds that of every 32nd stage.
class StageScales {
 public:
  __device__ explicit StageScales(const float* first) : first_(first) {}
  __device__ float get(int stage, int count) {
    const int batch = stage / 32;
    if (batch != batch_) {
      batch_ = batch;
      const int own = batch * 32 + static_cast<int>(threadIdx.x) % 32;
      held_ = own < count ? __ldg(first_ + own) : 0.0F;
    }
    return __shfl_sync(kAllLanes, held_, stage % 32);
  }

 private:
  const float* first_;
  int batch_ = -1;
  float held_ = 0.0F;
};

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90
