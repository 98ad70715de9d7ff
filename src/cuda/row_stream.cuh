// Products of weight rows with a few tokens: the decode path, bound by reading the weights.
//
// A block of eight warps takes tiles of sixteen rows. The warps divide the columns, so each reads
// its part of the weights and of the activations once, straight into registers; their sums meet in
// shared memory, always in the same order.
#pragma once

#include "cuda/mma.cuh"

namespace m2::cuda {

constexpr int kStreamWarps = 8;
constexpr int kStreamThreads = 32 * kStreamWarps;

/// Blocks that share a multiprocessor: many sums take the registers of two.
template <int kTokenTiles>
constexpr int kStreamBlocks = kTokenTiles == 1 ? 2 : 1;

/// Sizes that all matrices of a launch share.
struct StreamShape {
  int rows;
  int cols;
  int chunks;       // cols / kChunk
  int block_rows;   // of the scales
  int scale_shift;  // chunks of a scale block: 1 << scale_shift
  int scale_cols;
};

inline StreamShape stream_shape(const WeightView& weight) {
  const bool scaled = weight.dtype == DType::kF8E4M3;
  const auto scale_chunks = static_cast<std::uint64_t>(scaled ? weight.block_cols / kChunk : 1);
  return {.rows = static_cast<int>(weight.rows),
          .cols = static_cast<int>(weight.cols),
          .chunks = static_cast<int>(weight.cols / kChunk),
          .block_rows = static_cast<int>(weight.block_rows),
          .scale_shift = std::countr_zero(scale_chunks),
          .scale_cols = static_cast<int>(weight.scale_cols())};
}

/// A tile of rows of one of the matrices.
struct RowTile {
  const void* data;    // [rows, cols]
  const float* scale;  // F8 only
  int first_row;
};

/// The sums of a lane for a tile of rows and one of eight tokens. [0, 1]: row lane / 4, tokens
/// lane % 4 * 2 and the next; [2, 3]: the row eight further down.
using LaneSums = float[4];

/// Reads kRowTiles tiles of rows over a range of chunks, kDepth chunks ahead of their use.
template <DType kType, int kRowTiles, int kDepth>
class WeightStream {
 public:
  struct Slot {
    RowVectors<kType> vectors[kRowTiles];
    float scales[kRowTiles];
  };

  __device__ WeightStream(const StreamShape& shape, const RowTile (&tiles)[kRowTiles], int begin,
                          int end)
      : begin_(begin), end_(end), scale_shift_(shape.scale_shift) {
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
      readers_[m] = RowReader<kType>(tiles[m].data, tiles[m].first_row, shape.rows, shape.cols);
      if constexpr (kType == DType::kF8E4M3) {
        const int row = min(tiles[m].first_row, shape.rows - 1) / shape.block_rows;
        scale_rows_[m] = tiles[m].scale + row * shape.scale_cols;
      }
    }
  }

  [[nodiscard]] __device__ int begin() const { return begin_; }
  [[nodiscard]] __device__ int end() const { return end_; }

  /// Asks for the first weights, before the activations are known.
  __device__ void start() {
#pragma unroll
    for (int i = 0; i < kDepth; ++i) {
      if (begin_ + i < end_) load(slots_[i], begin_ + i);
    }
  }

  /// Calls use(slot, chunk) for every chunk in order; after start().
  template <typename Use>
  __device__ void for_each(const Use& use) {
    for (int chunk = begin_; chunk < end_; chunk += kDepth) {
#pragma unroll
      for (int i = 0; i < kDepth; ++i) {
        if (chunk + i >= end_) break;
        use(slots_[i], chunk + i);
        if (chunk + i + kDepth < end_) load(slots_[i], chunk + i + kDepth);
      }
    }
  }

 private:
  __device__ void load(Slot& slot, int chunk) const {
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
      slot.vectors[m] = readers_[m].read(chunk);
      if constexpr (kType == DType::kF8E4M3) {
        slot.scales[m] = __ldg(scale_rows_[m] + (chunk >> scale_shift_));
      } else {
        slot.scales[m] = 1.0F;
      }
    }
  }

  RowReader<kType> readers_[kRowTiles];
  const float* scale_rows_[kRowTiles];
  int begin_;
  int end_;
  int scale_shift_;
  Slot slots_[kDepth];
};

/// Chunks in flight: enough bytes to cover the latency of memory with the warps that fit.
template <DType kType, int kRowTiles>
constexpr int kStreamDepth = kVectors<kType> == 1 ? 6 / kRowTiles : (kRowTiles == 1 ? 4 : 2);

/// Products of kRowTiles tiles of rows with kTokenTiles tiles of eight tokens.
template <DType kType, int kRowTiles, int kTokenTiles>
class RowStream {
 public:
  __device__ RowStream(const StreamShape& shape, const RowTile (&tiles)[kRowTiles], int begin,
                       int end)
      : weights_(shape, tiles, begin, end) {}

  __device__ void start() { weights_.start(); }

