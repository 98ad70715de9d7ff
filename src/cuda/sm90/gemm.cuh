// The kernel of gemm.h: one warp copies tiles into shared memory, two warpgroups multiply.
#pragma once

#include "cuda/launch.cuh"
#include "cuda/shared_memory.h"
#include "cuda/sm90/gemm.h"
#include "cuda/sm90/gemm_outputs.cuh"
#include "cuda/sm90/gemm_products.cuh"

namespace m2::cuda::sm90 {

#if M2_SM90_CODE

template <int kTokens, Format kFormat, Output kOutput, int kGroup, typename Shared, typename Ring>
__device__ void multiply_tile(const Gemm& args, Shared& shared, const TileInfo& info, Ring& place,
                              const Turns& turns) {
  constexpr bool kPaired = kOutput == Output::kInner;
  float sums[kTokens / 2];
  if constexpr (kFormat == Format::kF8) {
    multiply_f8<kTokens, kPaired>(args, shared, info, place, turns, sums);
  } else if constexpr (kFormat == Format::kBF16) {
    multiply_bf16<kTokens>(args, shared, place, sums);
  } else {
    multiply_int4<kTokens, kGroup>(args, shared, place, sums);
  }
  if constexpr (kFormat != Format::kBF16) scale_by_row<kTokens>(args, info, sums);
  if constexpr (kOutput == Output::kInner) write_inner<kTokens>(args, info, sums);
  if constexpr (kOutput == Output::kRows) write_rows<kTokens>(args, info, sums);
  if constexpr (kOutput == Output::kTokens) write_tokens<kTokens>(args, info, sums);
}

// A block without tokens keeps pace with its cluster.
template <int kCount, typename Shared>
__device__ void skip_tile(const Gemm& args, Shared& shared, Place<kCount>& place) {
  for (int block = 0; block < args.column_blocks; ++block) {
    wait(&shared.full[place.stage], place.parity);
    release(&shared.empty[place.stage]);
    place.advance();
  }
}

template <Format kFormat, Output kOutput, int kGroup>
__device__ void multiply_tiles(const Gemm& args, SharedGemm<kFormat, kGroup>& shared,
                               int num_items) {
  const ClusterPlace self;
  const Turns turns(static_cast<int>(threadIdx.x) / 128);
  const int clusters = static_cast<int>(gridDim.x / kCluster);
  Place<Stage<kFormat, kGroup>::kCount> place;
  int slot = 0;
  for (int item = static_cast<int>(blockIdx.x / kCluster); item < num_items; item += clusters) {
    wait(&shared.full[place.stage], place.parity);  // then the slot is filled, too
    TileInfo info = shared.infos[slot];
    slot = (slot + 1) % kInfoSlots;
    // From here on the tile is this block's half.
    const int half = half_size(info.tile.size_index);
    info.tile.first_row += self.token_half() * half;
    info.tile.count -= self.token_half() * half;
    if (info.tile.count <= 0) {
      skip_tile(args, shared, place);
      continue;
    }
    const auto run = [&](auto index) {
      multiply_tile<half_size(index.value), kFormat, kOutput, kGroup>(args, shared, info, place,
                                                                      turns);
    };
    switch (info.tile.size_index) {
      case 0:
        run(std::integral_constant<int, 0>());
        break;
      case 1:
        run(std::integral_constant<int, 1>());
        break;
      case 2:
        run(std::integral_constant<int, 2>());
        break;
      case 3:
        run(std::integral_constant<int, 3>());
        break;
      case 4:
        run(std::integral_constant<int, 4>());
        break;
      case 5:
        run(std::integral_constant<int, 5>());
        break;
      case 6:
        run(std::integral_constant<int, 6>());
        break;
      default:
        run(std::integral_constant<int, 7>());
        break;
    }
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
      init_barrier(&shared.empty[i], 3 * kMultiplyThreads / 32);
    }
    fence_barriers();
  }
  sync_cluster();
  begin_kernel();
  const int num_items = count_items(args);
  if (threadIdx.x >= kMultiplyThreads) {
    shrink_registers<24>();
    if (threadIdx.x == kMultiplyThreads) {
      copy_tiles<kFormat, kOutput == Output::kInner, kGroup>(args, shared, num_items);
    }
  } else {
    grow_registers<240>();
    multiply_tiles<kFormat, kOutput, kGroup>(args, shared, num_items);
  }
  sync_cluster();  // the other blocks may still release stages of this one
#endif
}

}  // namespace m2::cuda::sm90
