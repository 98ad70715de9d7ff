// What a block has in shared memory, and the two warps that fill it: one copies tiles, the other
// finds out what they are.
#pragma once

#include "cuda/int4_operand.cuh"
#include "cuda/sm90/gemm.h"
#include "cuda/sm90/ptx.cuh"

namespace m2::cuda::sm90 {

constexpr int kMultiplyThreads = 256;
constexpr int kGemmThreads = kMultiplyThreads + 128;
constexpr int kSwizzledRow = 128;  // bytes
constexpr int kTileSlots = 4;

/// A stage of the ring: a tile of weights and one of tokens.
template <Format kFormat, int kGroup>
struct Stage {
  static constexpr int kTokenParts = kFormat == Format::kInt4 ? 2 : 1;  // of 128 bytes of a row
  static constexpr int kWeightBytes = kFormat == Format::kInt4
                                          ? kBlockRows / kUnitRows * kUnitBytes<kGroup>
                                          : kBlockRows * kSwizzledRow;
  static constexpr int kTokenBytes = kTokenParts * kMaxHalf * kSwizzledRow;
  static constexpr int kBytes = (kWeightBytes + 1023) / 1024 * 1024 + kTokenBytes;
  static constexpr int kCount = kFormat == Format::kInt4 ? 4 : 6;
};

struct TileInfo {
  TokenTile tile;  // this block's half of it
  int pair;        // clusters' rows within the matrix
  int part;
};

/// A tile before its turn: read when it is needed, the scales would cost three trips to memory,
/// one after the other, between any two tiles.
struct NextTile {
  TileInfo info;
  const GemmMatrix* matrix;
  float first_scales[kMaxColumnBlocks];   // F8: of this block's rows, by column block
  float second_scales[kMaxColumnBlocks];  // of the matrix whose rows come second
  alignas(16) float token_scales[kMaxHalf];
};

template <Format kFormat, int kGroup>
struct SharedGemm {
  using Layout = Stage<kFormat, kGroup>;
  char stages[Layout::kCount][Layout::kBytes];  // aligned to 1024; tokens first
  NextTile tiles[kTileSlots];
  std::uint64_t full[Layout::kCount];
  std::uint64_t empty[Layout::kCount];
  std::uint64_t tiles_full[kTileSlots];
  std::uint64_t tiles_empty[kTileSlots];
};

template <Format kFormat, int kGroup>
constexpr int kSharedBytes = static_cast<int>(sizeof(SharedGemm<kFormat, kGroup>)) + 1024;

#if M2_SM90_CODE

__device__ inline int count_items(const Gemm& args) {
  const int tiles = args.experts != nullptr
                        ? *args.num_tiles
                        : (args.num_rows + args.tile_tokens - 1) / args.tile_tokens;
  return tiles * args.pairs;
}

__device__ inline TileInfo find_item(const Gemm& args, int item) {
  TileInfo info = {.tile = {}, .pair = item % args.pairs, .part = 0};
  const int index = item / args.pairs;
  if (args.experts != nullptr) {
    info.tile = args.tiles[index];
    return info;
  }
  const int first = index * args.tile_tokens;
  info.tile = {0, first, min(args.tile_tokens, args.num_rows - first), args.size_index};
  while (info.part + 1 < args.num_parts && info.pair >= args.part_begin[info.part + 1]) ++info.part;
  info.pair -= args.part_begin[info.part];
  return info;
}

__device__ inline const GemmMatrix& matrix_of(const Gemm& args, const TileInfo& info) {
  return args.experts != nullptr ? args.experts[info.tile.expert] : args.parts[info.part];
}

// The place of a block in its cluster: ranks 0, 1 have the first half of the tokens, 0 and 2 the
// first block of rows. `rows_mate` multiplies the same rows, `tokens_mate` the same tokens.
struct ClusterPlace {
  unsigned rank = cluster_rank();

