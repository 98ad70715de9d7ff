// Products of few tokens with F8_E4M3 weights, the columns split over the blocks of a cluster: how
// the work is shared, and what a block has in shared memory.
//
// A block multiplies tiles of 64 weight rows by its slice of the columns, so that it reads and
// converts that slice of the tokens only. Then every block sends its sums to the one that finishes
// the row.
#pragma once

#include "cuda/bulk_copy.cuh"
#include "cuda/cluster.cuh"
#include "cuda/linear_parts.cuh"
#include "cuda/sm90/ptx.cuh"

namespace m2::cuda::sm90::sliced {

constexpr int kSlices = 8;                     // of the columns: blocks of a cluster
constexpr int kTileRows = 64;                  // of a product on the matrix units
constexpr int kOwnRows = kTileRows / kSlices;  // of a tile, that a block finishes
constexpr int kScaleColumns = 128;             // of a stage, that share a scale
constexpr int kStageBytes = kTileRows * kScaleColumns;
constexpr int kTokens = 8;
constexpr int kGroups = 3;  // warpgroups that multiply, in turns
constexpr int kMultiplyThreads = 128 * kGroups;
constexpr int kMultiplyWarps = kMultiplyThreads / 32;
// Of the ring: a multiple of kGroups, so that a place is always the same warpgroup's.
constexpr int kMostSlots = 24;
constexpr int kMostStages = 24;  // of a tile in a block
constexpr int kMostTiles = 12;   // of a cluster

// A token's number is a sum of parts in F8, twelve bits of it. Operand row part * kTokens + token.
constexpr int kParts = 3;
constexpr int kOperandRows = kParts * kTokens;
constexpr int kOperandBytes = kOperandRows * kScaleColumns;  // of a stage

// Sums of a tile that a block finishes, by the slice and warpgroup that they come from.
using TileSums = float[kSlices * kGroups][kOwnRows][kTokens];

struct SlicedBarriers {
  std::uint64_t full[kMostSlots];
  std::uint64_t empty[kMostSlots];
  std::uint64_t sums[kMostTiles];
  std::uint64_t squares;
  std::uint64_t asked;  // for the tokens
};

struct SlicedShared {
  SlicedBarriers barriers;
  float scales[kMostTiles][kMostStages];  // of the weights
  float powers[kMostStages][kTokens];     // that products with a token have to be scaled by
  float squares[kMostStages][kTokens];    // of tokens that are normed, their sum
  float slice_squares[kSlices][kTokens];  // the same by slice
  alignas(16) TileSums sums[kMostTiles];  // as many as a cluster has tiles
};

#if M2_SM90_CODE

// Of a block: tiles of its cluster, blocks of columns of its own.
struct Share {
  Span tiles;
  Span blocks;

  __device__ Share(int num_tiles, int column_blocks) {
    const int clusters = static_cast<int>(gridDim.x) / kSlices;
    tiles = share_of(num_tiles, static_cast<int>(blockIdx.x) / kSlices, clusters);
    blocks = share_of(column_blocks, static_cast<int>(cluster_rank()), kSlices);
  }
  [[nodiscard]] __device__ int num_tiles() const { return tiles.end - tiles.begin; }
  [[nodiscard]] __device__ int stages() const { return blocks.end - blocks.begin; }  // of a tile
};

// A turn of the warpgroups through the ring, each with the next place of its own.
struct RingTurns {
  int first = 0;
  unsigned parity = 0;

  [[nodiscard]] __device__ int slot(int group) const { return first + group; }
  __device__ void advance(int slots) {
    first += kGroups;
    if (first < slots) return;
    first = 0;
    parity ^= 1U;
  }
};

/// Stores to block `rank` of the cluster; `barrier` there counts the bytes.
template <typename T>
__device__ void send(const float* to, const Barrier* barrier, unsigned rank, T x) {
  const auto remote = [rank](const void* pointer) {
    return address_in_cluster(sm90::shared_address(pointer), static_cast<int>(rank));
  };
  store_in_cluster(remote(to), x, remote(barrier));
}

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90::sliced
