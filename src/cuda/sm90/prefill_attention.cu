// Attention of many queries over a BF16 cache on the matrix units: two warpgroups multiply, one
// warp copies keys and values.
//
// A block takes 128 rows (row r of a sequence and KV head: query r / G, head r % G of the group)
// and walks over 128 keys at a time, from the last that any row sees to the first. Scores of the
// next keys are multiplied while the weights of the last ones are, and while the softmax is
// computed. Queries and weights are rounded to BF16; sums are float32.
#include <algorithm>

#include "cuda/attention.cuh"
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "cuda/shared_memory.h"
#include "cuda/sm90/prefill.h"
#include "cuda/sm90/wgmma.cuh"

namespace m2::cuda::sm90 {
namespace {

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

__device__ RowTile make_tile(const PrefillAttention& args) {
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
__device__ void copy_tiles(const PrefillAttention& args, const RowTile& tile, SharedTiles& shared) {
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
__device__ void publish(int group) {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
  sync_threads(1 + group, kGroupThreads);
}

// The warpgroup's 64 rows as BF16.
__device__ void fill_queries(const AttentionView& view, const RowTile& tile, char* queries,
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
__device__ void clear_values(char* values, int first, int group) {
  const int thread = static_cast<int>(threadIdx.x) % kGroupThreads;
  for (int i = first * 16 + thread; i < kKeys * 16; i += kGroupThreads) {
    const int key = i / 16;
    *reinterpret_cast<uint4*>(values + i % 16 / 8 * kHalfBytes + key * 128 + i % 8 * 16) = {};
  }
  publish(group);
}

__device__ std::uint64_t values_descriptor(const char* values, int step) {
  constexpr std::uint64_t kHalfStride = std::uint64_t{kHalfBytes >> 4} << 16U;
  constexpr std::uint64_t kEightKeys = std::uint64_t{1024 >> 4} << 32U;
  constexpr std::uint64_t kSwizzle128 = std::uint64_t{1} << 62U;
  return kSwizzle128 | kEightKeys | kHalfStride |
         (((shared_address(values) + static_cast<unsigned>(step) * 2048U) & 0x3FFFFU) >> 4U);
}

// scores [64, 128] = queries keys^T.
__device__ void multiply_keys(const char* queries, const char* keys, float (&scores)[64]) {
  begin_products();
#pragma unroll
  for (int step = 0; step < kHeadDim / 16; ++step) {
    const std::uint64_t move = step % 4 * kDescriptorStep;
    Products<kKeys>::multiply<Operand::kBF16>(
        scores, matrix_descriptor(queries + step / 4 * kHalfBytes) + move,
        matrix_descriptor(keys + step / 4 * kHalfBytes) + move, step > 0);
  }
  commit_products();
}

__device__ float fast_exp2(float x) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(x));
  return result;
}

// The softmax of a lane's rows, lane / 4 and that + 8 of its warp, so far.
struct Softmax {
  float largest[2] = {-INFINITY, -INFINITY};
  float sum[2] = {0.0F, 0.0F};  // over this lane's keys

  // Scores become weights; returns what earlier sums are multiplied by.
  __device__ float2 update(float (&scores)[64], float log2_scale) {
    float keep[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float best = largest[half];
#pragma unroll
      for (int i = 0; i < 32; ++i) best = fmaxf(best, scores[i / 2 * 4 + half * 2 + i % 2]);
      best = fmaxf(best, __shfl_xor_sync(kAllLanes, best, 1));
      best = fmaxf(best, __shfl_xor_sync(kAllLanes, best, 2));
      const float offset = best == -INFINITY ? 0.0F : best * log2_scale;
      keep[half] = fast_exp2(largest[half] * log2_scale - offset);
      largest[half] = best;
      float total = 0.0F;
#pragma unroll
      for (int i = 0; i < 32; ++i) {
        float& score = scores[i / 2 * 4 + half * 2 + i % 2];
        score = fast_exp2(score * log2_scale - offset);
        total += score;
      }
      sum[half] = sum[half] * keep[half] + total;
    }
    return {keep[0], keep[1]};
  }
};

__device__ void pack_weights(const float (&scores)[64], std::uint32_t (&weights)[8][4]) {
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(scores[2 * i], scores[2 * i + 1]);
    weights[i / 4][i % 4] = reinterpret_cast<const std::uint32_t&>(pair);
  }
}

// What the two rows of a lane see.
struct RowRanges {
  int begin[2];
  int end[2];

