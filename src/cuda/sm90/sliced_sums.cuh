// A warpgroup's sums of a tile of weight rows with its stages of a block's slice of the tokens.
#pragma once

#include "cuda/mma.cuh"
#include "cuda/sm90/folded_rows.cuh"
#include "cuda/sm90/sliced_share.cuh"

namespace m2::cuda::sm90::sliced {

#if M2_SM90_CODE

class SlicedSums {
 public:
  /// The stage's products, when it is there. `scale` of the weights, `powers` [kTokens].
  __device__ void add(const char* weights, const char* tokens, float scale, const float* powers) {
    float products[kSums];
    const std::uint64_t rows = matrix_descriptor(weights);
    const std::uint64_t columns = matrix_descriptor(tokens);
    begin_products();
#pragma unroll
    for (int step = 0; step < kScaleColumns / 32; ++step) {
      Products<kOperandRows>::template multiply<Operand::kE4M3>(
          products, rows + step * kDescriptorStep, columns + step * kDescriptorStep,
          step > 0 ? 1 : 0);
    }
    commit_products();
    wait_products<0>();
    pin(products);
    const float2 power = *reinterpret_cast<const float2*>(&powers[2 * (threadIdx.x % 4)]);
    const float factors[2] = {power.x * scale, power.y * scale};
#pragma unroll
    for (int j = 0; j < kSums; ++j) sums_[j] += products[j] * factors[j % 2];
  }

  /// To the blocks that finish the rows.
  __device__ void send(SlicedShared& shared, int tile, int source, int num_tokens) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int token = 2 * (lane % 4);
    if (token >= num_tokens) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = static_cast<int>(threadIdx.x) % 128 / 32 * 16 + 8 * half + lane / 4;
      sliced::send(&shared.sums[tile][source][row % kOwnRows][token], &shared.barriers.sums[tile],
                   static_cast<unsigned>(row / kOwnRows), sum_of_parts(half));
    }
  }

 private:
  static constexpr int kSums = kOperandRows / 2;

  // Of row lane / 4 + 8 * half of the warp's rows with tokens 2 (lane % 4) and the next.
  __device__ float2 sum_of_parts(int half) const {
    float2 sum = {};
#pragma unroll
    for (int part = kParts; part-- > 0;) {
      sum = {sum.x * kF8PartStep + sums_[4 * part + 2 * half],
             sum.y * kF8PartStep + sums_[4 * part + 2 * half + 1]};
    }
    return sum;
  }

  float sums_[kSums] = {};
};

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90::sliced
