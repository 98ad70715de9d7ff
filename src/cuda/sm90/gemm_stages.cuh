// What a block has in shared memory, and the two warps that fill it: one copies tiles, the other
// finds out what they are.
#pragma once

#include "cuda/int4_layout.h"
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
  static constexpr int kBoxBytes = kFormat == Format::kInt4
                                       ? kBoxRows / kUnitRows * kUnitBytes<kGroup>
                                       : kBoxRows * kSwizzledRow;
  static constexpr int kWeightBytes = kBlockRows<kFormat> / kBoxRows * kBoxBytes;
  static constexpr int kTokenBytes = kMaxTokens * kSwizzledRow;
  static constexpr int kBytes = (kWeightBytes + 1023) / 1024 * 1024 + kTokenBytes;
  static constexpr int kCount = kFormat == Format::kBF16 ? 6 : kFormat == Format::kInt4 ? 5 : 4;
};

struct TileInfo {
  TokenTile tile;  // this block's part of it
  int pair;        // clusters' rows within the matrix
  int part;
};

/// A tile before its turn: read when it is needed, the scales would cost three trips to memory,
/// one after the other, between any two tiles.
struct NextTile {
  TileInfo info;
  const GemmMatrix* matrix;
  // F8, by column block: of two matrices whose rows alternate, else of the first and the second
  // 128 rows.
  float scales[2][kMaxColumnBlocks];
  alignas(16) float token_scales[kMaxTokens];
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
  const int size = args.shape.size();
  const int tiles = args.experts != nullptr ? *args.num_tiles : (args.num_rows + size - 1) / size;
  return tiles * args.pairs;
}

__device__ inline TileInfo find_item(const Gemm& args, int item) {
  TileInfo info = {.tile = {}, .pair = item % args.pairs, .part = 0};
  const int index = item / args.pairs;
  if (args.experts != nullptr) {
    info.tile = args.tiles[index];
    return info;
  }
  const int first = index * args.shape.size();
  info.tile = {0, first, min(args.shape.size(), args.num_rows - first), args.shape};
  while (info.part + 1 < args.num_parts && info.pair >= args.part_begin[info.part + 1]) ++info.part;
  info.pair -= args.part_begin[info.part];
  return info;
}

__device__ inline const GemmMatrix& matrix_of(const Gemm& args, const TileInfo& info) {
  return args.experts != nullptr ? args.experts[info.tile.expert] : args.parts[info.part];
}

// The place of a block in its cluster: of a tile with two halves the first half of the ranks has
// the first one.
template <Format kFormat>
struct ClusterPlace {
  static constexpr unsigned kRows = kRowBlocks<kFormat>;
  bool whole;  // the block has all of the tile's tokens
  unsigned rank = cluster_rank();

  __device__ explicit ClusterPlace(TileShape shape) : whole(shape.whole != 0) {}
  [[nodiscard]] __device__ int row_block() const {
    return static_cast<int>(whole ? rank : rank % kRows);
  }
  [[nodiscard]] __device__ int token_half() const {
    return whole ? 0 : static_cast<int>(rank / kRows);
  }
  [[nodiscard]] __device__ bool shares_rows() const { return !whole; }
  [[nodiscard]] __device__ bool shares_tokens() const { return kRows == 2 || whole; }
  [[nodiscard]] __device__ unsigned rows_mask() const { return 1U << rank | 1U << (rank ^ kRows); }
  [[nodiscard]] __device__ unsigned tokens_mask() const { return 1U << rank | 1U << (rank ^ 1U); }
  /// The block's first weight row in a pass.
  [[nodiscard]] __device__ int first_row(int pair, int pass) const {
    return pair * kClusterRows + (row_block() + pass) * kWaveRows;
  }
};

