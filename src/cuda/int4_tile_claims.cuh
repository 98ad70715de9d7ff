// Which tiles of gate and up a block of the int4 experts of few tokens takes.
#pragma once

#include "cuda/int4_call.cuh"
#include "cuda/numeric.cuh"

namespace m2::cuda {

/// By one warp: begin(tile) with the block's first tile, then use(tile, next, last) for each;
/// `num_tiles` or more stands for none. A block's first tiles are given, all blocks' side by side;
/// it claims the others. Three claims are on their way while a tile is used.
template <typename Begin, typename Use>
__device__ void for_claimed_tiles(const Int4Experts& args, int num_tiles, const Begin& begin,
                                  const Use& use) {
  const auto blocks = static_cast<int>(gridDim.x);
  const int given = num_tiles * args.plan.given / 100 / blocks;
  const auto tile_at = [&](int i) {  // what lane 0 finds counts
    if (i < given) return static_cast<int>(blockIdx.x) + i * blocks;
    const bool claims = threadIdx.x % 32 == 0;
    return given * blocks + (claims ? atomicAdd(&args.round->claimed, 1) : 0);
  };
  int tile = __shfl_sync(kAllLanes, tile_at(0), 0);
  int second = tile_at(1);
  int third = tile_at(2);
  int fourth = tile_at(3);
  begin(tile);
  for (int i = 4; tile < num_tiles; ++i) {
    const int next = __shfl_sync(kAllLanes, second, 0);
    second = third;
    third = fourth;
    const bool last = next >= num_tiles;
    if (!last) fourth = tile_at(i);
    use(tile, next, last);
    tile = next;
  }
  __shfl_sync(kAllLanes, second + third + fourth, 0);  // all claims are back
}

}  // namespace m2::cuda
