// Products of weight rows with a single token, at the fewest instructions for each weight.
//
// The two parts of an activation are two "tokens" of one mma: column 0 takes the high ones, column
// 1 the low ones, and a row's product is the sum of the two. The lanes of a warp split the
// activations of its columns together, once, into shared memory that no other warp touches.
#pragma once

#include "cuda/row_stream.cuh"

namespace m2::cuda {

/// The activations of one token over the chunks of a warp, in shared memory.
struct OneTokenChunk {
  uint2 parts[kChunkSteps][2][4];  // high, low; by lane % 4
};

/// Bytes that `chunks` chunks take: the parts, then a scale for each.
__host__ __device__ constexpr int one_token_bytes(int chunks) {
  return (chunks * static_cast<int>(sizeof(OneTokenChunk) + sizeof(float)) + 15) / 16 * 16;
}

/// The most chunks of a warp when a block's warps divide the columns.
__host__ __device__ constexpr int most_warp_chunks(int chunks) {
  return (chunks + kStreamWarps - 1) / kStreamWarps;
}

template <DType kType, int kRowTiles>
class OneTokenStream {
 public:
  /// `shared` [one_token_bytes(end - begin)] belongs to this warp alone.
  __device__ OneTokenStream(const StreamShape& shape, const RowTile (&tiles)[kRowTiles], int begin,
                            int end, void* shared)
      : weights_(shape, tiles, begin, end),
        chunks_(static_cast<OneTokenChunk*>(shared)),
        scales_(reinterpret_cast<float*>(chunks_ + (end - begin))) {}

  __device__ void start() { weights_.start(); }

  /// After start(). Afterwards the lanes with lane % 4 == 0 hold the rows lane / 4 and that + 8.
  __device__ void multiply(const float* token, float (&rows)[kRowTiles][2]) {
    split(token);
    LaneSums sums[kRowTiles] = {};
    weights_.for_each([&](const Slot& slot, int chunk) { multiply_chunk(slot, chunk, sums); });
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
      rows[m][0] = sums[m][0] + sums[m][1];
      rows[m][1] = sums[m][2] + sums[m][3];
    }
  }

 private:
  using Weights = WeightStream<kType, kRowTiles, kStreamDepth<kType, kRowTiles>>;
  using Slot = typename Weights::Slot;

  // A half-warp takes a chunk, a lane four neighbouring activations.
  __device__ void split(const float* token) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int quad = lane % 16;
    // The inverse of quad_column().
    const int step = kVectors<kType> == 1 ? quad % 4 : quad / 8 * 2 + quad % 2;
    const int column = kVectors<kType> == 1 ? quad / 4 : quad % 8 / 2;
    for (int first = weights_.begin(); first < weights_.end(); first += 2) {
      const int chunk = first + lane / 16;
      const bool valid = chunk < weights_.end();  // the shuffles need every lane
      float4 x = {};
      if (valid) x = *reinterpret_cast<const float4*>(token + chunk * kChunk + quad * 4);
      float scale = 1.0F;
      if constexpr (!kIsBf16<kType>) {
        float largest = fmaxf(fmaxf(fabsf(x.x), fabsf(x.y)), fmaxf(fabsf(x.z), fabsf(x.w)));
        for (int distance = 8; distance > 0; distance /= 2) {
          largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, distance));
        }
        const ChunkScale power = scale_above(largest);
        scale = power.scale;
        x = {x.x * power.inverse, x.y * power.inverse, x.z * power.inverse, x.w * power.inverse};
      }
      if (!valid) continue;
      const SplitQuad parts = split_quad<kIsBf16<kType>>(x);
      OneTokenChunk& to = chunks_[chunk - weights_.begin()];
      to.parts[step][0][column] = {parts.high[0], parts.high[1]};
      to.parts[step][1][column] = {parts.low[0], parts.low[1]};
      if (quad == 0) scales_[chunk - weights_.begin()] = scale;
    }
    __syncwarp();
  }

  __device__ void multiply_chunk(const Slot& slot, int chunk, LaneSums (&sums)[kRowTiles]) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int index = chunk - weights_.begin();
    LaneSums products[kRowTiles] = {};
#pragma unroll
    for (int step = 0; step < kChunkSteps; ++step) {
      uint2 pair = {};  // of the six columns without a part
      if (lane < 8) pair = chunks_[index].parts[step][lane / 4][lane % 4];
      const std::uint32_t parts[2] = {pair.x, pair.y};
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        const WeightPairs upper = weight_pairs<kType>(slot.vectors[m].upper, step);
        const WeightPairs lower = weight_pairs<kType>(slot.vectors[m].lower, step);
        mma<kIsBf16<kType>>(products[m], upper, lower, parts);
      }
    }
    const float token_scale = kIsBf16<kType> ? 1.0F : scales_[index];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
      const float scale = token_scale * slot.scales[m];
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[m][i] += products[m][i] * scale;
    }
  }

  Weights weights_;
  OneTokenChunk* chunks_;  // [end - begin]
  float* scales_;          // [end - begin]
};

/// The rows' sums of the warps of a block.
template <int kRowTiles>
struct OneTokenSums {
  float rows[kStreamWarps][kRowTiles * kTileRows];

  __device__ void store(const float (&sums)[kRowTiles][2]) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if (lane % 4 != 0) return;
    float* to = rows[threadIdx.x / 32];
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
      to[m * kTileRows + lane / 4] = sums[m][0];
      to[m * kTileRows + lane / 4 + 8] = sums[m][1];
    }
  }
  /// Over the warps in their order; after __syncthreads.
  [[nodiscard]] __device__ float sum(int row) const {
    float total = 0.0F;
#pragma unroll
    for (int warp = 0; warp < kStreamWarps; ++warp) total += rows[warp][row];
    return total;
  }
};

}  // namespace m2::cuda
