// What the kernel of row_tiles.cu shares out and copies: tiles of weight rows by stages of columns.
#pragma once

#include <algorithm>

#include "cuda/bulk_copy.cuh"
#include "cuda/int8_layout.h"
#include "cuda/launch.cuh"
#include "cuda/sm90/load_weights.cuh"
#include "cuda/sm90/ptx.cuh"
#include "cuda/sm90/row_tiles.h"

namespace m2::cuda::sm90::row_tiles {

constexpr int kRowsOfTile = 64;
constexpr int kGroups = 2;  // warpgroups that multiply, in turns
constexpr int kMultiplyThreads = 128 * kGroups;
constexpr int kThreads = kMultiplyThreads + 32;
constexpr int kMostParts = 4;
constexpr int kMostColumnsOfBlock = 4096;  // more are shared by two blocks

struct TilePart {
  const float* scale;  // F8 only, [rows / 128, cols / 128]
  const char* units;   // int8 only (int8_layout.h)
  float* output;       // [T, rows]
  int rows;
  int first_tile;
  bool accumulate;
};

struct RowTiles {
  CUtensorMap maps[kMostParts];  // of the weights, boxes of 128 bytes times 64 rows
  TilePart parts[kMostParts];
  int count;
  int tiles;
  int stages;  // of a row of weights
  const char* tokens;
  const float* token_scales;  // [T]
  int num_tokens;
};

// What the ring brings at a time: 128 bytes of every row of the tile, and the tokens' columns.
template <DType kType, int kTokens>
struct TileStage {
  static constexpr bool kIsInt8 = kType == DType::kU8;
  static constexpr int kBlocks = kType == DType::kF8E4M3 || kIsInt8 ? 2 : 1;  // of kTileColumns
  static constexpr int kTokenRows = token_parts(kType) * kTokens;
  static constexpr int kBlockBytes = kTokenRows * 128;
  static constexpr int kWeightBytes =
      kIsInt8 ? kRowsOfTile / kInt8Rows * kInt8UnitBytes : kRowsOfTile * 128;
  static constexpr int kCopied = kWeightBytes + kBlocks * kBlockBytes;
  static constexpr int kBytes = (kCopied + 1023) / 1024 * 1024;
  static constexpr int kMostBytes = 192 << 10;
  static constexpr int kCount = std::min(12, kMostBytes / kBytes);
};

template <DType kType, int kTokens>
struct SharedTiles {
  using Stage = TileStage<kType, kTokens>;
  char stages[Stage::kCount][Stage::kBytes];  // aligned to 1024; tokens first
  float partial[kGroups][kTokens / 2][128];   // sums of the warpgroups, as their threads have them
  std::uint64_t full[Stage::kCount];
  std::uint64_t empty[Stage::kCount];
};

template <DType kType, int kTokens>
constexpr int kSharedBytes = static_cast<int>(sizeof(SharedTiles<kType, kTokens>)) + 1024;

#if M2_SM90_CODE

__device__ inline int part_of(const RowTiles& args, int tile) {
  int index = 0;
  while (index + 1 < args.count && tile >= args.parts[index + 1].first_tile) ++index;
  return index;
}

// The tiles of this block, one after the other.
template <int kSplit, typename Use>
__device__ void for_tiles(const RowTiles& args, const Use& use) {
  const int step = static_cast<int>(gridDim.x) / kSplit;
  for (int tile = static_cast<int>(blockIdx.x) / kSplit; tile < args.tiles; tile += step) use(tile);
}

template <int kSplit>
__device__ void sync_partials() {
  if constexpr (kSplit > 1) {
    sync_cluster();
  } else {
    sync_threads(1, kMultiplyThreads);
  }
}

// By one warp. Weights are constant: the first stages' are asked for before other kernels end.
template <DType kType, int kTokens, int kSplit>
__device__ void copy_stages(const RowTiles& args, SharedTiles<kType, kTokens>& shared) {
  using Stage = TileStage<kType, kTokens>;
  const int own = args.stages / kSplit;
  const int first = own * static_cast<int>(kSplit > 1 ? cluster_rank() : 0U);
  const bool asks = threadIdx.x % 32 == 0;
  const auto copy_weights = [&](int slot, int tile, int stage) {
    const int part = part_of(args, tile);
    char* to = shared.stages[slot] + Stage::kBlocks * Stage::kBlockBytes;
    const int row = (tile - args.parts[part].first_tile) * kRowsOfTile;
    arrive_expecting(&shared.full[slot], Stage::kCopied);
    if constexpr (Stage::kIsInt8) {
      const int last = (args.parts[part].rows - 1) / kInt8Rows;  // is read again beyond the end
      for (int i = 0; i < kRowsOfTile / kInt8Rows; ++i) {
        const std::int64_t unit =
            std::int64_t{min(row / kInt8Rows + i, last)} * args.stages + first + stage;
        cuda::copy_weights(sm90::shared_address(to + i * kInt8UnitBytes),
                           args.parts[part].units + unit * kInt8UnitBytes, kInt8UnitBytes,
                           sm90::shared_address(&shared.full[slot]));
      }
    } else {
      load_weights(to, &args.maps[part], &shared.full[slot], (first + stage) * 128, row);
    }
  };
  const auto copy_tokens = [&](int slot, int stage) {
    constexpr int kBytes = Stage::kBlocks * Stage::kBlockBytes;
    copy_bulk(sm90::shared_address(shared.stages[slot]),
              args.tokens + std::int64_t{first + stage} * kBytes, kBytes,
              sm90::shared_address(&shared.full[slot]));
  };
  const int early = min(own, Stage::kCount);
  if (asks) {
    for (int i = 0; i < early; ++i) {
      copy_weights(i, static_cast<int>(blockIdx.x) / kSplit, i);
    }
  }
  begin_kernel();
  RingPlace<Stage::kCount> place;
  int asked = 0;
  for_tiles<kSplit>(args, [&](int tile) {
    for (int stage = 0; asks && stage < own; ++stage, ++asked) {
      if (asked >= early) {
        wait(&shared.empty[place.stage], place.parity ^ 1U);
        copy_weights(place.stage, tile, stage);
      }
      copy_tokens(place.stage, stage);
      place.advance();
    }
    __syncwarp();
    if constexpr (kSplit > 1) {
      sync_partials<kSplit>();
      sync_partials<kSplit>();
    }
  });
}

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90::row_tiles
