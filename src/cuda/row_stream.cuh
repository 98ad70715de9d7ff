// Products of weight rows with a few tokens: the decode path, bound by reading the weights.
//
// A block stays on its multiprocessor and takes one unit of rows after the other: a tile of sixteen
// or two. Weights come through a ring (weight_ring.cuh), activations lie in shared memory
// (token_rows.cuh). The warps share the columns; their sums meet in shared memory, always in the
// same order.
#pragma once

#include <algorithm>

#include "cuda/context.h"
#include "cuda/token_rows.cuh"

namespace m2::cuda {

/// sums += a piece of a tile times `count` tokens.
template <DType kType, int kColumnTiles>
__device__ inline void multiply_columns(const TilePiece& rows, const TokenRows<kType>& tokens,
                                        int piece, int count, LaneSums (&sums)[kColumnTiles]) {
#pragma unroll
  for (int n = 0; n < kColumnTiles; ++n) {
    if (n > 0 && count <= n * kTileTokens) break;
    multiply<kType>(rows, tokens.load(piece, n, count), sums[n]);
  }
}

/// By the asking warps: the stages of tile after tile of rows. source_of(position) [lane_source].
template <DType kType, typename SourceOf>
__device__ void ask_for_tiles(WeightRing<kType>& ring, const StreamShape& shape, Span tiles,
                              int num_inner, const SourceOf& source_of) {
  // They take turns tile by tile, as many as the ring holds tiles: no slot may be asked for by one
  // before the use before was asked for by another and the one before that was given back.
  const int stages = shape.stages();
  const int num_asking = max(1, min(kAskingWarps, ring.slots() / stages));
  const int own = static_cast<int>(threadIdx.x) / 32 - kStreamWarps;
  if (own >= num_asking) return;
  UnitPosition position(tiles.begin, num_inner);
  for (int tile = tiles.begin; tile < tiles.end; ++tile, position.advance(num_inner)) {
    if ((tile - tiles.begin) % num_asking != own) {
      ring.skip(stages);
      continue;
    }
    const char* source = source_of(position);
    for (int stage = 0; stage < stages; ++stage) {
      ring.push(source, stage * kStageRowBytes, stage_bytes(shape, stage));
    }
  }
}

/// By the other warps: sums += the next tile times `count` tokens.
template <DType kType, int kColumnTiles>
__device__ void multiply_tile(WeightRing<kType>& ring, const StreamShape& shape,
                              const TokenRows<kType>& tokens, int count,
                              LaneSums (&sums)[kColumnTiles]) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  for (int stage = 0; stage < shape.stages(); ++stage) {
    ring.pop(stage_bytes(shape, stage), [&](const TilePiece& rows) {
      multiply_columns<kType>(rows, tokens, stage * kStreamWarps + warp, count, sums);
    });
  }
}

__device__ inline bool is_asking_warp() { return threadIdx.x / 32 >= kStreamWarps; }
constexpr int kMultiplyThreads = 32 * kStreamWarps;

/// What each warp of a block found for its columns of a unit: kTiles tiles of rows times kColumns
/// columns of the mma.
template <int kTiles, int kColumns>
class BlockSums {
 public:
  static constexpr int kColumnTiles = (kColumns + kTileTokens - 1) / kTileTokens;
  static constexpr int kPitch = kTileRows + 4;  // spreads the columns of a store over banks
  static constexpr int kTileFloats = kColumns * kPitch;
  static constexpr int kWarpFloats = kTiles * kTileFloats;
  // Two in turn, so that a warp may store a unit's while others still sum those before it.
  static constexpr int kBuffers = kColumns > kTileTokens ? 1 : 2;
  static constexpr int kFloats = kStreamWarps * kWarpFloats;
  static constexpr int kBytes = kBuffers * kFloats * static_cast<int>(sizeof(float));

  __device__ explicit BlockSums(char* shared) : floats_(reinterpret_cast<float*>(shared)) {}