  __device__ RowRanges(const AttentionView& view, const RowTile& tile, int first_row) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + half * 8;
      const bool used = row < tile.num_rows;
      begin[half] = used ? view.key_begin[tile.token(row)] : 0;
      end[half] = used ? view.key_end[tile.token(row)] : 0;
    }
  }
  __device__ void hide(int first_key, float (&scores)[64]) const {
    const int first = first_key + static_cast<int>(threadIdx.x) % 4 * 2;
#pragma unroll
    for (int i = 0; i < 64; ++i) {
      const int key = first + i / 4 * 8 + i % 2;
      const int half = i / 2 % 2;
      if (key < begin[half] || key >= end[half]) scores[i] = -INFINITY;
    }
  }
};

__device__ void write_output(const AttentionView& view, const RowTile& tile, int first_row,
                             const Softmax& softmax, const float (&output)[64]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = softmax.sum[half];
    sum += __shfl_xor_sync(kAllLanes, sum, 1);
    sum += __shfl_xor_sync(kAllLanes, sum, 2);
    const int row = first_row + half * 8;
    if (row >= tile.num_rows) continue;
    const float inverse = sum == 0.0F ? 0.0F : 1.0F / sum;
    const std::int64_t vector = std::int64_t{tile.token(row)} * view.num_heads + tile.head(row);
    float* to = view.output + vector * kHeadDim + threadIdx.x % 4 * 2;
#pragma unroll
    for (int j = 0; j < kHeadDim / 8; ++j) {
      *reinterpret_cast<float2*>(to + 8 * j) = {output[4 * j + half * 2] * inverse,
                                                output[4 * j + half * 2 + 1] * inverse};
    }
  }
}

__device__ void release(std::uint64_t* empty) {
  __syncwarp();
  if (threadIdx.x % 32 == 0) arrive(empty);
}

// The rows of a warpgroup.
__device__ void attend(const PrefillAttention& args, const RowTile& tile, SharedTiles& shared) {
  const AttentionView& view = args.view;
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int first_row = static_cast<int>(threadIdx.x) / 32 * 16 + lane / 4;
  const int context_len = view.context_lens[tile.sequence];
  const Turns turns(group);
  fill_queries(view, tile, shared.queries, group);
  const char* queries = shared.queries + group * 64 * 128;
  const RowRanges ranges(view, tile, first_row);
  const int num_tiles = tile.num_tiles();
  const auto first_key = [&](int i) { return (tile.first_tile() + num_tiles - 1 - i) * kKeys; };
  const auto mask = [&](int i, float(&scores)[64]) {
    const int first = first_key(i);
    if (first < tile.all_begin || first + kKeys > tile.all_end) ranges.hide(first, scores);
  };
  Softmax softmax;
  float output[64];
#pragma unroll
  for (float& value : output) value = 0.0F;
  float scores[64];
  std::uint32_t weights[8][4];
  const auto multiply_weights = [&](int i) {
    const int stage = i % kStages;
    wait(&shared.values_full[stage], static_cast<unsigned>(i / kStages) & 1U);
    if (first_key(i) + kKeys > context_len) {
      clear_values(shared.values[stage], context_len - first_key(i), group);
    }
    begin_products();
#pragma unroll
    for (int step = 0; step < kKeys / 16; ++step) {
      multiply_values(output, weights[step], values_descriptor(shared.values[stage], step), 1);
    }
    commit_products();
  };
  if (num_tiles > 0) {
    wait(&shared.keys_full[0], 0);
    multiply_keys(queries, shared.keys[0], scores);
    wait_products<0>();
    pin(scores);
    release(&shared.keys_empty[0]);
    mask(0, scores);
    softmax.update(scores, args.log2_scale);
    pack_weights(scores, weights);
  }
  for (int i = 1; i < num_tiles; ++i) {
    const int stage = i % kStages;
    wait(&shared.keys_full[stage], static_cast<unsigned>(i / kStages) & 1U);
    turns.take();
    multiply_keys(queries, shared.keys[stage], scores);
    multiply_weights(i - 1);
    turns.pass();
    wait_products<1>();
    pin(scores);
    release(&shared.keys_empty[stage]);
    mask(i, scores);
    const float2 keep = softmax.update(scores, args.log2_scale);
    wait_products<0>();
    pin(output);
    release(&shared.values_empty[(i - 1) % kStages]);
    pack_weights(scores, weights);
#pragma unroll
    for (int j = 0; j < 64; ++j) output[j] *= j / 2 % 2 == 0 ? keep.x : keep.y;
  }
  if (num_tiles > 0) {
    multiply_weights(num_tiles - 1);
    wait_products<0>();
    pin(output);
  }
  write_output(view, tile, first_row, softmax, output);
}

