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
  static constexpr int kBoxBytes = kFormat == Format::kInt4
                                       ? kBoxRows / kUnitRows * kUnitBytes<kGroup>
                                       : kBoxRows * kSwizzledRow;
  static constexpr int kWeightBytes = kBlockRows<kFormat> / kBoxRows * kBoxBytes;
  static constexpr int kTokenBytes = kTokenParts * kMaxHalf * kSwizzledRow;
  static constexpr int kBytes = (kWeightBytes + 1023) / 1024 * 1024 + kTokenBytes;
  static constexpr int kCount = kFormat == Format::kBF16 ? 6 : 4;
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
  // F8, by column block: of two matrices whose rows alternate, else of the first and the second
  // 128 rows.
  float scales[2][kMaxColumnBlocks];
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
  const int tiles = args.experts != nullptr ? *args.num_tiles
                                            : (args.num_rows + 2 * args.half - 1) / (2 * args.half);
  return tiles * args.pairs;
}

__device__ inline TileInfo find_item(const Gemm& args, int item) {
  TileInfo info = {.tile = {}, .pair = item % args.pairs, .part = 0};
  const int index = item / args.pairs;
  if (args.experts != nullptr) {
    info.tile = args.tiles[index];
    return info;
  }
  const int first = index * 2 * args.half;
  info.tile = {0, first, min(2 * args.half, args.num_rows - first), args.half};
  while (info.part + 1 < args.num_parts && info.pair >= args.part_begin[info.part + 1]) ++info.part;
  info.pair -= args.part_begin[info.part];
  return info;
}

__device__ inline const GemmMatrix& matrix_of(const Gemm& args, const TileInfo& info) {
  return args.experts != nullptr ? args.experts[info.tile.expert] : args.parts[info.part];
}

// The place of a block in its cluster: the first half of the ranks has the first half of the
// tokens. `rows_mate` multiplies the same rows, `tokens_mate` (of four blocks) the same tokens.
template <Format kFormat>
struct ClusterPlace {
  static constexpr unsigned kRows = kRowBlocks<kFormat>;
  unsigned rank = cluster_rank();

  [[nodiscard]] __device__ int row_block() const { return static_cast<int>(rank % kRows); }
  [[nodiscard]] __device__ int token_half() const { return static_cast<int>(rank / kRows); }
  [[nodiscard]] __device__ unsigned rows_mask() const { return 1U << rank | 1U << (rank ^ kRows); }
  [[nodiscard]] __device__ unsigned tokens_mask() const { return 1U << rank | 1U << (rank ^ 1U); }
  /// The block's first weight row in a pass.
  [[nodiscard]] __device__ int first_row(int pair, int pass) const {
    return pair * kClusterRows + row_block() * kBlockRows<kFormat> + pass * kWaveRows;
  }
};

// By one warp: what the tiles of this block are.
template <Format kFormat, bool kPaired, int kGroup>
__device__ void find_tiles(const Gemm& args, SharedGemm<kFormat, kGroup>& shared, int num_items) {
  const ClusterPlace<kFormat> self;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int clusters = static_cast<int>(gridDim.x / kCluster<kFormat>);
  RingPlace<kTileSlots> place;
  for (int item = static_cast<int>(blockIdx.x / kCluster<kFormat>); item < num_items;
       item += clusters) {
    TileInfo info = find_item(args, item);
    const int half = info.tile.half;
    info.tile.first_row += self.token_half() * half;
    info.tile.count -= self.token_half() * half;
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

// The copies of a stage by a block: half of the rows of its blocks of the cluster, for both of
// them, and its tokens, or half of those of two blocks. Token boxes are whole groups of eight.
template <Format kFormat, bool kPaired, int kGroup>
class StageCopies {
 public:
  using Layout = Stage<kFormat, kGroup>;

  __device__ StageCopies(const Gemm& args, const NextTile& next)
      : args_(args), tile_(next.info.tile), pair_(next.info.pair), map_(&next.matrix->map) {
    half_ = tile_.half;
    waves_ = waves_of<kFormat>(half_);
  }
  [[nodiscard]] __device__ const CUtensorMap* map() const { return map_; }
  [[nodiscard]] __device__ int passes() const { return passes_of<kFormat>(half_); }

  __device__ void copy(char* to, std::uint64_t* full, int pass, int block) const {
    arrive_expecting(full, waves_ * (kWaveRows / kBoxRows) * Layout::kBoxBytes +
                               half_ * kSwizzledRow * Layout::kTokenParts);
    const int first_box = self_.token_half() * waves_;
    for (int i = first_box; i < first_box + waves_; ++i) {
      copy_weights(to + Layout::kTokenBytes + i * Layout::kBoxBytes, full,
                   self_.first_row(pair_, pass) / kBoxRows + i, block);
    }
    const int first_part = (half_ / 8 + 1) / 2 * 8;
    if (kRowBlocks<kFormat> == 1 || self_.row_block() == 0) {
      copy_tokens(to, full, 0, first_part, block);
    }
    if (kRowBlocks<kFormat> == 1 || self_.row_block() == 1) {
      copy_tokens(to, full, first_part, half_ - first_part, block);
    }
  }

 private:
  __device__ void copy_weights(char* to, std::uint64_t* full, int box, int block) const {
    const int x = block * kSwizzledRow;  // bytes
    if constexpr (kFormat == Format::kInt4) {
      load_tile_multicast(to, map_, full, 0, block, 0, box * (kPaired ? 4 : 8), self_.rows_mask());
    } else if constexpr (kPaired) {
      load_tile_multicast(to, map_, full, x, 0, 0, box * 4, self_.rows_mask());
    } else {
      load_tile_multicast(to, map_, full, x, box * kBoxRows, self_.rows_mask());
    }
  }
  __device__ void copy_tokens(char* stage, std::uint64_t* full, int begin, int count,
                              int block) const {
    const CUtensorMap* tokens = &args_.tokens[count / 8 - 1];
    const int token_block = block < args_.token_blocks ? block : block - args_.token_blocks;
#pragma unroll
    for (int i = 0; i < Layout::kTokenParts; ++i) {
      char* to = stage + (i * kMaxHalf + begin) * kSwizzledRow;
      const int x = (token_block * Layout::kTokenParts + i) * kSwizzledRow;
      if constexpr (kRowBlocks<kFormat> == 1) {
        load_tile(to, tokens, full, x, tile_.first_row + begin);
      } else {
        load_tile_multicast(to, tokens, full, x, tile_.first_row + begin, self_.tokens_mask());
      }
    }
  }

  const Gemm& args_;
  TokenTile tile_;
  int pair_;
  const CUtensorMap* map_;
  ClusterPlace<kFormat> self_;
  int half_;
  int waves_;
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
