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
constexpr int kThreads = kMultiplyThreads + 128;
constexpr int kHalfBytes = kKeys * 128;  // 64 columns of a tile, swizzled
constexpr int kTileBytes = 2 * kHalfBytes;

struct PrefillAttention {
  AttentionView view;
  CUtensorMap keys;    // [P Nkv B, 128], boxes of a block times 64 columns
  CUtensorMap values;  // the same
  float log2_scale;    // scale / ln 2
  int most_tiles;      // of a sequence's rows
};

struct SharedTiles {
  char queries[kTileBytes];
  char keys[kStages][kTileBytes];
  char values[kStages][kTileBytes];
  std::uint64_t keys_full[kStages];
  std::uint64_t keys_empty[kStages];
  std::uint64_t values_full[kStages];
  std::uint64_t values_empty[kStages];
};

#if M2_SM90_CODE

// Where a block's rows come from, and the keys that they see.
struct RowTile {
  int sequence;
  int kv_head;
  int group;
  int first_token;
  int first_row;
  int num_rows;  // of this tile
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

__device__ inline RowTile make_tile(const PrefillAttention& args) {
  const AttentionView& view = args.view;
  const int sequence = static_cast<int>(blockIdx.y) / view.num_kv_heads;
  const int first_token = view.cu_seqlens[sequence];
  const int num_queries = view.cu_seqlens[sequence + 1] - first_token;
  RowTile tile = {.sequence = sequence,
                  .kv_head = static_cast<int>(blockIdx.y) % view.num_kv_heads,
                  .group = view.num_heads / view.num_kv_heads,
                  .first_token = first_token};
  // The last rows see the most keys: they come first.
  tile.first_row = (args.most_tiles - 1 - static_cast<int>(blockIdx.x)) * kRows;
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

// One warp: a lane copies half of a block of the cache.
__device__ inline void copy_tiles(const PrefillAttention& args, const RowTile& tile,
                                  SharedTiles& shared) {
  const AttentionView& view = args.view;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int pieces = 2 * (kKeys / view.block_size);
  const int last_block = (view.context_lens[tile.sequence] - 1) / view.block_size;
  const int num_tiles = tile.num_tiles();
  for (int i = 0; i < num_tiles; ++i) {
    const int stage = i % kStages;
    const unsigned parity = static_cast<unsigned>(i / kStages) & 1U;
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
      wait(empty, parity ^ 1U);
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

// Ordinary stores of this warpgroup become visible to its matrix products.
__device__ inline void publish(int group) {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  sync_threads(1 + group, kGroupThreads);
}

// The warpgroup's 64 rows as BF16.
__device__ inline void fill_queries(const AttentionView& view, const RowTile& tile, char* queries,
                                    int group) {
  const int thread = static_cast<int>(threadIdx.x) % kGroupThreads;
  for (int i = thread; i < 64 * (kHeadDim / 8); i += kGroupThreads) {
    const int row = group * 64 + i / (kHeadDim / 8);
    const int vector = i % (kHeadDim / 8);
    uint4 packed = {};
    if (row < tile.num_rows) {
      const std::int64_t from = std::int64_t{tile.token(row)} * view.num_heads + tile.head(row);
      const auto* q = reinterpret_cast<const float4*>(view.q + from * kHeadDim) + vector * 2;
      const float4 low = q[0];
      const float4 high = q[1];
      const __nv_bfloat162 pairs[4] = {
          __floats2bfloat162_rn(low.x, low.y), __floats2bfloat162_rn(low.z, low.w),
          __floats2bfloat162_rn(high.x, high.y), __floats2bfloat162_rn(high.z, high.w)};
      packed = reinterpret_cast<const uint4&>(pairs);
    }
    char* to = queries + vector / 8 * kHalfBytes + row * 128 + (vector % 8 ^ row % 8) * 16;
    *reinterpret_cast<uint4*>(to) = packed;
  }
  publish(group);
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
