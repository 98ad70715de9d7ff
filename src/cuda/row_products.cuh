// Products of a block's weight rows with a few tokens: what the kernels over row_ring.cuh share.
#pragma once

#include <algorithm>

#include "cuda/context.h"
#include "cuda/token_fragments.cuh"

namespace m2::cuda {

__device__ inline bool is_asker() { return threadIdx.x / 32 >= kStreamWarps; }

/// sums[t] += tile t of the next stage times the tokens. `kFirst`: the warp's first piece in it.
template <int kFirst, DType kType, int kTokens, int kPieces, int kTiles>
__device__ void multiply_stage(
    RowRing<kType>& ring, int width, const TokenFragments<kType, kTokens, kPieces>& tokens,
    float (&sums)[kTiles][TokenFragments<kType, kTokens, kPieces>::kSums]) {
  constexpr int kOwn = std::min(kPieces, kPiecesOfWarp);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const auto multiply = [&](std::uint32_t slot, int i) {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      tokens.multiply(kFirst + i, ring.load(slot, width, t, i * kStreamWarps + warp), sums[t]);
    }
  };
  ring.pop([&](std::uint32_t slot) {
    if (width == kOwn * kStageRowBytes) {  // no branches between pieces: their chains overlap
#pragma unroll
      for (int i = 0; i < kOwn; ++i) multiply(slot, i);
    } else {
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        if ((i * kStreamWarps + warp) * kPieceBytes < width) multiply(slot, i);
      }
    }
  });
}

/// Stages of all columns of a tile.
template <int kPieces>
constexpr int kTileStages = (kPieces + kPiecesOfWarp - 1) / kPiecesOfWarp;

/// sums[t] += the next tiles, each of which takes all stages of its columns, times the tokens.
template <DType kType, int kTokens, int kPieces, int kTiles>
__device__ void multiply_tiles(
    RowRing<kType>& ring, const StreamShape& shape,
    const TokenFragments<kType, kTokens, kPieces>& tokens,
    float (&sums)[kTiles][TokenFragments<kType, kTokens, kPieces>::kSums]) {
  using Sums = float[1][TokenFragments<kType, kTokens, kPieces>::kSums];
#pragma unroll
  for (int t = 0; t < kTiles; ++t) {
    auto& own = reinterpret_cast<Sums&>(sums[t]);
    multiply_stage<0>(ring, stage_width(shape, 0), tokens, own);
    if constexpr (kTileStages<kPieces> == 2) {
      multiply_stage<kPiecesOfWarp>(ring, stage_width(shape, 1), tokens, own);
    }
  }
}

/// What each warp of a block found for its columns of a unit of kTiles tiles of rows.
template <int kTiles, int kTokens>
class WarpSums {
 public:
  static constexpr int kFloats = kTiles * kTokens * kTileOfRows;  // of a warp
  // Two in turn: a warp may store a unit's while others still sum those before it.
  static constexpr int kBytes = 2 * kStreamWarps * kFloats * static_cast<int>(sizeof(float));

  __device__ explicit WarpSums(char* shared) : floats_(reinterpret_cast<float*>(shared)) {}

  /// By every warp that multiplies, with a barrier of theirs at the end; then sum().
  template <int kSums>
  __device__ void exchange(const float (&sums)[kTiles][kSums]) {
    odd_ = !odd_;
    const int lane = static_cast<int>(threadIdx.x) % 32;
    float* to = current() + static_cast<int>(threadIdx.x) / 32 * kFloats + 2 * lane;
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int i = 0; i < kSums; i += 2) {
        *reinterpret_cast<float2*>(to + (t * kTokens + i / 2 * kTileTokens) * kTileOfRows) = {
            sums[t][i], sums[t][i + 1]};
      }
    }
    sync_stream_warps();
  }
  /// Row 0 .. 7 of a tile, over the warps in their order.
  [[nodiscard]] __device__ float sum(int tile, int row, int token) const {
    const float* from = current() + (tile * kTokens + token) * kTileOfRows + row;
    float total = 0.0F;
#pragma unroll
    for (int warp = 0; warp < kStreamWarps; ++warp) total += from[warp * kFloats];
    return total;
  }

 private:
  [[nodiscard]] __device__ float* current() const {
    return floats_ + (odd_ ? kStreamWarps * kFloats : 0);
  }

  float* floats_;
  bool odd_ = false;
};

/// A counter that no launch nearby has.
inline UnitCounter* next_counter(Context& context) {
  constexpr std::size_t kCounters = 256;  // far more than launches can overlap
  auto* counters = context.unit_counters.get_zeroed<UnitCounter>(kCounters, context.stream);
  return counters + context.num_unit_launches++ % kCounters;
}

/// How a launch uses a block's shared memory: some bytes of the kernel's own, then the ring.
struct RowPlan {
  int slots = 0;  // 0: no room
  int slot_bytes = 0;
  int num_bytes = 0;
  UnitCounter* counter = nullptr;
};

/// For stages of `rows` rows.
template <DType kType>
RowPlan plan_rows(const StreamShape& shape, int rows, int own_bytes, Context& context) {
  constexpr int kFewestSlots = 3;
  // More on its way saturates nothing better and delays the activations, which come through the
  // same queues (H200, whole layers: 100 KB 73 us, 200 KB 79 us for a token).
  constexpr int kRingBytes = 100 << 10;
  constexpr int kSpare = 1024;  // static shared memory and what the driver takes
  const int bytes = RowRing<kType>::slot_bytes_of(rows, std::min(shape.row_bytes, kWidestStage));
  const int room = context.shared_bytes - kSpare - own_bytes - RowRing<kType>::num_bytes(0, bytes);
  const int slots = std::min(
      {room / bytes, RowRing<kType>::kMaxSlots, std::max(kRingBytes / bytes, kFewestSlots)});
  if (slots < kFewestSlots) return {};
  return {slots, bytes, own_bytes + RowRing<kType>::num_bytes(slots, bytes), next_counter(context)};
}

}  // namespace m2::cuda
