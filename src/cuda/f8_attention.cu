// Attention over an F8 cache, bound by reading keys and values once. F8 has half the bytes of BF16
// for as many products, which registers that wait for memory slow: so keys and values come through
// a ring in shared memory. (BF16 gains nothing by one: 40 us instead of 37 for 32k keys, H200.)
//
// A block takes a tile of rows (row r of a sequence and KV head: query r / G, head r % G of the
// group, G = Nq / Nkv) and a part of the keys; its warps take sixteen keys each (key_products.cuh)
// of a ring of slots (key_ring.cuh). The last block of a tile sums the parts, in their order.
#include <algorithm>

#include "cuda/attention_partials.cuh"
#include "cuda/attention_rows.cuh"
#include "cuda/launch.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {
namespace {

constexpr DType kType = DType::kF8E4M3;
constexpr int kHeadDim = 128;
constexpr int kThreads = 32 * (kKeyWarps + 1);  // the last warp asks
using Ring = KeyRing<kType, kHeadDim>;
using Slot = Ring::Slot;
using Cached = KeyValues<kType, kHeadDim>;

// Keys that the two rows of a lane see, by the tiles of eight rows.
template <int kTiles>
struct SeenKeys {
  int begin[kTiles][2];
  int end[kTiles][2];
  int any_begin = INT_MAX;  // what any row of the block sees
  int any_end = 0;
  int all_begin = 0;  // what all rows of the block see
  int all_end = INT_MAX;
};

template <int kTiles>
__device__ SeenKeys<kTiles> find_ranges(const AttentionView& args, const Tile& tile) {
  SeenKeys<kTiles> ranges;
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = i * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + r;
      const bool used = tile.has(row);
      const int begin = used ? args.key_begin[tile.token(row)] : 0;
      const int end = used ? args.key_end[tile.token(row)] : 0;
      ranges.begin[i][r] = begin;
      ranges.end[i][r] = end;
      if (!used) continue;
      ranges.all_begin = max(ranges.all_begin, begin);
      ranges.all_end = min(ranges.all_end, end);
      if (begin >= end) continue;
      ranges.any_begin = min(ranges.any_begin, begin);
      ranges.any_end = max(ranges.any_end, end);
    }
  }
  for (int step = 1; step < 4; step *= 2) {
    const auto other = [&](int value) { return __shfl_xor_sync(kAllLanes, value, step); };
    ranges.any_begin = min(ranges.any_begin, other(ranges.any_begin));
    ranges.any_end = max(ranges.any_end, other(ranges.any_end));
    ranges.all_begin = max(ranges.all_begin, other(ranges.all_begin));
    ranges.all_end = min(ranges.all_end, other(ranges.all_end));
  }
  ranges.any_begin = min(ranges.any_begin, ranges.any_end);
  return ranges;
}

// A warp's sixteen keys of a slot.
__device__ void load_keys(std::uint32_t slot, Cached& cached) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const auto load = [&](int half, int vector) {
    return load_shared(slot + Slot::byte(warp, lane / 4, half) + (lane % 4 + vector * 4) * 16);
  };
#pragma unroll
  for (int i = 0; i < Cached::kRowVectors / 4; ++i) {
    cached.upper_keys[i] = load(0, i);
    cached.lower_keys[i] = load(1, i);
  }
}

// Their values; those of keys of the slot beyond `last` may be anything.
__device__ void load_values(std::uint32_t slot, int last, Cached& cached) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = lane % 4 * 2 + i % 2;
#pragma unroll
    for (int part = 0; part < Cached::kRowVectors / 8; ++part) {
      cached.values[i][part] =
          load_shared(slot + Slot::byte(warp, row, i / 2) + (lane / 4 + part * 8) * 16);
    }
  }
  if (last >= Slot::kGroupKeys - 1) return;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (Slot::key(warp, lane % 4 * 2 + i % 2, i / 2) <= last) continue;
#pragma unroll
    for (uint4& vector : cached.values[i]) vector = {};
  }
}

// Hides what the rows do not see of the group from `first_key` on, of which the lane has the keys
// key_of(0) and key_of(1).
template <int kTiles, typename KeyOf>
__device__ void hide(const AttentionView& args, const Tile& tile, int first_key, int end_key,
                     const SeenKeys<kTiles>& ranges, const KeyOf& key_of,
                     float (&scores)[kTiles][4]) {
  if (first_key >= ranges.all_begin && end_key <= ranges.all_end && args.key_mask == nullptr) {
    return;
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int key = first_key + key_of(half);
    const bool padding = key < tile.context_len && args.padding(tile.sequence, key);
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        const bool seen = key >= ranges.begin[t][r] && key < ranges.end[t][r];
        if (!seen || padding) scores[t][half * 2 + r] = -INFINITY;
      }
    }
  }
}

