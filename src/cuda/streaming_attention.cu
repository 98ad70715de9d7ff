// Attention over a BF16 cache, bound by reading keys and values once.
//
// A block takes a tile of rows (row r of a sequence and KV head: query r / G, head r % G of the
// group, G = Nq / Nkv) and a part of the keys; its warps take sixteen keys at a time
// (key_products.cuh). The last block of a tile sums the parts, in their order.
#include <algorithm>

#include "cuda/alignment.h"
#include "cuda/attention_rows.cuh"
#include "cuda/bulk_copy.cuh"
#include "cuda/launch.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;

// A warp's sums into shared memory.
template <DType kType, int kTiles, int kHeadDim>
__device__ void store(Accumulator<kTiles, kHeadDim>& acc, Partial<8 * kTiles, kHeadDim>& to) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float sum = acc.sum[tile][r];
      for (int step = 4; step < 32; step *= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
      const int row = tile * 8 + lane % 4 * 2 + r;
      if (lane / 4 == 0) {
        to.largest[row] = acc.largest[tile][r];
        to.sum[row] = sum;
      }
#pragma unroll
      for (int i = 0; i < kHeadDim / 16; ++i) {
        const int dim = output_dim<kType, kHeadDim>(i);
        to.output[row][dim] = acc.output[tile][i][r];
        to.output[row][dim + 1] = acc.output[tile][i][2 + r];
      }
    }
  }
}

constexpr int kMaxParts = 64;

// How much each of `count` partials counts in its rows' sums.
template <int kRows>
struct PartWeights {
  float weights[kMaxParts][kRows];
  float largest[kRows];
  float sum[kRows];

  // A warp takes a row, a lane two parts.
  template <int kHeadDim>
  __device__ void find(const Partial<kRows, kHeadDim>* parts, int count) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for (int row = static_cast<int>(threadIdx.x) / 32; row < kRows; row += kWarps) {
      float scores[2];
      float sums[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int part = lane + 32 * i;
        scores[i] = part < count ? parts[part].largest[row] : -INFINITY;
        sums[i] = part < count ? parts[part].sum[row] : 0.0F;
      }
      float best = fmaxf(scores[0], scores[1]);
      for (int step = 16; step > 0; step /= 2) {
        best = fmaxf(best, __shfl_xor_sync(kAllLanes, best, step));
      }
      float total = 0.0F;
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const float weight = weight_of(scores[i], best);
        if (lane + 32 * i < count) weights[lane + 32 * i][row] = weight;
        total += sums[i] * weight;
      }
      total = sum_of_warp(total);
      if (lane == 0) {
        largest[row] = best;
        sum[row] = total;
      }
    }
    __syncthreads();
  }
};

// Sums `count` partials in their order: into `to`, or normalised into the output without one. What
// the threads sum is on its way before they know how much it counts: up to eight parts with one
// wait, more of them eight at a time.
template <DType kType, int kRows, int kHeadDim>
__device__ void merge(const AttentionView& args, const Tile& tile,
                      const Partial<kRows, kHeadDim>* parts, int count,
                      Partial<kRows, kHeadDim>* to) {
  constexpr int kAhead = 8;
  constexpr int kQuads = kHeadDim / 4;
  __shared__ PartWeights<kRows> found;
  const auto load = [&](int index, int part) {
    return part < count ? *reinterpret_cast<const float4*>(
                              &parts[part].output[index / kQuads][index % kQuads * 4])
                        : float4{};
  };
  float4 ahead[kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; ++i)
    ahead[i] = load(static_cast<int>(threadIdx.x) % (kRows * kQuads), i);
  found.find(parts, count);
  for (int index = threadIdx.x; index < kRows * kQuads; index += kThreads) {
    const int row = index / kQuads;
    const int dim = index % kQuads * 4;
    if (!tile.has(row)) continue;
    float4 output = {};
    for (int first = 0; first < count; first += kAhead) {
      if (first > 0 || index >= kThreads) {
#pragma unroll
        for (int i = 0; i < kAhead; ++i) ahead[i] = load(index, first + i);
      }
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        if (first + i >= count) break;
        const float weight = found.weights[first + i][row];
        output.x += ahead[i].x * weight;
        output.y += ahead[i].y * weight;
        output.z += ahead[i].z * weight;
        output.w += ahead[i].w * weight;
      }
    }
    if (to != nullptr) {
      *reinterpret_cast<float4*>(&to->output[row][dim]) = output;
      if (dim == 0) {
        to->largest[row] = found.largest[row];
        to->sum[row] = found.sum[row];
      }
      continue;
    }
    const float sum = found.sum[row];
    if (found.largest[row] == -INFINITY && sum == 0.0F) {
      const auto mean = [&](int at) { return mean_value<kType, kHeadDim>(args, tile, at); };
      output = {mean(dim), mean(dim + 1), mean(dim + 2), mean(dim + 3)};
    } else {
      output = {output.x / sum, output.y / sum, output.z / sum, output.w / sum};
    }
    const std::int64_t vector = std::int64_t{tile.token(row)} * args.num_heads + tile.head(row);
    *reinterpret_cast<float4*>(args.output + vector * kHeadDim + dim) = output;
  }
}

