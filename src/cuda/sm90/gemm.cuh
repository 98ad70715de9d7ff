// The kernel of gemm.h: one warp finds the tiles, one copies them into shared memory, two
// warpgroups multiply.
#pragma once

#include "cuda/launch.cuh"
#include "cuda/shared_memory.h"
#include "cuda/sm90/gemm.h"
#include "cuda/sm90/gemm_outputs.cuh"
#include "cuda/sm90/gemm_products.cuh"

namespace m2::cuda::sm90 {

#if M2_SM90_CODE

template <int kTokens, int kWaves, Format kFormat, Output kOutput, int kGroup, typename Shared,
          typename Ring>
__device__ __forceinline__ void multiply_tile(const Gemm& args, Shared& shared,
                                              const NextTile& tile, Ring& place,
                                              const Turns& turns) {
  constexpr bool kPaired = kOutput == Output::kInner;
#pragma unroll 1
  for (int pass = 0; pass < passes_of<kFormat>(tile.info.tile.shape); ++pass) {
    const int row_block = ClusterPlace<kFormat>(tile.info.tile.shape).row_block() + pass;
    float sums[kWaves][kTokens / 2];
    if constexpr (kFormat == Format::kBF16) {
      multiply_bf16<kTokens>(args, shared, place, sums[0]);
    } else if constexpr (kFormat == Format::kF8) {
      multiply_scaled<kFormat, kTokens, kWaves>(
          args, shared, F8Weights<kPaired, kWaves>(shared, tile, row_block), place, turns, sums);
    } else {
      multiply_scaled<kFormat, kTokens, kWaves>(args, shared, Int4Weights<kGroup>(shared), place,
                                                turns, sums);
    }
    const TileInfo info = tile.info;
    if constexpr (kFormat != Format::kBF16) {
#pragma unroll
      for (auto& wave : sums) scale_by_row<kTokens>(tile, wave);
    }
    const int row = ClusterPlace<kFormat>(info.tile.shape).first_row(info.pair, pass);
    if constexpr (kOutput == Output::kInner) write_inner<kTokens>(args, info, row, sums);
    if constexpr (kOutput == Output::kRows) write_rows<kTokens>(args, info, row, sums);
    if constexpr (kOutput == Output::kTokens) write_tokens<kTokens>(args, info, row, sums);
  }
}

// A block without tokens keeps pace with its cluster.
template <Format kFormat, typename Shared, int kCount>
__device__ void skip_tile(const Gemm& args, Shared& shared, TileShape shape,
                          RingPlace<kCount>& place) {
  const int count = passes_of<kFormat>(shape) * args.column_blocks;
  for (int i = 0; i < count; ++i) {
    wait(&shared.full[place.stage], place.parity);
    release<kFormat>(&shared.empty[place.stage]);
    place.advance();
  }
}

// Calls run with the tokens and the waves as constants. A call that is no part of the kernel would
// serialise the products.
template <Format kFormat, int kTokens, typename Run>
__device__ __forceinline__ void for_shape(TileShape shape, const Run& run) {
  constexpr TileShape kWhole = {kTokens, 1};
  constexpr TileShape kHalf = {kTokens, 0};
  constexpr bool kTwoWaves = has_shape<kFormat>(kHalf) && waves_of<kFormat>(kHalf) == 2;
  if (shape.tokens == kTokens) {
    if constexpr (kTwoWaves) {
      if (shape.whole == 0) {
        return run(std::integral_constant<int, kTokens>(), std::integral_constant<int, 2>());
      }
    }
    if constexpr (has_shape<kFormat>(kWhole) || (has_shape<kFormat>(kHalf) && !kTwoWaves)) {
      return run(std::integral_constant<int, kTokens>(), std::integral_constant<int, 1>());
    }
  }
  if constexpr (kTokens < kMaxTokens) for_shape<kFormat, kTokens + 8>(shape, run);
}

template <Format kFormat, Output kOutput, int kGroup>
__device__ __forceinline__ void multiply_tiles(const Gemm& args,
                                               SharedGemm<kFormat, kGroup>& shared, int num_items) {
  const Turns turns(static_cast<int>(threadIdx.x) / 128);
  const int clusters = static_cast<int>(gridDim.x / kCluster<kFormat>);
  RingPlace<Stage<kFormat, kGroup>::kCount> place;
  RingPlace<kTileSlots> next;
  for (int item = static_cast<int>(blockIdx.x / kCluster<kFormat>); item < num_items;
       item += clusters) {
    wait(&shared.tiles_full[next.stage], next.parity);
    const NextTile& tile = shared.tiles[next.stage];
    if (tile.info.tile.count <= 0) {
      skip_tile<kFormat>(args, shared, tile.info.tile.shape, place);
    } else {
      for_shape<kFormat, 8>(
          tile.info.tile.shape, [&](auto tokens, auto waves) __attribute__((always_inline)) {
            multiply_tile<tokens.value, waves.value, kFormat, kOutput, kGroup>(args, shared, tile,
                                                                               place, turns);
          });
    }
    __syncwarp();
    if (threadIdx.x % 32 == 0) arrive(&shared.tiles_empty[next.stage]);
    next.advance();
  }
}

#endif  // M2_SM90_CODE

// Clusters walk over (tile of tokens, 256 weight rows); a tile's rows come one after the other.
template <Format kFormat, Output kOutput, int kGroup>
__global__ void __launch_bounds__(kGemmThreads, 1) gemm_kernel(const __grid_constant__ Gemm args) {
#if M2_SM90_CODE
  using Shared = SharedGemm<kFormat, kGroup>;
  extern __shared__ char memory[];
  const std::uint32_t misaligned = shared_address(memory) % 1024;
  auto& shared = *reinterpret_cast<Shared*>(memory + (1024 - misaligned) % 1024);
  if (threadIdx.x == 0) {
    for (int i = 0; i < Shared::Layout::kCount; ++i) {
      init_barrier(&shared.full[i], 1);
      init_barrier(&shared.empty[i], (1 + kRowBlocks<kFormat>)*kMultiplyThreads / 32);
    }
    for (int i = 0; i < kTileSlots; ++i) {
      init_barrier(&shared.tiles_full[i], 32);
      init_barrier(&shared.tiles_empty[i], 1 + kMultiplyThreads / 32);
    }
    fence_barriers();
  }
  sync_cluster();
  begin_kernel();
  const int num_items = count_items(args);
  if (threadIdx.x >= kMultiplyThreads) {
    shrink_registers<40>();
    constexpr bool kPaired = kOutput == Output::kInner;
    if (threadIdx.x == kMultiplyThreads) {
      copy_tiles<kFormat, kPaired, kGroup>(args, shared, num_items);
    } else if (threadIdx.x / 32 == kMultiplyThreads / 32 + 1) {
      find_tiles<kFormat, kPaired, kGroup>(args, shared, num_items);
    }
  } else {
    grow_registers<232>();
    multiply_tiles<kFormat, kOutput, kGroup>(args, shared, num_items);
  }
  sync_cluster();  // the other blocks may still release stages of this one
#endif
}

}  // namespace m2::cuda::sm90
