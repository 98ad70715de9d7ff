// Tiles of the prefill attention: which rows a block takes, and what is copied into its memory.
#pragma once

#include "cuda/attention.cuh"
#include "cuda/numeric.cuh"
#include "cuda/sm90/prefill.h"
#include "cuda/sm90/ptx.cuh"

namespace m2::cuda::sm90::prefill {

constexpr int kRows = 128;
constexpr int kKeys = 128;
constexpr int kHeadDim = 128;
constexpr int kStages = 2;
constexpr int kGroupThreads = 128;
constexpr int kMultiplyThreads = 2 * kGroupThreads;
constexpr int kFillThreads = 96;
constexpr int kThreads = kMultiplyThreads + 32 + kFillThreads;
constexpr int kHalfBytes = kKeys * 128;  // 64 columns of a tile, swizzled
constexpr int kTileBytes = 2 * kHalfBytes;

struct PrefillAttention {
  AttentionView view;
  AttentionRows rows;
  CUtensorMap keys;    // [P Nkv B, 128], boxes of a block times 64 columns; of a BF16 cache only
  CUtensorMap values;  // the same
  float log2_scale;    // scale / ln 2
  int most_tiles;      // of a sequence's rows
  int* next_tile;      // [2]: tiles taken beyond the first of every block, blocks that are done;
                       // 0 before and after
};

// Where rows come from, and the keys that they see.
struct RowTile {
  int sequence;
  int kv_head;
  int group;
  int first_token;
  int first_row;
  int num_rows;  // of this tile; negative after the last one
  int begin;     // of the keys that any row sees
  int end;
  int all_begin;  // of the keys that every row sees
  int all_end;

  [[nodiscard]] __device__ int token(int row) const {
    return first_token + (first_row + row) / group;
  }
  [[nodiscard]] __device__ int head(int row) const {
    return kv_head * group + (first_row + row) % group;
  }
  [[nodiscard]] __device__ int first_tile() const { return begin / kKeys; }
  [[nodiscard]] __device__ int num_tiles() const {
    return end <= begin ? 0 : (end + kKeys - 1) / kKeys - first_tile();
  }
};

struct SharedTiles {
  char queries[kStages][kTileBytes];
  char keys[kStages][kTileBytes];
  char values[kStages][kTileBytes];
  RowTile rows[kStages];  // of the queries
  std::uint64_t rows_full[kStages];
  std::uint64_t queries_full[kStages];
  std::uint64_t queries_empty[kStages];  // rows, too
  std::uint64_t keys_full[kStages];
  std::uint64_t keys_empty[kStages];
  std::uint64_t values_full[kStages];
  std::uint64_t values_empty[kStages];
};

#if M2_SM90_CODE

// A place in a ring.
struct Place {
  int count = 0;
  [[nodiscard]] __device__ int stage() const { return count % kStages; }
  [[nodiscard]] __device__ unsigned parity() const {
    return static_cast<unsigned>(count / kStages) & 1U;
  }
};

// By a warp. Tiles with the most keys, a sequence's last rows, come first.
__device__ inline RowTile make_tile(const PrefillAttention& args, int index) {
  const AttentionView& view = args.view;
  const int columns = view.num_seqs * view.num_kv_heads;
  const int sequence = index % columns / view.num_kv_heads;
  const int first_token = view.cu_seqlens[sequence];
  const int num_queries = view.cu_seqlens[sequence + 1] - first_token;
  RowTile tile = {.sequence = sequence,
                  .kv_head = index % columns % view.num_kv_heads,
                  .group = view.num_heads / view.num_kv_heads,
                  .first_token = first_token};
  tile.first_row = (args.most_tiles - 1 - index / columns) * kRows;
  tile.num_rows = num_queries <= kFewQueries
                      ? 0
                      : max(0, min(kRows, num_queries * tile.group - tile.first_row));
  tile.begin = tile.all_end = view.context_lens[sequence];
  tile.end = tile.all_begin = 0;
  if (tile.num_rows == 0) return tile;
  const int last = tile.token(tile.num_rows - 1);
  for (int token = tile.token(0) + static_cast<int>(threadIdx.x) % 32; token <= last; token += 32) {
    const int begin = view.key_begin[token];
    const int end = view.key_end[token];
    tile.all_begin = max(tile.all_begin, begin);
    tile.all_end = min(tile.all_end, end);
    if (begin >= end) continue;
    tile.begin = min(tile.begin, begin);
    tile.end = max(tile.end, end);
  }
  for (int step = 16; step > 0; step /= 2) {
    tile.begin = min(tile.begin, __shfl_xor_sync(kAllLanes, tile.begin, step));
    tile.end = max(tile.end, __shfl_xor_sync(kAllLanes, tile.end, step));
    tile.all_begin = max(tile.all_begin, __shfl_xor_sync(kAllLanes, tile.all_begin, step));
    tile.all_end = min(tile.all_end, __shfl_xor_sync(kAllLanes, tile.all_end, step));
  }
  return tile;
}

// The tiles of rows of a block, by a warp: it takes them from all that are left.
class RowTiles {
 public:
  __device__ explicit RowTiles(const PrefillAttention& args)
      : args_(args), count_(args.most_tiles * args.view.num_seqs * args.view.num_kv_heads) {}