// True for the last block of a tile; the others' partials are visible to it then.
__device__ bool is_last_part(int* counter, int num_parts) {
  __shared__ bool last;
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0) {
    last = atomicAdd(counter, 1) == num_parts - 1;
    if (last) *counter = 0;  // as the next launch needs it
  }
  __syncthreads();
  __threadfence();
  return last;
}

// Brings a warp's first keys and values into the second cache, where those that the kernel before
// still writes stay right.
template <DType kType, int kHeadDim>
__device__ void prefetch_keys(const AttentionView& args, const Tile& tile, int first_key) {
  constexpr int kBytes = kKeys * KeyValues<kType, kHeadDim>::kRowVectors * 16;
  if (threadIdx.x % 32 != 0) return;
  const std::int64_t at = args.cache_row(tile.sequence, tile.kv_head, first_key) * (kBytes / kKeys);
  prefetch_bulk(static_cast<const char*>(args.keys) + at, kBytes);
  prefetch_bulk(static_cast<const char*>(args.values) + at, kBytes);
}

// What the rows of this lane see; begin and end: what any row of the tile does.
template <int kTiles>
__device__ Ranges<kTiles> find_ranges(const AttentionView& args, const Tile& tile, int& begin,
                                      int& end) {
  Ranges<kTiles> ranges;
  begin = tile.context_len;
  end = 0;
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = i * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + r;
      const bool used = tile.has(row);
      ranges.begin[i][r] = used ? args.key_begin[tile.token(row)] : 0;
      ranges.end[i][r] = used ? args.key_end[tile.token(row)] : 0;
      if (ranges.begin[i][r] >= ranges.end[i][r]) continue;
      begin = min(begin, ranges.begin[i][r]);
      end = max(end, ranges.end[i][r]);
    }
  }
  for (int step = 1; step < 4; step *= 2) {
    begin = min(begin, __shfl_xor_sync(kAllLanes, begin, step));
    end = max(end, __shfl_xor_sync(kAllLanes, end, step));
  }
  return ranges;
}

// Grid: x parts of the keys, y sequences and KV heads, z tiles of 8 kTiles rows.
template <DType kType, int kTiles, int kHeadDim>
__global__ void __launch_bounds__(kThreads, kTiles == 1 ? 2 : 1)
    streaming_attention_kernel(AttentionView args, Partial<8 * kTiles, kHeadDim>* partials,
                               int* counters) {
  constexpr int kRows = 8 * kTiles;
  using RowPartial = Partial<kRows, kHeadDim>;
  extern __shared__ uint4 shared[];
  __shared__ float row_scales[kRows];
  auto* quads = reinterpret_cast<SplitQuad*>(shared);
  auto* warp_parts = reinterpret_cast<RowPartial*>(quads + kHeadDim / 4 * kRows);
  const Tile tile = make_tile(args, kRows);
  // Sequences with more queries than the batch's most are another kernel's.
  if (!tile.has(0) || tile.num_queries > args.max_queries) return begin_kernel();
  int begin = 0;
  int end = 0;
  const Ranges<kTiles> ranges = find_ranges<kTiles>(args, tile, begin, end);
  // Parts of whole key groups, as even as can be.
  const int first_group = begin / kKeys;
  const std::int64_t num_groups = max(0, (end + kKeys - 1) / kKeys - first_group);
  const auto num_parts = static_cast<int>(gridDim.x);
  const auto part = static_cast<int>(blockIdx.x);
  const int part_begin = first_group + static_cast<int>(num_groups * part / num_parts);
  const int part_end = first_group + static_cast<int>(num_groups * (part + 1) / num_parts);
  const int own_group = part_begin + static_cast<int>(threadIdx.x) / 32;
  if (own_group < part_end) prefetch_keys<kType, kHeadDim>(args, tile, own_group * kKeys);
  begin_kernel();
  fill_queries<kType, kRows, kHeadDim>(args, tile, quads, row_scales);
  __syncthreads();

  Accumulator<kTiles, kHeadDim> acc = {};
#pragma unroll
  for (int i = 0; i < kTiles; ++i) acc.largest[i][0] = acc.largest[i][1] = -INFINITY;
  float scales[kTiles][2];
#pragma unroll
  for (int i = 0; i < kTiles; ++i) {
    const int row = i * 8 + static_cast<int>(threadIdx.x) % 4 * 2;
    scales[i][0] = row_scales[row];
    scales[i][1] = row_scales[row + 1];
  }
  for (int group = own_group; group < part_end; group += kWarps) {
    KeyValues<kType, kHeadDim> cached;
    cached.load(args, tile, group * kKeys, end);
#pragma unroll
    for (int i = 0; i < kTiles; ++i) {
      float scores[4];
      score_keys<kType, kHeadDim>(cached, quads, kRows, i * 8, scales[i], scores);
      hide<kTiles, kHeadDim>(args, tile, group * kKeys, ranges, i, scores);
      add_keys<kType, kTiles, kHeadDim>(cached, scores, i, acc);
    }
  }
  store<kType, kTiles, kHeadDim>(acc, warp_parts[threadIdx.x / 32]);
  __syncthreads();

  if (num_parts == 1) return merge<kType, kRows, kHeadDim>(args, tile, warp_parts, kWarps, nullptr);
  const std::int64_t tile_index = std::int64_t{blockIdx.z} * gridDim.y + blockIdx.y;
  RowPartial* parts = partials + tile_index * num_parts;
  merge<kType, kRows, kHeadDim>(args, tile, warp_parts, kWarps, parts + part);
  if (!is_last_part(counters + tile_index, num_parts)) return;
  merge<kType, kRows, kHeadDim>(args, tile, parts, num_parts, nullptr);
}