  /// After start(). row_of(token): [cols] f32, or null beyond the last token.
  template <typename RowOf>
  __device__ void multiply(const RowOf& row_of, LaneSums (&sums)[kRowTiles][kTokenTiles]) {
    const float* tokens[kTokenTiles];
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
      tokens[n] = row_of(n * kTileTokens + static_cast<int>(threadIdx.x) % 32 / 4);
    }
    float4 x[kChunkSteps];
    load_tokens(tokens[0], weights_.begin(), x);
    weights_.for_each(
        [&](const Slot& slot, int chunk) { multiply_chunk(slot, chunk, tokens, x, sums); });
  }

 private:
  using Weights = WeightStream<kType, kRowTiles, kStreamDepth<kType, kRowTiles>>;
  using Slot = typename Weights::Slot;

  __device__ void load_tokens(const float* token, int chunk, float4 (&x)[kChunkSteps]) const {
#pragma unroll
    for (int step = 0; step < kChunkSteps; ++step) {
      x[step] = {};
      if (token == nullptr || chunk >= weights_.end()) continue;
      const int column = chunk * kChunk + quad_column<kType>(threadIdx.x % 4, step);
      x[step] = *reinterpret_cast<const float4*>(token + column);
    }
  }

  // `x` holds the first tile's activations of the chunk, and those of the next one afterwards.
  __device__ void multiply_chunk(const Slot& slot, int chunk, const float* (&tokens)[kTokenTiles],
                                 float4 (&x)[kChunkSteps],
                                 LaneSums (&sums)[kRowTiles][kTokenTiles]) const {
#pragma unroll
    for (int n = 0; n < kTokenTiles; ++n) {
      const TokenChunk parts = split_chunk<kType>(x);
      if (n + 1 < kTokenTiles) {
        load_tokens(tokens[n + 1], chunk, x);
      } else {
        load_tokens(tokens[0], chunk + 1, x);
      }
      // Sums of this lane belong to two tokens, whose scales two other lanes hold.
      const int pair = static_cast<int>(threadIdx.x) % 4 * 8;
      const float first = __shfl_sync(kAllLanes, parts.scale, pair);
      const float second = __shfl_sync(kAllLanes, parts.scale, pair + 4);
#pragma unroll
      for (int m = 0; m < kRowTiles; ++m) {
        LaneSums high = {};
        LaneSums low = {};
#pragma unroll
        for (int step = 0; step < kChunkSteps; ++step) {
          const WeightPairs upper = weight_pairs<kType>(slot.vectors[m].upper, step);
          const WeightPairs lower = weight_pairs<kType>(slot.vectors[m].lower, step);
          mma<kIsBf16<kType>>(high, upper, lower, parts.quads[step].high);
          mma<kIsBf16<kType>>(low, upper, lower, parts.quads[step].low);
        }
        const float scale = slot.scales[m];
        LaneSums& to = sums[m][n];
        to[0] += (high[0] + low[0]) * (first * scale);
        to[1] += (high[1] + low[1]) * (second * scale);
        to[2] += (high[2] + low[2]) * (first * scale);
        to[3] += (high[3] + low[3]) * (second * scale);
      }
    }
  }

  Weights weights_;
};

/// What a warp adds to a tile of rows and tokens: [kTileRows, kTileTokens].
struct TileSums {
  float values[kTileRows * kTileTokens];
};

/// Writes a lane's sums into its warp's tile.
__device__ inline void store_sums(TileSums& tile, const LaneSums& sums) {
  const int lane = threadIdx.x % 32;
  float* to = tile.values + lane / 4 * kTileTokens + lane % 4 * 2;
  to[0] = sums[0];
  to[1] = sums[1];
  to[8 * kTileTokens] = sums[2];
  to[8 * kTileTokens + 1] = sums[3];
}

/// The sums of all warps of a block.
template <int kRowTiles, int kTokenTiles>
struct BlockSums {
  TileSums tiles[kStreamWarps][kRowTiles][kTokenTiles];

  __device__ void store(const LaneSums (&sums)[kRowTiles][kTokenTiles]) {
#pragma unroll
    for (int m = 0; m < kRowTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kTokenTiles; ++n) {
        store_sums(tiles[threadIdx.x / 32][m][n], sums[m][n]);
      }
    }
  }
  /// Over the warps in their order; after __syncthreads.
  [[nodiscard]] __device__ float sum(int row_tile, int row, int token) const {
    const int index = row * kTileTokens + token % kTileTokens;
    float total = 0.0F;
#pragma unroll
    for (int warp = 0; warp < kStreamWarps; ++warp) {
      total += tiles[warp][row_tile][token / kTileTokens].values[index];
    }
    return total;
  }
};

/// The chunks of a warp.
struct WarpChunks {
  int begin;
  int end;

  __device__ explicit WarpChunks(const StreamShape& shape) {
    const int warp = static_cast<int>(threadIdx.x) / 32;
    begin = warp * shape.chunks / kStreamWarps;
    end = (warp + 1) * shape.chunks / kStreamWarps;
  }
};

}  // namespace m2::cuda