// Makes the sums of eight rows relative to the largest scores, those of more keys included.
template <int kTiles>
__device__ void rescale(const float (&scores)[4], int tile, Accumulator<kTiles, kHeadDim>& acc) {
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float largest = fmaxf(acc.largest[tile][r], fmaxf(scores[r], scores[2 + r]));
    for (int step = 4; step < 32; step *= 2) {
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, step));
    }
    const float keep = weight_of(acc.largest[tile][r], largest);
    acc.largest[tile][r] = largest;
    acc.sum[tile][r] *= keep;
#pragma unroll
    for (float(&output)[4] : acc.output[tile]) {
      output[r] *= keep;
      output[2 + r] *= keep;
    }
  }
}

// add_keys() with sums relative to a score that may be 2^8 times too small, so that they are seldom
// scaled anew.
template <int kTiles>
__device__ void add_lazily(const Cached& cached, const float (&scores)[4], int tile,
                           Accumulator<kTiles, kHeadDim>& acc) {
  constexpr float kSlack = 8.0F;
  bool grows = false;
#pragma unroll
  for (int i = 0; i < 4; ++i) grows = grows || scores[i] > acc.largest[tile][i % 2] + kSlack;
  if (__any_sync(kAllLanes, grows)) rescale(scores, tile, acc);
  float weights[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    weights[i] = weight_of(scores[i], acc.largest[tile][i % 2]);
    acc.sum[tile][i % 2] += weights[i];
  }
  add_values<kType, kTiles, kHeadDim>(cached, weights, tile, acc);
}

// What a block does with its part of the keys.
template <int kTiles>
struct Attention {
  const AttentionView& args;
  const Tile& tile;
  const KeyGroups& groups;
  const SeenKeys<kTiles>& ranges;
  const SplitQuad* quads;   // [D / 16, 8 kTiles, 4]
  const float* row_scales;  // [8 kTiles]

  // A warp's share from a ring.
  __device__ void add(Ring& ring, Accumulator<kTiles, kHeadDim>& acc) const {
    for (int group = groups.begin; group < groups.end; ++group) {
      const int first_key = group * Slot::kGroupKeys;
      Cached cached;
      float scores[kTiles][4];
      ring.pop([&](std::uint32_t slot) { load_keys(slot, cached); });
      score<4>(cached, scores);
      hide(
          args, tile, first_key, first_key + Slot::kGroupKeys, ranges,
          [](int half) { return Slot::key(warp(), lane() / 4, half); }, scores);
      ring.pop(
          [&](std::uint32_t slot) { load_values(slot, ranges.any_end - 1 - first_key, cached); });
#pragma unroll
      for (int t = 0; t < kTiles; ++t) add_lazily(cached, scores[t], t, acc);
    }
  }

 private:
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }

  // In units of log2.
  template <int kChains>
  __device__ void score(const Cached& cached, float (&scores)[kTiles][4]) const {
#pragma unroll
    for (int t = 0; t < kTiles; ++t) {
      multiply_keys<kType, kHeadDim, kChains>(cached, quads, 8 * kTiles, t * 8, scores[t]);
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[t][i] *= row_scales[t * 8 + lane() % 4 * 2 + i % 2];
    }
  }
};