  // The next tile that has rows.
  __device__ RowTile next() {
    for (int index = take(); index < count_; index = take()) {
      const RowTile tile = make_tile(args_, index);
      if (tile.num_rows > 0) return tile;
    }
    return {.num_rows = -1};
  }

  // After the last tile: the last block leaves the counters as they were.
  __device__ void finish() const {
    if (threadIdx.x % 32 != 0) return;
    __threadfence();
    if (atomicAdd(&args_.next_tile[1], 1) != static_cast<int>(gridDim.x) - 1) return;
    args_.next_tile[0] = 0;
    args_.next_tile[1] = 0;
  }

 private:
  __device__ int take() {
    if (!started_) {
      started_ = true;
      return static_cast<int>(blockIdx.x);
    }
    int taken = 0;
    if (threadIdx.x % 32 == 0) taken = atomicAdd(&args_.next_tile[0], 1);
    return static_cast<int>(gridDim.x) + __shfl_sync(kAllLanes, taken, 0);
  }

  const PrefillAttention& args_;
  int count_;
  bool started_ = false;
};

__device__ inline void release(std::uint64_t* empty) {
  __syncwarp();
  if (threadIdx.x % 32 == 0) arrive(empty);
}

// A tile's keys and values by one warp: a lane copies half of a block of the cache.
__device__ inline void copy_tile(const PrefillAttention& args, const RowTile& tile,
                                 SharedTiles& shared, Place& place) {
  const AttentionView& view = args.view;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int pieces = 2 * (kKeys / view.block_size);
  const int last_block = (view.context_lens[tile.sequence] - 1) / view.block_size;
  const int num_tiles = tile.num_tiles();
  for (int i = 0; i < num_tiles; ++i, ++place.count) {
    const int stage = place.stage();
    const int first_key = (tile.first_tile() + num_tiles - 1 - i) * kKeys;
    const int piece = lane / 2 * view.block_size;  // of the tile's keys
    // Beyond the context the last block is read again.
    const int block = min((first_key + piece) / view.block_size, last_block);
    int row = 0;
    if (lane < pieces) {
      row = static_cast<int>(view.cache_row(tile.sequence, tile.kv_head, block * view.block_size));
    }
    const int offset = lane % 2 * kHalfBytes + piece * 128;
    const auto copy = [&](char* to, const CUtensorMap* map, std::uint64_t* full,
                          std::uint64_t* empty) {
      wait(empty, place.parity() ^ 1U);
      if (lane == 0) arrive_expecting(full, kTileBytes);
      __syncwarp();
      if (lane < pieces) {
        load_tile(to + offset, map, full, lane % 2 * 64, row);
      }
    };
    copy(shared.keys[stage], &args.keys, &shared.keys_full[stage], &shared.keys_empty[stage]);
    copy(shared.values[stage], &args.values, &shared.values_full[stage],
         &shared.values_empty[stage]);
  }
}

// Calls body(tile) for every tile of rows of the block; by warps that do not need the queries.
template <typename Body>
__device__ void for_each_tile(SharedTiles& shared, const Body& body) {
  for (Place rows;; ++rows.count) {
    wait(&shared.rows_full[rows.stage()], rows.parity());
    const RowTile tile = shared.rows[rows.stage()];
    release(&shared.queries_empty[rows.stage()]);
    if (tile.num_rows < 0) return;
    body(tile);
  }
}

__device__ inline void make_visible_to_products() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// Ordinary stores of this warpgroup become visible to its matrix products.
__device__ inline void publish(int group) {
  make_visible_to_products();
  sync_threads(1 + group, kGroupThreads);
}

// Eight numbers of a query, as BF16.
__device__ inline uint4 load_query(const PrefillAttention& args, std::int64_t vector) {
  if (args.rows.q != nullptr) return static_cast<const uint4*>(args.rows.q)[vector];
  const auto* q = reinterpret_cast<const float4*>(args.view.q) + vector * 2;
  const float4 low = q[0];
  const float4 high = q[1];
  const __nv_bfloat162 pairs[4] = {
      __floats2bfloat162_rn(low.x, low.y), __floats2bfloat162_rn(low.z, low.w),
      __floats2bfloat162_rn(high.x, high.y), __floats2bfloat162_rn(high.z, high.w)};
  return reinterpret_cast<const uint4&>(pairs);
}

// A tile's queries as BF16.
__device__ inline void fill_queries(const PrefillAttention& args, const RowTile& tile,
                                    char* queries) {
  constexpr int kVectors = kHeadDim / 8;
  const int thread = static_cast<int>(threadIdx.x) - (kThreads - kFillThreads);
#pragma unroll 2
  for (int i = thread; i < kRows * kVectors; i += kFillThreads) {
    const int row = i / kVectors;
    const int vector = i % kVectors;
    uint4 packed = {};
    if (row < tile.num_rows) {
      const std::int64_t head =
          std::int64_t{tile.token(row)} * args.view.num_heads + tile.head(row);
      packed = load_query(args, head * kVectors + vector);
    }
    char* to = queries + vector / 8 * kHalfBytes + row * 128 + (vector % 8 ^ row % 8) * 16;
    *reinterpret_cast<uint4*>(to) = packed;
  }
  make_visible_to_products();
}

// By three warps, of which the first finds the tiles: what the next tile is, and its queries.
__device__ inline void prepare_tiles(const PrefillAttention& args, SharedTiles& shared) {
  const bool finds = threadIdx.x / 32 == (kThreads - kFillThreads) / 32;
  RowTiles tiles(args);
  for (Place rows;; ++rows.count) {
    const int stage = rows.stage();
    if (finds) {
      wait(&shared.queries_empty[stage], rows.parity() ^ 1U);
      const RowTile tile = tiles.next();
      if (threadIdx.x % 32 == 0) {
        shared.rows[stage] = tile;
        arrive(&shared.rows_full[stage]);
      }
    }
    wait(&shared.rows_full[stage], rows.parity());
    const RowTile tile = shared.rows[stage];
    if (tile.num_rows >= 0) fill_queries(args, tile, shared.queries[stage]);
    arrive(&shared.queries_full[stage]);
    if (tile.num_rows < 0) break;
  }
  if (finds) tiles.finish();
}

// A weight of 0 does not hide what is no number, so the values beyond the context become 0.
__device__ inline void clear_values(char* values, int first, int group) {
  const int thread = static_cast<int>(threadIdx.x) % kGroupThreads;
  for (int i = first * 16 + thread; i < kKeys * 16; i += kGroupThreads) {
    const int key = i / 16;
    *reinterpret_cast<uint4*>(values + i % 16 / 8 * kHalfBytes + key * 128 + i % 8 * 16) = {};
  }
  publish(group);
}

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90::prefill