#endif  // M2_SM90_CODE

// Grid: x tiles of rows, y sequences and KV heads.
__global__ void __launch_bounds__(kThreads, 1)
    prefill_attention_kernel(const __grid_constant__ PrefillAttention args) {
#if M2_SM90_CODE
  extern __shared__ char memory[];
  auto& shared =
      *reinterpret_cast<SharedTiles*>(memory + (1024 - shared_address(memory) % 1024) % 1024);
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      init_barrier(&shared.keys_full[i], 1);
      init_barrier(&shared.values_full[i], 1);
      init_barrier(&shared.keys_empty[i], kMultiplyThreads / 32);
      init_barrier(&shared.values_empty[i], kMultiplyThreads / 32);
    }
    fence_barriers();
  }
  __syncthreads();
  begin_kernel();
  const RowTile tile = make_tile(args);
  if (tile.num_rows == 0) return;
  if (threadIdx.x >= kMultiplyThreads) {
    shrink_registers<24>();
    if (threadIdx.x < kMultiplyThreads + 32) copy_tiles(args, tile, shared);
  } else {
    grow_registers<240>();
    attend(args, tile, shared);
  }
#endif
}

CUtensorMap cache_map(const TensorView& cache) {
  const Shape& shape = cache.shape;
  return block_map(cache.data, shape[0] * shape[1] * shape[2], kHeadDim, shape[2]);
}

}  // namespace

bool fits_prefill_attention(const AttentionArgs& args, const Context& context) {
  const std::int64_t block_size = args.cache.block_size();
  const std::int64_t rows = args.cache.num_blocks() * args.cache.num_kv_heads() * block_size;
  return context.has_wgmma && args.max_queries > kFewQueries &&
         args.cache.format == KvFormat::kBF16 && args.cache.head_dim() == kHeadDim &&
         block_size >= 16 && kKeys % block_size == 0 && rows < (std::int64_t{1} << 31U) &&
         !args.mask.present() && !args.key_mask.present() && args.dropout == 0.0F &&
         !args.probabilities.present() && args.fully_masked == FullyMasked::kZero &&
         args.context_lens.shape[0] * args.cache.num_kv_heads() <= 65535;
}

void prefill_attention(const AttentionArgs& args, Context& context) {
  PrefillAttention call = {.view = attention_view(args),
                           .keys = cache_map(args.cache.keys),
                           .values = cache_map(args.cache.values),
                           .log2_scale = args.scale * 1.4426950408889634F};
  const int group = call.view.num_heads / call.view.num_kv_heads;
  call.most_tiles = (call.view.max_queries * group + kRows - 1) / kRows;
  constexpr int kSharedBytes = static_cast<int>(sizeof(SharedTiles)) + 1024;
  allow_shared_memory(prefill_attention_kernel, kSharedBytes);
  const dim3 grid(static_cast<unsigned>(call.most_tiles),
                  static_cast<unsigned>(call.view.num_seqs * call.view.num_kv_heads));
  launch_kernel(context, prefill_attention_kernel, grid, kThreads, kSharedBytes, call);
}

}  // namespace m2::cuda::sm90
