// The softmax of the prefill attention: a lane's part of two rows of scores.
#pragma once

#include "cuda/sm90/attention_tiles.cuh"

namespace m2::cuda::sm90::prefill {

#if M2_SM90_CODE

__device__ inline float fast_exp2(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// The softmax of a lane's rows, lane / 4 and that + 8 of its warp, so far.
struct Softmax {
  float largest[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0F, 0.0F};  // over this lane's keys

  // Scores become weights; returns what earlier sums are multiplied by. A larger score that makes
  // no weight larger than 2^8 changes nothing, so most keys leave the sums as they are.
  __device__ float2 update(float (&scores)[64], float log2_scale) {
    float best[2];
    find_largest(scores, best);
    float keep[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      keep[half] = 1.0F;
      if ((best[half] - largest[half]) * log2_scale > kMostLog2) {
        keep[half] = fast_exp2((largest[half] - best[half]) * log2_scale);
        largest[half] = best[half];
      }
    }
    float offset[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      offset[half] = largest[half] == -INFINITY ? 0.0F : largest[half] * log2_scale;
    }
    float total[2][2] = {};
#pragma unroll
    for (int i = 0; i < 64; ++i) {
      const int half = i / 2 % 2;
      scores[i] = fast_exp2(scores[i] * log2_scale - offset[half]);
      total[half][i % 2] += scores[i];
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      sum[half] = sum[half] * keep[half] + (total[half][0] + total[half][1]);
    }
    return {keep[0], keep[1]};
  }

 private:
  static constexpr float kMostLog2 = 8.0F;
  static constexpr int kChains = 4;  // of maxima that do not wait for each other

  // Of the two rows, over the lanes that share them.
  static __device__ void find_largest(const float (&scores)[64], float (&best)[2]) {
    float chains[2][kChains];
#pragma unroll
    for (int i = 0; i < 32; ++i) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float score = scores[i / 2 * 4 + half * 2 + i % 2];
        float& chain = chains[half][i % kChains];
        chain = i < kChains ? score : fmaxf(chain, score);
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      best[half] =
          fmaxf(fmaxf(chains[half][0], chains[half][1]), fmaxf(chains[half][2], chains[half][3]));
    }
#pragma unroll
    for (int step = 1; step < 4; step *= 2) {
#pragma unroll
      for (float& value : best) value = fmaxf(value, __shfl_xor_sync(kAllLanes, value, step));
    }
  }
};

__device__ inline void pack_weights(const float (&scores)[64], std::uint32_t (&weights)[8][4]) {
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(scores[2 * i], scores[2 * i + 1]);
    weights[i / 4][i % 4] = reinterpret_cast<const std::uint32_t&>(pair);
  }
}

// What the two rows of a lane see.
struct RowRanges {
  int begin[2];
  int end[2];

  __device__ RowRanges(const AttentionView& view, const RowTile& tile, int first_row) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + half * 8;
      const bool used = row < tile.num_rows;
      begin[half] = used ? view.key_begin[tile.token(row)] : 0;
      end[half] = used ? view.key_end[tile.token(row)] : 0;
    }
  }
  __device__ void hide(int first_key, float (&scores)[64]) const {
    const int first = first_key + static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
    for (int i = 0; i < 64; ++i) {
      const int key = first + i / 4 * 8 + i % 2;
      const int half = i / 2 % 2;
      if (key < begin[half] || key >= end[half]) scores[i] = -INFINITY;
    }
  }
};

__device__ inline void write_output(const PrefillAttention& args, const RowTile& tile,
                                    int first_row, const Softmax& softmax,
                                    const float (&output)[64]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = softmax.sum[half];
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    const int row = first_row + half * 8;
    if (row >= tile.num_rows) continue;
    const float inverse = sum == 0.0F ? 0.0F : 1.0F / sum;
    const std::int64_t vector =
        std::int64_t{tile.token(row)} * args.view.num_heads + tile.head(row);
    const std::int64_t first = vector * kHeadDim + threadIdx.x % 4 * 2;
#pragma unroll
    for (int j = 0; j < kHeadDim / 8; ++j) {
      const float2 pair = {output[4 * j + half * 2] * inverse,
                           output[4 * j + half * 2 + 1] * inverse};
      if (args.rows.output != nullptr) {
        auto* to = static_cast<__nv_bfloat16*>(args.rows.output) + first + 8 * j;
        *reinterpret_cast<__nv_bfloat162*>(to) = __floats2bfloat162_rn(pair.x, pair.y);
      } else {
        *reinterpret_cast<float2*>(args.view.output + first + 8 * j) = pair;
      }
    }
  }
}

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90::prefill