// By one warp: what the tiles of this block are.
template <Format kFormat, bool kPaired, int kGroup>
__device__ void find_tiles(const Gemm& args, SharedGemm<kFormat, kGroup>& shared, int num_items) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int clusters = static_cast<int>(gridDim.x / kCluster<kFormat>);
  RingPlace<kTileSlots> place;
  for (int item = static_cast<int>(blockIdx.x / kCluster<kFormat>); item < num_items;
       item += clusters) {
    TileInfo info = find_item(args, item);
    const int tokens = info.tile.shape.tokens;
    const int before = ClusterPlace<kFormat>(info.tile.shape).token_half() * tokens;
    info.tile.first_row += before;
    info.tile.count -= before;
    const GemmMatrix& matrix = matrix_of(args, info);
    if (args.experts != nullptr) prefetch_tensor_map(&matrix.map);
    wait(&shared.tiles_empty[place.stage], place.parity ^ 1U);
    NextTile& to = shared.tiles[place.stage];
    if constexpr (kFormat == Format::kF8) {
      const std::int64_t blocks = args.column_blocks;
      const float* first = matrix.first_scale + info.pair * (kPaired ? blocks : 2 * blocks);
      const float* second = kPaired ? matrix.second_scale + info.pair * blocks : first + blocks;
      for (int i = lane; i < args.column_blocks; i += 32) {
        to.scales[0][i] = first[i];
        to.scales[1][i] = second[i];
      }
    }
    if constexpr (kFormat != Format::kBF16) {
      for (int i = lane; i < tokens; i += 32) {
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

// The copies of a stage by a block: of what two blocks of the cluster share half, for both of them.
// Token boxes are whole groups of eight.
template <Format kFormat, bool kPaired, int kGroup>
class StageCopies {
 public:
  using Layout = Stage<kFormat, kGroup>;

  __device__ StageCopies(const Gemm& args, const NextTile& next)
      : map_(&next.matrix->map), token_blocks_(args.token_blocks) {
    const TokenTile& tile = next.info.tile;
    const ClusterPlace<kFormat> self(tile.shape);
    passes_ = passes_of<kFormat>(tile.shape);
    const int stage_boxes = waves_of<kFormat>(tile.shape) * (kWaveRows / kBoxRows);
    stage_bytes_ = stage_boxes * Layout::kBoxBytes + tile.shape.tokens * kSwizzledRow;
    num_boxes_ = self.shares_rows() ? stage_boxes / 2 : stage_boxes;
    first_box_ = self.token_half() * num_boxes_;
    first_row_box_ = self.first_row(next.info.pair, 0) / kBoxRows + first_box_;
    rows_mask_ = self.shares_rows() ? self.rows_mask() : 1U << self.rank;
    tokens_mask_ = self.shares_tokens() ? self.tokens_mask() : 0;
    const int first_part = (tile.shape.tokens / 8 + 1) / 2 * 8;
    const bool is_second = self.shares_tokens() && self.row_block() == 1;
    first_token_ = is_second ? first_part : 0;
    const int num_tokens = !self.shares_tokens() ? tile.shape.tokens
                           : is_second           ? tile.shape.tokens - first_part
                                                 : first_part;
    tokens_ = &args.tokens[num_tokens / 8 - 1];
    token_row_ = tile.first_row + first_token_;
  }
  [[nodiscard]] __device__ const CUtensorMap* map() const { return map_; }
  [[nodiscard]] __device__ int passes() const { return passes_; }

  __device__ void copy(char* to, std::uint64_t* full, int pass, int block) const {
    arrive_expecting(full, stage_bytes_);
#pragma unroll 1
    for (int i = 0; i < num_boxes_; ++i) {
      copy_weights(to + Layout::kTokenBytes + (first_box_ + i) * Layout::kBoxBytes, full,
                   first_row_box_ + pass * (kWaveRows / kBoxRows) + i, block);
    }
    const int token_block = block < token_blocks_ ? block : block - token_blocks_;
    char* tokens = to + first_token_ * kSwizzledRow;
    const int x = token_block * kSwizzledRow;
    if (tokens_mask_ != 0) {
      load_tile_multicast(tokens, tokens_, full, x, token_row_, tokens_mask_);
    } else {
      load_tile(tokens, tokens_, full, x, token_row_);
    }
  }

 private:
  __device__ void copy_weights(char* to, std::uint64_t* full, int box, int block) const {
    const int x = block * kSwizzledRow;  // bytes
    if constexpr (kFormat == Format::kInt4) {
      load_tile_multicast(to, map_, full, 0, block, 0, box * (kPaired ? 4 : 8), rows_mask_);
    } else if constexpr (kPaired) {
      load_tile_multicast(to, map_, full, x, 0, 0, box * 4, rows_mask_);
    } else {
      load_tile_multicast(to, map_, full, x, box * kBoxRows, rows_mask_);
    }
  }

  const CUtensorMap* map_;
  const CUtensorMap* tokens_;
  int token_blocks_;
  int passes_;
  int stage_bytes_;
  int num_boxes_;      // of weights that this block copies
  int first_box_;      // in the stage
  int first_row_box_;  // in the matrix
  int first_token_;    // in the stage
  int token_row_;
  unsigned rows_mask_;
  unsigned tokens_mask_;  // 0: the tokens are this block's alone
};

// By one thread.
template <Format kFormat, bool kPaired, int kGroup>
__device__ void copy_tiles(const Gemm& args, SharedGemm<kFormat, kGroup>& shared, int num_items) {
  const int clusters = static_cast<int>(gridDim.x / kCluster<kFormat>);
  RingPlace<Stage<kFormat, kGroup>::kCount> place;
  RingPlace<kTileSlots> next;
  for (int item = static_cast<int>(blockIdx.x / kCluster<kFormat>); item < num_items;
       item += clusters) {
    wait(&shared.tiles_full[next.stage], next.parity);
    const StageCopies<kFormat, kPaired, kGroup> copies(args, shared.tiles[next.stage]);
    arrive(&shared.tiles_empty[next.stage]);
    next.advance();
    if (args.experts != nullptr) acquire_tensor_map(copies.map());
    for (int pass = 0; pass < copies.passes(); ++pass) {
      for (int block = 0; block < args.column_blocks; ++block) {
        const int stage = place.stage;
        wait(&shared.empty[stage], place.parity ^ 1U);
        copies.copy(shared.stages[stage], &shared.full[stage], pass, block);
        place.advance();
      }
    }
  }
}

// Tells the blocks that write into this one's stage that a warp has read it.
template <Format kFormat>
__device__ void release(std::uint64_t* empty) {
  __syncwarp();
  const unsigned lane = threadIdx.x % 32;
  // This block itself, the one with the same rows and, of four, the one with the same tokens.
  if (lane <= kRowBlocks<kFormat>) arrive_at(empty, cluster_rank() ^ lane);
}

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90