template <DType kType, int kTiles, int kHeadDim>
void launch(const AttentionArgs& args, Context& context) {
  constexpr int kRows = 8 * kTiles;
  using RowPartial = Partial<kRows, kHeadDim>;
  const AttentionView view = attention_view(args);
  const std::int64_t group = view.num_heads / view.num_kv_heads;
  const std::int64_t row_tiles = (args.max_queries * group + kRows - 1) / kRows;
  const std::int64_t heads = std::int64_t{view.num_seqs} * view.num_kv_heads;
  // As many blocks as the device holds at once, two on a multiprocessor, each with at least a key
  // group for every warp.
  const std::int64_t wanted = 2 * context.num_sms / (heads * row_tiles);
  const std::int64_t most = std::min<std::int64_t>(
      (args.max_context_len + kWarps * kKeys - 1) / (kWarps * kKeys), kMaxParts);
  const std::int64_t parts = std::clamp<std::int64_t>(wanted, 1, most);
  RowPartial* partials = nullptr;
  int* counters = nullptr;
  if (parts > 1) {
    const auto tiles = static_cast<std::size_t>(heads * row_tiles);
    partials = context.attention_partials.get<RowPartial>(tiles * static_cast<std::size_t>(parts));
    counters = context.attention_counters.get_zeroed<int>(tiles, context.stream);
  }
  const int num_bytes = static_cast<int>(sizeof(SplitQuad)) * kHeadDim / 4 * kRows +
                        kWarps * static_cast<int>(sizeof(RowPartial));
  const auto kernel = streaming_attention_kernel<kType, kTiles, kHeadDim>;
  allow_shared_memory(kernel, num_bytes);
  const dim3 grid(static_cast<unsigned>(parts), static_cast<unsigned>(heads),
                  static_cast<unsigned>(row_tiles));
  launch_kernel(context, kernel, grid, kThreads, num_bytes, view, partials, counters);
}

template <DType kType, int kHeadDim>
void launch_rows(const AttentionArgs& args, Context& context) {
  const std::int64_t group = args.q.shape[1] / args.cache.num_kv_heads();
  if (args.max_queries * group <= 8) return launch<kType, 1, kHeadDim>(args, context);
  launch<kType, 2, kHeadDim>(args, context);
}

}  // namespace

bool fits_streaming_attention(const AttentionArgs& args, const Context& context) {
  const std::int64_t head_dim = args.cache.head_dim();
  constexpr std::int64_t kMaxGrid = 65535;
  const std::int64_t group = args.q.shape[1] / args.cache.num_kv_heads();
  const KvFormat format = args.cache.format;
  const bool has_kernel =
      (format == KvFormat::kBF16 && (head_dim == 64 || head_dim == 128)) ||
      (format == KvFormat::kF8E4M3 && head_dim == 128 && context.has_bulk_copies);
  return has_kernel && is_aligned(args.cache.keys.data) && is_aligned(args.cache.values.data) &&
         args.cache.block_size() % kKeys == 0 && !args.mask.present() && args.dropout == 0.0F &&
         !args.probabilities.present() && args.max_queries * group / 8 < kMaxGrid &&
         args.context_lens.shape[0] * args.cache.num_kv_heads() <= kMaxGrid;
}

void streaming_attention(const AttentionArgs& args, Context& context) {
  if (args.cache.format == KvFormat::kF8E4M3) return f8_attention(args, context);
  if (args.cache.head_dim() == 64) return launch_rows<DType::kBF16, 64>(args, context);
  launch_rows<DType::kBF16, 128>(args, context);
}

}  // namespace m2::cuda
