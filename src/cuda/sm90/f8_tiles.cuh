// Tiles of an F8 cache for the prefill attention: copied as codes, then turned into the BF16 tiles
// that the products read, by a warpgroup that does nothing else.
#pragma once

#include "cuda/bulk_copy.cuh"
#include "cuda/mma.cuh"
#include "cuda/sm90/attention_tiles.cuh"

namespace m2::cuda::sm90::prefill {

constexpr int kConvertThreads = 128;
constexpr int kCodeBytes = kKeys * kHeadDim;

struct SharedF8Tiles : SharedTiles {
  alignas(16) char codes[kStages][kCodeBytes];  // keys and values in turn, rows of 128 bytes
  std::uint64_t codes_full[kStages];
  std::uint64_t codes_empty[kStages];
};

#if M2_SM90_CODE

// A tile's keys and values by one warp: a lane copies a block of the cache.
__device__ inline void copy_codes(const PrefillAttention& args, const RowTile& tile,
                                  SharedF8Tiles& shared, Place& place) {
  const AttentionView& view = args.view;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int block_bytes = view.block_size * kHeadDim;
  const int last_block = (view.context_lens[tile.sequence] - 1) / view.block_size;
  const int num_tiles = tile.num_tiles();
  for (int i = 0; i < num_tiles; ++i) {
    const int first_key = (tile.first_tile() + num_tiles - 1 - i) * kKeys;
    // Beyond the context the last block is read again.
    const int block = min(first_key / view.block_size + lane, last_block);
    const bool copies = lane < kKeys / view.block_size;
    std::int64_t from = 0;
    if (copies) {
      from = view.cache_row(tile.sequence, tile.kv_head, block * view.block_size) * kHeadDim;
    }
    for (int part = 0; part < 2; ++part, ++place.count) {
      const void* cached = part == 0 ? view.keys : view.values;
      const int stage = place.stage();
      wait(&shared.codes_empty[stage], place.parity() ^ 1U);
      if (lane == 0) arrive_expecting(&shared.codes_full[stage], kCodeBytes);
      __syncwarp();
      if (copies) {
        copy_bulk(shared_address(shared.codes[stage] + lane * block_bytes),
                  static_cast<const char*>(cached) + from, block_bytes,
                  shared_address(&shared.codes_full[stage]));
      }
    }
  }
}

__device__ inline std::uint32_t bf16_pair(std::uint32_t half_pair) {
  const float2 x = __half22float2(reinterpret_cast<const __half2&>(half_pair));
  const __nv_bfloat162 pair = __floats2bfloat162_rn(x.x, x.y);
  return reinterpret_cast<const std::uint32_t&>(pair);
}

// Codes [128, 128] into a tile of the products, exactly.
__device__ inline void widen_codes(const char* codes, char* tile) {
  const int thread = static_cast<int>(threadIdx.x) % kConvertThreads;
#pragma unroll 2
  for (int i = thread; i < kCodeBytes / 16; i += kConvertThreads) {
    const uint4 from = *reinterpret_cast<const uint4*>(codes + i * 16);
    const int row = i / 8;
    const int vector = i % 8 * 2;  // of eight columns
    char* to = tile + vector / 8 * kHalfBytes + row * 128;
    const auto store = [&](std::uint32_t low, std::uint32_t high, int at) {
      const WeightPairs a = widen(low);
      const WeightPairs b = widen(high);
      *reinterpret_cast<uint4*>(to + (at % 8 ^ row % 8) * 16) = {
          bf16_pair(a.pair[0]), bf16_pair(a.pair[1]), bf16_pair(b.pair[0]), bf16_pair(b.pair[1])};
    };
    store(from.x, from.y, vector);
    store(from.z, from.w, vector + 1);
  }
  make_visible_to_products();
}

// The same tiles in the same order, by the converting warpgroup. `codes` counts keys and values.
__device__ inline void widen_tile(const RowTile& tile, SharedF8Tiles& shared, Place& codes,
                                  Place& place) {
  const auto convert = [&](char* to, std::uint64_t* full, std::uint64_t* empty) {
    const int stage = codes.stage();
    wait(empty, place.parity() ^ 1U);
    wait(&shared.codes_full[stage], codes.parity());
    widen_codes(shared.codes[stage], to);
    release(&shared.codes_empty[stage]);
    release(full);
    ++codes.count;
  };
  for (int i = tile.num_tiles(); i > 0; --i, ++place.count) {
    const int stage = place.stage();
    convert(shared.keys[stage], &shared.keys_full[stage], &shared.keys_empty[stage]);
    convert(shared.values[stage], &shared.values_full[stage], &shared.values_empty[stage]);
  }
}

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90::prefill
