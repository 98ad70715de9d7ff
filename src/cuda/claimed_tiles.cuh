// Products of up to eight tokens with weights by tiles of sixteen rows, bound by reading these.
//
// Blocks claim tiles: with equal shares the multiprocessors that read fastest end 45 us before the
// others, of 150 (H200, an int8 head). One warp asks for whole tiles; twelve others have a share of
// the columns each, keep these columns of the tokens in registers, and their sums meet in shared
// memory, always in the same order.
#pragma once

#include <algorithm>
#include <span>

#include "cuda/bulk_copy.cuh"
#include "cuda/launch.cuh"
#include "cuda/linear_parts.cuh"
#include "cuda/mma.cuh"
#include "cuda/shared_memory.h"
#include "cuda/unit_counter.h"
#include "ops/rms_norm.h"

namespace m2::cuda {

constexpr int kTileWarps = 12;  // that multiply
constexpr int kTileThreads = 32 * (kTileWarps + 1);
constexpr int kMostTileSlots = 8;

struct TileLinear {
  const float* input;        // [T, K]
  const float* norm_weight;  // [K], absent where rows are taken as they are
  float eps;
  int num_tokens;
  int cols;
  int slots;  // of the ring
  UnitCounter* counter;
  LinearParts parts;  // a unit is a tile
};

struct TileRing {
  std::uint64_t full[kMostTileSlots];
  std::uint64_t empty[kMostTileSlots];
  int tiles[kMostTileSlots];  // -1 behind the last
};

struct TilePlace {
  int slot = 0;
  int parity = 0;

  __device__ void advance(int slots) {
    if (++slot < slots) return;
    slot = 0;
    parity ^= 1;
  }
};

/// Of a warp's columns, by tokens.
struct TileSums {
  float of_tile[2][kTileWarps][kTileTokens][kTileRows];  // two in turn: of this tile, or the last
  float squares[kTileWarps][kTileTokens];
};

/// A barrier of the warps that multiply.
__device__ inline void sync_tile_warps() {
  asm volatile("bar.sync 1, %0;" ::"n"(32 * kTileWarps) : "memory");
}

// By one warp, lane 0 of which claims.
template <typename Tile>
__device__ void ask_for_tiles(const TileLinear& args, TileRing& ring, std::uint32_t slots) {
  const bool leads = threadIdx.x % 32 == 0;
  const auto blocks = static_cast<int>(gridDim.x);
  TilePlace place;
  int next = static_cast<int>(blockIdx.x);
  for (bool ends = false; !ends; place.advance(args.slots)) {
    const int tile = __shfl_sync(kAllLanes, next, 0);
    ends = tile >= args.parts.units;
    if (leads && !ends) next = blocks + atomicAdd(&args.counter->claimed, 1);
    const std::uint32_t full = shared_address(&ring.full[place.slot]);
    await_phase(shared_address(&ring.empty[place.slot]), place.parity ^ 1);
    if (leads) {
      ring.tiles[place.slot] = ends ? -1 : tile;
      arrive_expecting(full, ends ? 0 : Tile::num_bytes(args.cols));
    }
    __syncwarp();
    if (ends) break;
    const LinearPart& part = args.parts.of(tile);
    Tile::copy(part.weight, tile - part.first_unit, args.cols,
               slots + place.slot * Tile::slot_bytes(args.cols), full);
  }
  if (leads && atomicAdd(&args.counter->done, 1) == blocks - 1) *args.counter = {};
}

// What sums with the lane's tokens, lane % 4 * 2 and the next, must be multiplied by: 1 without a
// norm. `squares`: of the warp's columns of token lane / 4, by this lane.
template <bool kNormed>
__device__ void find_factors(const TileLinear& args, TileSums& sums, float squares,
                             float (&factors)[2]) {
  factors[0] = factors[1] = 1.0F;
  if constexpr (kNormed) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for (int step = 1; step < 4; step *= 2) squares += __shfl_xor_sync(kAllLanes, squares, step);
    if (lane % 4 == 0) sums.squares[threadIdx.x / 32][lane / 4] = squares;
    sync_tile_warps();
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float sum = 0.0F;
#pragma unroll
      for (const auto& warp : sums.squares) sum += warp[lane % 4 * 2 + i];
      factors[i] = 1.0F / sqrtf(sum / static_cast<float>(args.cols) + args.eps);
    }
  }
}

