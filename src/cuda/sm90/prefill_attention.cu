// Attention of many queries over a BF16 or F8 cache on the matrix units: two warpgroups multiply,
// one warp copies keys and values, three prepare the next queries, and four widen the codes of F8.
//
// A block takes 128 rows at a time (row r of a sequence and KV head: query r / G, head r % G of the
// group) and walks over 128 keys at a time, from the last that any row sees to the first. Scores of
// the next keys are multiplied together with the weights of the last ones, by one warpgroup while
// the other computes its softmax. Queries and weights are rounded to BF16; sums are float32.
#include <algorithm>
#include <type_traits>

#include "cuda/launch.cuh"
#include "cuda/shared_memory.h"
#include "cuda/sm90/attention_softmax.cuh"
#include "cuda/sm90/attention_tiles.cuh"
#include "cuda/sm90/f8_tiles.cuh"
#include "cuda/sm90/prefill.h"
#include "cuda/sm90/wgmma.cuh"

namespace m2::cuda::sm90 {
namespace prefill {
namespace {

#if M2_SM90_CODE

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

// The rows of a warpgroup in one tile. `place` is that of the tile's first keys.
__device__ void attend(const PrefillAttention& args, const RowTile& tile, const char* queries,
                       const Turns& turns, Place& place, SharedTiles& shared) {
  const AttentionView& view = args.view;
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int first_row = static_cast<int>(threadIdx.x) / 32 * 16 + lane / 4;
  const int context_len = view.context_lens[tile.sequence];
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
  const auto multiply_weights = [&](int i, const Place& at) {
    const int stage = at.stage();
    wait(&shared.values_full[stage], at.parity());
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
    wait(&shared.keys_full[place.stage()], place.parity());
    multiply_keys(queries, shared.keys[place.stage()], scores);
    wait_products<0>();
    pin(scores);
    release(&shared.keys_empty[place.stage()]);
    mask(0, scores);
    softmax.update(scores, args.log2_scale);
    pack_weights(scores, weights);
  }
  for (int i = 1; i < num_tiles; ++i) {
    const Place last = place;
    ++place.count;
    const int stage = place.stage();
    wait(&shared.keys_full[stage], place.parity());
    turns.take();
    multiply_keys(queries, shared.keys[stage], scores);
    multiply_weights(i - 1, last);
    turns.pass();
    wait_products<0>();
    pin(scores);
    pin(output);
    release(&shared.keys_empty[stage]);
    release(&shared.values_empty[last.stage()]);
    mask(i, scores);
    const float2 keep = softmax.update(scores, args.log2_scale);
    pack_weights(scores, weights);
    if (__any_sync(kAllLanes, keep.x * keep.y != 1.0F)) {
#pragma unroll
      for (int j = 0; j < 64; ++j) output[j] *= j / 2 % 2 == 0 ? keep.x : keep.y;
    }
  }
  if (num_tiles > 0) {
    multiply_weights(num_tiles - 1, place);
    wait_products<0>();
    pin(output);
    release(&shared.values_empty[place.stage()]);
    ++place.count;
  }
  write_output(args, tile, first_row, softmax, output);
}

__device__ void attend_tiles(const PrefillAttention& args, SharedTiles& shared) {
  const int group = static_cast<int>(threadIdx.x) / kGroupThreads;
  const Turns turns(group);
  Place place;
  for (Place rows;; ++rows.count) {
    const int stage = rows.stage();
    wait(&shared.queries_full[stage], rows.parity());
    const RowTile tile = shared.rows[stage];
    if (tile.num_rows < 0) return;
    attend(args, tile, shared.queries[stage] + group * 64 * 128, turns, place, shared);
    release(&shared.queries_empty[stage]);
  }
}

#endif  // M2_SM90_CODE

template <bool kF8>
constexpr int kBlockThreads = kThreads + (kF8 ? kConvertThreads : 0);

// As many blocks as run at once; each takes tiles of rows while there are any.
template <bool kF8>
__global__ void __launch_bounds__(kBlockThreads<kF8>, 1)
    prefill_attention_kernel(const __grid_constant__ PrefillAttention args) {
#if M2_SM90_CODE
  extern __shared__ char memory[];
  using Shared = std::conditional_t<kF8, SharedF8Tiles, SharedTiles>;
  auto& shared = *reinterpret_cast<Shared*>(memory + (1024 - shared_address(memory) % 1024) % 1024);
  constexpr int kFillers = kF8 ? kConvertThreads / 32 : 1;  // that arrive at a full tile
  if (threadIdx.x == 0) {
    for (int i = 0; i < kStages; ++i) {
      init_barrier(&shared.rows_full[i], 1);
      init_barrier(&shared.queries_full[i], kFillThreads);
      init_barrier(&shared.queries_empty[i], 1 + kMultiplyThreads / 32 + (kF8 ? kFillers : 0));
      init_barrier(&shared.keys_full[i], kFillers);
      init_barrier(&shared.values_full[i], kFillers);
      init_barrier(&shared.keys_empty[i], kMultiplyThreads / 32);
      init_barrier(&shared.values_empty[i], kMultiplyThreads / 32);
      if constexpr (kF8) {
        init_barrier(&shared.codes_full[i], 1);
        init_barrier(&shared.codes_empty[i], kFillers);
      }
    }
    fence_barriers();
  }
  __syncthreads();
  begin_kernel();
  if (threadIdx.x >= kMultiplyThreads) {
    shrink_registers<40>();
    Place place;
    if (threadIdx.x >= kThreads) {
      if constexpr (kF8) {
        Place codes;
        for_each_tile(shared, [&](const RowTile& tile) { widen_tile(tile, shared, codes, place); });
      }
    } else if (threadIdx.x >= kThreads - kFillThreads) {
      prepare_tiles(args, shared);
    } else {
      for_each_tile(shared, [&](const RowTile& tile) {
        if constexpr (kF8) {
          copy_codes(args, tile, shared, place);
        } else {
          copy_tile(args, tile, shared, place);
        }
      });
    }
  } else {
    grow_registers<kF8 ? 216 : 232>();
    attend_tiles(args, shared);
  }
#endif
}

CUtensorMap cache_map(const TensorView& cache) {
  const Shape& shape = cache.shape;
  return block_map(cache.data, shape[0] * shape[1] * shape[2], kHeadDim, shape[2]);
}

template <bool kF8>
void launch(const PrefillAttention& call, const Context& context) {
  using Shared = std::conditional_t<kF8, SharedF8Tiles, SharedTiles>;
  constexpr int kSharedBytes = static_cast<int>(sizeof(Shared)) + 1024;
  allow_shared_memory(prefill_attention_kernel<kF8>, kSharedBytes);
  launch_kernel(context, prefill_attention_kernel<kF8>, static_cast<unsigned>(context.num_sms),
                kBlockThreads<kF8>, kSharedBytes, call);
}

}  // namespace
}  // namespace prefill

bool fits_prefill_attention(const AttentionArgs& args, const Context& context) {
  const std::int64_t block_size = args.cache.block_size();
  const std::int64_t rows = args.cache.num_blocks() * args.cache.num_kv_heads() * block_size;
  return context.has_wgmma && args.max_queries > kFewQueries &&
         (args.cache.format == KvFormat::kBF16 || args.cache.format == KvFormat::kF8E4M3) &&
         args.cache.head_dim() == prefill::kHeadDim && block_size >= 16 &&
         prefill::kKeys % block_size == 0 && rows < (std::int64_t{1} << 31U) &&
         !args.mask.present() && !args.key_mask.present() && args.dropout == 0.0F &&
         !args.probabilities.present() && args.fully_masked == FullyMasked::kZero &&
         args.context_lens.shape[0] * args.cache.num_kv_heads() <= 65535;
}

void prefill_attention(const AttentionArgs& args, const AttentionRows& rows, Context& context) {
  const bool is_f8 = args.cache.format == KvFormat::kF8E4M3;
  prefill::PrefillAttention call = {.view = attention_view(args),
                                    .rows = rows,
                                    .keys = {},
                                    .values = {},
                                    .log2_scale = args.scale * 1.4426950408889634F};
  const int group = call.view.num_heads / call.view.num_kv_heads;
  call.most_tiles = (call.view.max_queries * group + prefill::kRows - 1) / prefill::kRows;
  call.next_tile = context.prefill.attention_counters.get_zeroed<int>(2, context.stream);
  if (is_f8) return prefill::launch<true>(call, context);
  call.keys = prefill::cache_map(args.cache.keys);
  call.values = prefill::cache_map(args.cache.values);
  prefill::launch<false>(call, context);
}

}  // namespace m2::cuda::sm90