  /// By every warp, with a barrier at the end; then sum().
  __device__ void exchange(const LaneSums (&sums)[kTiles][kColumnTiles]) {
    if constexpr (kBuffers == 1) {
      sync_stream_warps();
    } else {
      odd_ = !odd_;
    }
#pragma unroll
    for (int m = 0; m < kTiles; ++m) {
#pragma unroll
      for (int n = 0; n < kColumnTiles; ++n) store(m, n, sums[m][n]);
    }
    sync_stream_warps();
  }
  /// Row 0 .. 15 of a tile, over the warps in their order.
  [[nodiscard]] __device__ float sum(int tile, int row, int column) const {
    const float* from = current() + tile * kTileFloats + column * kPitch + row;
    float total = 0.0F;
#pragma unroll
    for (int warp = 0; warp < kStreamWarps; ++warp) total += from[warp * kWarpFloats];
    return total;
  }

 private:
  __device__ void store(int tile, int column_tile, const LaneSums& sums) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int column = column_tile * kTileTokens + lane % 4 * 2;
    if (column >= kColumns) return;
    float* to = current() + static_cast<int>(threadIdx.x) / 32 * kWarpFloats + tile * kTileFloats +
                column * kPitch + lane / 4;
    to[0] = sums[0];
    to[kPitch] = sums[1];
    to[8] = sums[2];
    to[kPitch + 8] = sums[3];
  }
  [[nodiscard]] __device__ float* current() const { return floats_ + (odd_ ? kFloats : 0); }

  float* floats_;
  bool odd_ = false;
};

/// How a launch uses a block's shared memory.
struct StreamPlan {
  int columns = 0;  // of the mma: 2, 8 or 16
  int tokens = 0;   // rows of activations that a block holds; 0: not even one fits
  int slots = 0;    // of the ring
  int num_bytes = 0;
};

/// The parts of a block's shared memory.
template <DType kType, int kTiles, int kColumns>
struct StreamMemory {
  char* sums;
  char* rows;
  char* ring;

  __host__ __device__ static constexpr int rows_bytes(int cols, int tokens) {
    return (TokenRows<kType>::num_bytes(cols, tokens) + 15) / 16 * 16;
  }
  __host__ __device__ static constexpr int num_bytes(int cols, int tokens, int slots) {
    return BlockSums<kTiles, kColumns>::kBytes + rows_bytes(cols, tokens) +
           WeightRing<kType>::num_bytes(slots);
  }

  __device__ StreamMemory(void* shared, int cols, int tokens)
      : sums(static_cast<char*>(shared)),
        rows(sums + BlockSums<kTiles, kColumns>::kBytes),
        ring(rows + rows_bytes(cols, tokens)) {}
};

/// For `tokens` rows of `cols` columns: as many slots as there is room for, up to `most_slots`.
template <DType kType, int kTiles, int kColumns>
StreamPlan plan_columns(int cols, int tokens, int most_slots, const Context& context) {
  constexpr int kFewestSlots = 3;
  constexpr int kSpare = 1024;
  using Memory = StreamMemory<kType, kTiles, kColumns>;
  const int room = context.shared_bytes - kSpare - Memory::num_bytes(cols, tokens, 0);
  const int slots = std::min({room / kSlotBytes, most_slots, WeightRing<kType>::kMaxSlots});
  if (slots < kFewestSlots) return {};
  return {kColumns, tokens, slots, Memory::num_bytes(cols, tokens, slots)};
}

/// Slots of a ring that leaves room on the multiprocessor for the blocks of small kernels beside
/// it: a dense product asks for its weights while they prepare its input.
constexpr int kShortRing = 6;

/// For up to `wanted` columns of the mma at a time.
template <DType kType, int kTiles>
StreamPlan plan_stream(int cols, int wanted, const Context& context) {
  constexpr int kMost = WeightRing<kType>::kMaxSlots;
  StreamPlan plan;
  if (wanted <= 2) plan = plan_columns<kType, kTiles, 2>(cols, wanted, kShortRing, context);
  if (wanted > 8) plan = plan_columns<kType, kTiles, 16>(cols, 16, kMost, context);
  for (int tokens = 8; tokens > 0 && plan.tokens == 0; --tokens) {
    plan = plan_columns<kType, kTiles, 8>(cols, tokens, kMost, context);
  }
  return plan;
}

/// Calls body(integral_constant of the columns).
template <typename Body>
void for_columns(int columns, const Body& body) {
  if (columns == 2) return body(std::integral_constant<int, 2>());
  if (columns == 8) return body(std::integral_constant<int, 8>());
  body(std::integral_constant<int, 16>());
}

}  // namespace m2::cuda