// Grid: x parts of the keys, y sequences and KV heads, z tiles of 8 kTiles rows.
template <int kTiles>
__global__ void __launch_bounds__(kThreads, 1)
    f8_attention_kernel(const __grid_constant__ AttentionView args,
                        LanePartial<kTiles, kHeadDim>* partials, int* counters) {
  constexpr int kRows = 8 * kTiles;
  using RowPartial = LanePartial<kTiles, kHeadDim>;
  extern __shared__ uint4 shared[];  // a ring, then the warps' sums
  __shared__ SplitQuad quads[kHeadDim / 4 * kRows];
  __shared__ float row_scales[kRows];
  __shared__ float4 part_rows[kMostPartials * kTiles * 4];
  __shared__ std::uint64_t barriers[2 * Ring::kSlots];
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const Tile tile = make_tile(args, kRows);
  // Sequences with more queries than the batch's most are another kernel's.
  if (!tile.has(0) || tile.num_queries > args.max_queries) return begin_kernel();
  const SeenKeys<kTiles> ranges = find_ranges<kTiles>(args, tile);
  // Parts of whole groups, as even as can be.
  constexpr int kKeysOfGroup = Slot::kGroupKeys;
  const int first_group = ranges.any_begin / kKeysOfGroup;
  const std::int64_t num_groups = (ranges.any_end + kKeysOfGroup - 1) / kKeysOfGroup - first_group;
  const auto num_parts = static_cast<int>(gridDim.x);
  const auto part = static_cast<int>(blockIdx.x);
  const KeyGroups groups = {
      .begin = first_group + static_cast<int>(num_groups * part / num_parts),
      .end = first_group + static_cast<int>(num_groups * (part + 1) / num_parts)};
  Ring ring(shared, barriers);
  if (warp == kKeyWarps) {
    KeyAsker<kType, kHeadDim> asker(args, tile, groups, ranges.any_end, ring);
    // The keys of the queries' own tokens may still be written.
    asker.begin(tile.context_len - tile.num_queries);
    begin_kernel();
    __syncthreads();
    return asker.finish();
  }
  begin_kernel();
  fill_queries<kType, kRows, kHeadDim>(args, tile, quads, row_scales);
  __syncthreads();

  Accumulator<kTiles, kHeadDim> acc = {};
#pragma unroll
  for (int i = 0; i < kTiles; ++i) acc.largest[i][0] = acc.largest[i][1] = -INFINITY;
  const Attention<kTiles> attention = {args, tile, groups, ranges, quads, row_scales};
  attention.add(ring, acc);
  sync_key_warps();
  auto* warps = reinterpret_cast<RowPartial*>(shared);
  store_sums(acc, warps[warp]);
  sync_key_warps();

  if (num_parts == 1) {
    return merge_warps<kType, kTiles, kHeadDim>(args, tile, warps, nullptr);
  }
  const std::int64_t tile_index = std::int64_t{blockIdx.z} * gridDim.y + blockIdx.y;
  RowPartial* parts = partials + tile_index * num_parts;
  merge_warps<kType>(args, tile, warps, parts + part);
  if (!is_last_of_tile(counters + tile_index, num_parts)) return;
  merge_parts<kType>(args, tile, parts, num_parts, part_rows);
}

template <int kTiles>
void launch(const AttentionArgs& args, Context& context) {
  constexpr int kRows = 8 * kTiles;
  using RowPartial = LanePartial<kTiles, kHeadDim>;
  const AttentionView view = attention_view(args);
  const std::int64_t group = view.num_heads / view.num_kv_heads;
  const std::int64_t row_tiles = (args.max_queries * group + kRows - 1) / kRows;
  const std::int64_t heads = std::int64_t{view.num_seqs} * view.num_kv_heads;
  // As many blocks as the device holds at once.
  constexpr std::int64_t kLeastKeys = kKeyWarps * kKeys;
  const std::int64_t wanted = context.num_sms / (heads * row_tiles);
  const std::int64_t most =
      std::min<std::int64_t>((args.max_context_len + kLeastKeys - 1) / kLeastKeys, kMostPartials);
  const std::int64_t parts = std::clamp<std::int64_t>(wanted, 1, most);
  RowPartial* partials = nullptr;
  int* counters = nullptr;
  if (parts > 1) {
    const auto tiles = static_cast<std::size_t>(heads * row_tiles);
    partials = context.attention_partials.get<RowPartial>(tiles * static_cast<std::size_t>(parts));
    counters = context.attention_counters.get_zeroed<int>(tiles, context.stream);
  }
  static_assert(Ring::kNumBytes >= kKeyWarps * static_cast<int>(sizeof(RowPartial)));
  const auto kernel = f8_attention_kernel<kTiles>;
  allow_shared_memory(kernel, Ring::kNumBytes);
  const dim3 grid(static_cast<unsigned>(parts), static_cast<unsigned>(heads),
                  static_cast<unsigned>(row_tiles));
  launch_kernel(context, kernel, grid, kThreads, Ring::kNumBytes, view, partials, counters);
}

}  // namespace

void f8_attention(const AttentionArgs& args, Context& context) {
  const std::int64_t group = args.q.shape[1] / args.cache.num_kv_heads();
  if (args.max_queries * group <= 8) return launch<1>(args, context);
  launch<2>(args, context);
}

}  // namespace m2::cuda