// Adds the warps' sums of a tile.
__device__ inline void write_tile(const TileLinear& args, int tile,
                                  const float (&sums)[kTileWarps][kTileTokens][kTileRows]) {
  const int row = static_cast<int>(threadIdx.x) % kTileRows;
  const int token = static_cast<int>(threadIdx.x) / kTileRows;
  const LinearPart& part = args.parts.of(tile);
  const int at = (tile - part.first_unit) * kTileRows + row;
  if (token >= args.num_tokens || at >= part.rows) return;
  float sum = 0.0F;
#pragma unroll
  for (const auto& warp : sums) sum += warp[token][row];
  float& output = part.output[std::int64_t{token} * part.rows + at];
  output = part.accumulate ? output + sum : sum;
}

/// Tile: num_bytes(cols) of a tile in memory and slot_bytes(cols) where copy(weight, tile, cols,
/// to, barrier), by a warp, puts it; a Tile of a warp's columns has fill<kNormed>(args, warp),
/// which returns the lane's squares, and add(slot, sums), sums as those of an mma.
template <typename Tile, bool kNormed>
__global__ void __launch_bounds__(kTileThreads, 1)
    tile_linear_kernel(const __grid_constant__ TileLinear args) {
  extern __shared__ __align__(128) uint4 memory[];
  __shared__ TileRing ring;
  __shared__ TileSums sums;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if (threadIdx.x == 0) {
    for (int i = 0; i < args.slots; ++i) {
      init_barrier(shared_address(&ring.full[i]), 1);
      init_barrier(shared_address(&ring.empty[i]), kTileWarps);
    }
    fence_barriers();
  }
  __syncthreads();
  release_next_kernel();
  const std::uint32_t slots = shared_address(memory);
  // Weights are constant: they need not wait for other kernels.
  if (warp == kTileWarps) return ask_for_tiles<Tile>(args, ring, slots);
  await_earlier_kernels();
  Tile columns;
  const float squares = columns.template fill<kNormed>(args, warp);
  float factors[2];
  find_factors<kNormed>(args, sums, squares, factors);
  TilePlace place;
  for (bool odd = false;; odd = !odd, place.advance(args.slots)) {
    await_phase(shared_address(&ring.full[place.slot]), place.parity);
    const int tile = ring.tiles[place.slot];
    if (tile < 0) return;
    float own[4] = {};
    columns.add(slots + place.slot * Tile::slot_bytes(args.cols), own);
    __syncwarp();
    if (lane == 0) arrive(shared_address(&ring.empty[place.slot]));
    auto& current = sums.of_tile[odd ? 1 : 0];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      current[warp][lane % 4 * 2 + i % 2][lane / 4 + i / 2 * 8] = own[i] * factors[i % 2];
    }
    sync_tile_warps();
    write_tile(args, tile, current);
  }
}

// More bytes on their way are no faster: two tiles of 52 KB took 146.3 us, three 146.8, four 147.2
// (H200, an int8 head).
inline int tile_slots(int slot_bytes) {
  constexpr int kEnough = 100 << 10;
  return std::clamp(kEnough / slot_bytes, 2, kMostTileSlots);
}

/// Of products that share the input, which is `norm`'s where there is one.
template <typename Tile>
void launch_tiles(std::span<const LinearArgs> products, const RmsNormArgs* norm, Context& context) {
  const TensorView& input = norm == nullptr ? products.front().input : norm->input;
  const TileLinear args = {
      .input = input.as<float>(),
      .norm_weight = norm == nullptr ? nullptr : norm->weight.as<float>(),
      .eps = norm == nullptr ? 0.0F : norm->eps,
      .num_tokens = static_cast<int>(input.shape[0]),
      .cols = static_cast<int>(products.front().weight.cols),
      .slots = tile_slots(Tile::slot_bytes(static_cast<int>(products.front().weight.cols))),
      .counter = next_counter(context),
      .parts = linear_parts(products, kTileRows)};
  const int bytes = args.slots * Tile::slot_bytes(args.cols);
  const auto kernel =
      norm == nullptr ? tile_linear_kernel<Tile, false> : tile_linear_kernel<Tile, true>;
  allow_shared_memory(kernel, bytes);
  launch_kernel(context, kernel, static_cast<unsigned>(std::min(args.parts.units, context.num_sms)),
                kTileThreads, bytes, args);
}

}  // namespace m2::cuda