  [[nodiscard]] __device__ int row_half() const { return static_cast<int>(rank % 2); }
  [[nodiscard]] __device__ int token_half() const { return static_cast<int>(rank / 2); }
  [[nodiscard]] __device__ unsigned rows_mate() const { return rank ^ 2U; }
  [[nodiscard]] __device__ unsigned tokens_mate() const { return rank ^ 1U; }
  [[nodiscard]] __device__ unsigned rows_mask() const { return 1U << rank | 1U << rows_mate(); }
  [[nodiscard]] __device__ unsigned tokens_mask() const { return 1U << rank | 1U << tokens_mate(); }
};

// By one warp: what the tiles of this block are.
template <Format kFormat, bool kPaired, int kGroup>
__device__ void find_tiles(const Gemm& args, SharedGemm<kFormat, kGroup>& shared, int num_items) {
  const ClusterPlace self;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int clusters = static_cast<int>(gridDim.x / kCluster);
  RingPlace<kTileSlots> place;
  for (int item = static_cast<int>(blockIdx.x / kCluster); item < num_items; item += clusters) {
    TileInfo info = find_item(args, item);
    const int half = half_size(info.tile.size_index);
    info.tile.first_row += self.token_half() * half;
    info.tile.count -= self.token_half() * half;
    const GemmMatrix& matrix = matrix_of(args, info);
    if (args.experts != nullptr) prefetch_tensor_map(&matrix.map);
    wait(&shared.tiles_empty[place.stage], place.parity ^ 1U);
    NextTile& to = shared.tiles[place.stage];
    if constexpr (kFormat == Format::kF8) {
      const int row_block = info.pair * 2 + self.row_half();
      const std::int64_t offset =
          std::int64_t{kPaired ? row_block / 2 : row_block} * args.column_blocks;
      for (int i = lane; i < args.column_blocks; i += 32) {
        to.first_scales[i] = matrix.first_scale[offset + i];
        if constexpr (kPaired) to.second_scales[i] = matrix.second_scale[offset + i];
      }
    }
    if constexpr (kFormat != Format::kBF16) {
      for (int i = lane; i < half; i += 32) {
        to.token_scales[i] = args.token_scales[info.tile.first_row + i];
      }
    }
    if (lane == 0) {
      to.info = info;
      to.matrix = &matrix;
    }
    arrive(&shared.tiles_full[place.stage]);
    place.advance();
  }
}

// By one thread.
template <Format kFormat, bool kPaired, int kGroup>
__device__ void copy_tiles(const Gemm& args, SharedGemm<kFormat, kGroup>& shared, int num_items) {
  using Layout = Stage<kFormat, kGroup>;
  const ClusterPlace self;
  const int clusters = static_cast<int>(gridDim.x / kCluster);
  RingPlace<Layout::kCount> place;
  RingPlace<kTileSlots> next;
  for (int item = static_cast<int>(blockIdx.x / kCluster); item < num_items; item += clusters) {
    wait(&shared.tiles_full[next.stage], next.parity);
    const TileInfo info = shared.tiles[next.stage].info;
    const CUtensorMap* map = &shared.tiles[next.stage].matrix->map;
    arrive(&shared.tiles_empty[next.stage]);
    next.advance();
    if (args.experts != nullptr) acquire_tensor_map(map);
    const int half = half_size(info.tile.size_index);
    // This block copies the first or the second part of the tokens, in whole groups of eight.
    const int first_part = (half / 8 + 1) / 2 * 8;
    const int begin = self.row_half() == 0 ? 0 : first_part;
    const int part = self.row_half() == 0 ? first_part : half - first_part;
    const CUtensorMap* tokens = &args.tokens[part / 8 - 1];
    const int bytes = Layout::kWeightBytes + half * kSwizzledRow * Layout::kTokenParts;
    // And the first or the second half of the weight rows.
    const int row_block = (info.pair * 2 + self.row_half()) * 2 + self.token_half();
    for (int block = 0; block < args.column_blocks; ++block) {
      const int stage = place.stage;
      wait(&shared.empty[stage], place.parity ^ 1U);
      std::uint64_t* full = &shared.full[stage];
      arrive_expecting(full, bytes);
      char* to = shared.stages[stage];
      char* weights = to + Layout::kTokenBytes + self.token_half() * (Layout::kWeightBytes / 2);
      const int x = block * kSwizzledRow;  // bytes
      const int token_block = block < args.token_blocks ? block : block - args.token_blocks;
      if constexpr (kFormat == Format::kInt4) {
        load_tile_multicast(weights, map, full, 0, block, 0, row_block * (kPaired ? 4 : 8),
                            self.rows_mask());
      } else if constexpr (kPaired) {
        load_tile_multicast(weights, map, full, x, 0, 0, row_block * 4, self.rows_mask());
      } else {
        load_tile_multicast(weights, map, full, x, row_block * (kBlockRows / 2), self.rows_mask());
      }
#pragma unroll
      for (int i = 0; i < Layout::kTokenParts; ++i) {
        load_tile_multicast(to + (i * kMaxHalf + begin) * kSwizzledRow, tokens, full,
                            (token_block * Layout::kTokenParts + i) * kSwizzledRow,
                            info.tile.first_row + begin, self.tokens_mask());
      }
      place.advance();
    }
  }
}

// Tells the blocks that write into this one's stage that a warp has read it.
__device__ inline void release(std::uint64_t* empty) {
  __syncwarp();
  const unsigned lane = threadIdx.x % 32;
  // This block itself, tokens_mate and rows_mate.
  if (lane < 3) arrive_at(empty, cluster_rank() ^ lane);
}

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90
