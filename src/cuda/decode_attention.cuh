// Attention of a decode step over a short context, where latency counts: a block has one sequence,
// one KV head and a part of the keys. It norms and rotates the head's queries itself, while the
// keys that were there before are on their way; the block with the last part writes the new key and
// value, too.
#pragma once

#include "cuda/key_products.cuh"
#include "cuda/token_rows.cuh"
#include "ops/kv_cache_view.h"

namespace m2::cuda {

constexpr int kDecodeDim = 128;  // of a head
constexpr int kDecodeRows = 8;   // query heads of a KV head, at most
constexpr int kDecodeThreads = 32 * kStreamWarps;
constexpr int kMostDecodeParts = 32;  // of the keys

using DecodePartial = Partial<kDecodeRows, kDecodeDim>;

struct DecodeAttention {
  AttentionView view;  // q: [T, Nq * D], as the product gives it
  const float* k;      // [T, Nkv * D], likewise
  const float* v;
  const float* q_weight;
  const float* k_weight;
  const float* cos;  // [T, half]
  const float* sin;
  int half;
  float eps;
  const std::int64_t* slot_mapping;  // [T]
  DecodePartial* partials;           // [T, Nkv, parts]
  int* part_counters;                // [T, Nkv]: 0 before and after
  int parts;
};

struct DecodeShared {
  SplitQuad quads[kDecodeRows * kDecodeDim / 4];
  float row_scales[kDecodeRows];
  float2 squares[kStreamWarps];  // of q and of k
  alignas(16) DecodePartial partials[kStreamWarps];
  int last;
};

__device__ inline float4 load_quad_of(const float* values, std::int64_t quad) {
  return __ldcg(reinterpret_cast<const float4*>(values) + quad);
}
__device__ inline float squares_of(const float* row, int width) {
  float sum = 0.0F;
#pragma unroll 4
  for (int i = static_cast<int>(threadIdx.x); i < width / 4; i += kDecodeThreads) {
    const float4 x = load_quad_of(row, i);
    sum += x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w;
  }
  return sum_of_warp(sum);
}

// Four neighbouring dimensions of a head, a lane each; the partner of a rotated one is half / 4
// lanes away.
struct HeadQuad {
  float4 x;
  float4 weight;

  __device__ HeadQuad(const float* values, const float* weights, std::int64_t first, int head) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    x = load_quad_of(values + first + head * kDecodeDim, lane);
    weight = __ldg(reinterpret_cast<const float4*>(weights + head * kDecodeDim) + lane);
  }

  __device__ float4 rotated(const DecodeAttention& args, int token, float factor) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int partner = args.half / 4;
    const float4 own = {weight.x * (x.x * factor), weight.y * (x.y * factor),
                        weight.z * (x.z * factor), weight.w * (x.w * factor)};
    const bool rotates = lane < 2 * partner;
    const int from = rotates ? lane ^ partner : lane;
    const float4 other = {__shfl_sync(kAllLanes, own.x, from), __shfl_sync(kAllLanes, own.y, from),
                          __shfl_sync(kAllLanes, own.z, from), __shfl_sync(kAllLanes, own.w, from)};
    if (!rotates) return own;
    const std::int64_t at = std::int64_t{token} * args.half + lane % partner * 4;
    const float4 c = __ldg(reinterpret_cast<const float4*>(args.cos + at));
    float4 s = __ldg(reinterpret_cast<const float4*>(args.sin + at));
    // The low half of a pair subtracts its partner's part, the high half adds it.
    if (lane < partner) s = {-s.x, -s.y, -s.z, -s.w};
    return {own.x * c.x + other.x * s.x, own.y * c.y + other.y * s.y, own.z * c.z + other.z * s.z,
            own.w * c.w + other.w * s.w};
  }
};

// A lane's four numbers of a new key or value [D].
template <DType kType>
__device__ void write_cached(void* row, float4 x) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (kType == DType::kF8E4M3) {
    const auto low = __nv_cvt_float2_to_fp8x2({x.x, x.y}, __NV_SATFINITE, __NV_E4M3);
    const auto high = __nv_cvt_float2_to_fp8x2({x.z, x.w}, __NV_SATFINITE, __NV_E4M3);
    static_cast<std::uint32_t*>(row)[lane] = low | std::uint32_t{high} << 16U;
  } else {
    const __nv_bfloat162 pairs[2] = {__floats2bfloat162_rn(x.x, x.y),
                                     __floats2bfloat162_rn(x.z, x.w)};
    static_cast<uint2*>(row)[lane] = reinterpret_cast<const uint2&>(pairs);
  }
}

// By one warp for a row: its partials, one after the other, as they count. The largest score and
// the sum are the same in all lanes.
struct MergedRow {
  float4 output = {};
  float largest;
  float sum;

  __device__ MergedRow(const DecodePartial* parts, int count, int row) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const bool used = lane < count;
    const float score = used ? parts[lane].largest[row] : -INFINITY;
    const float own_sum = used ? parts[lane].sum[row] : 0.0F;
    largest = score;
    for (int step = 16; step > 0; step /= 2) {
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, step));
    }
    const float own_weight = weight_of(score, largest);
    sum = sum_of_warp(own_sum * own_weight);
#pragma unroll 8
    for (int part = 0; part < count; ++part) {
      const float4 x = *reinterpret_cast<const float4*>(&parts[part].output[row][4 * lane]);
      const float weight = __shfl_sync(kAllLanes, own_weight, part);
      output = {output.x + x.x * weight, output.y + x.y * weight, output.z + x.z * weight,
                output.w + x.w * weight};
    }
  }

  __device__ void store(DecodePartial& to, int row) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    *reinterpret_cast<float4*>(&to.output[row][4 * lane]) = output;
    if (lane != 0) return;
    to.largest[row] = largest;
    to.sum[row] = sum;
  }
  // A row that saw no key is zeros.
  __device__ void write(float* to) const {
    const float inverse = sum == 0.0F ? 0.0F : 1.0F / sum;
    reinterpret_cast<float4*>(to)[threadIdx.x % 32] = {output.x * inverse, output.y * inverse,
                                                       output.z * inverse, output.w * inverse};
  }
};

template <DType kType>
class DecodePart {
 public:
  using Cached = KeyValues<kType, kDecodeDim>;

  __device__ DecodePart(const DecodeAttention& args, DecodeShared& shared)
      : args_(args), shared_(shared) {
    const AttentionView& view = args.view;
    const int head = static_cast<int>(blockIdx.x) / args.parts;
    part_ = static_cast<int>(blockIdx.x) - head * args.parts;
    const int sequence = head / view.num_kv_heads;
    tile_ = {.sequence = sequence,
             .kv_head = head % view.num_kv_heads,
             .first_token = sequence,
             .num_queries = 1,
             .context_len = view.context_lens[sequence],
             .group = view.num_heads / view.num_kv_heads,
             .first_row = 0};
    begin_ = view.key_begin[sequence];
    end_ = view.key_end[sequence];
    const int first_group = begin_ / kKeys;
    const std::int64_t num_groups = max(0, (end_ + kKeys - 1) / kKeys - first_group);
    group_ = first_group + static_cast<int>(num_groups * part_ / args.parts) + warp();
    group_end_ = first_group + static_cast<int>(num_groups * (part_ + 1) / args.parts);
  }

  /// While q, k and v are still made: the warp's first keys, if none of them is new.
  __device__ void load_first() {
    if (group_ < group_end_ && !has_new_key()) load(group_);
  }

  /// When all of q, k and v is there.
  __device__ void run() {
    make_queries();
    sync_stream_warps();
    attend();
    sync_stream_warps();
    finish();
  }

 private:
  static constexpr float kLog2E = 1.4426950408889634F;

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }

  // Whether the group that the warp takes first has the key that this step writes.
  [[nodiscard]] __device__ bool has_new_key() const {
    return group_ == (tile_.context_len - 1) / kKeys;
  }

  __device__ void load(int group) { cached_.load(args_.view, tile_, group * kKeys, end_); }

  // Queries into shared memory, the new key and value into the cache. A warp has a row.
  __device__ void make_queries() {
    const AttentionView& view = args_.view;
    const int token = tile_.sequence;
    const std::int64_t q_row = std::int64_t{token} * view.num_heads * kDecodeDim;
    const std::int64_t k_row = std::int64_t{token} * view.num_kv_heads * kDecodeDim;
    const bool appends = part_ == args_.parts - 1;
    const bool is_key = appends && warp() == kDecodeRows;
    const bool is_value = appends && warp() == kDecodeRows + 1;
    const int row = min(warp(), tile_.group - 1);
    const HeadQuad own(is_key ? args_.k : view.q, is_key ? args_.k_weight : args_.q_weight,
                       is_key ? k_row : q_row,
                       is_key ? tile_.kv_head : tile_.kv_head * tile_.group + row);
    const float q_squares = squares_of(view.q + q_row, view.num_heads * kDecodeDim);
    const float k_squares =
        appends ? squares_of(args_.k + k_row, view.num_kv_heads * kDecodeDim) : 0.0F;
    if (lane() == 0) shared_.squares[warp()] = {q_squares, k_squares};
    if (is_value) {
      write_cached<kType>(cached_row(view.values),
                          load_quad_of(args_.v + k_row + tile_.kv_head * kDecodeDim, lane()));
    }
    sync_stream_warps();
    float2 sum = {};
#pragma unroll
    for (const float2& share : shared_.squares) sum = {sum.x + share.x, sum.y + share.y};
    const float total = is_key ? sum.y : sum.x;
    const int width = (is_key ? view.num_kv_heads : view.num_heads) * kDecodeDim;
    const float factor = 1.0F / sqrtf(total / static_cast<float>(width) + args_.eps);
    const float4 rotated = own.rotated(args_, token, factor);
    if (is_key) write_cached<kType>(cached_row(view.keys), rotated);
    if (warp() < kDecodeRows) store_query(rotated);
  }

  [[nodiscard]] __device__ void* cached_row(const void* cache) const {
    const AttentionView& view = args_.view;
    const std::int64_t slot = args_.slot_mapping[tile_.sequence];
    const std::int64_t row =
        (slot / view.block_size * view.num_kv_heads + tile_.kv_head) * view.block_size +
        slot % view.block_size;
    constexpr int kBytes = Cached::kRowVectors * 16;
    return static_cast<char*>(const_cast<void*>(cache)) + row * kBytes;
  }

  // Rows beyond the group are zeros.
  __device__ void store_query(float4 q) {
    if (warp() >= tile_.group) q = {};
    PowerScale power = {1.0F, 1.0F};
    if constexpr (kType == DType::kF8E4M3) {
      const float largest = fmaxf(fmaxf(fabsf(q.x), fabsf(q.y)), fmaxf(fabsf(q.z), fabsf(q.w)));
      power = scale_above(__uint_as_float(__reduce_max_sync(kAllLanes, __float_as_uint(largest))));
      q = {q.x * power.inverse, q.y * power.inverse, q.z * power.inverse, q.w * power.inverse};
    }
    shared_.quads[quad_place<kType>(lane(), kDecodeRows, warp())] = split_quad<kIsBf16<kType>>(q);
    if (lane() == 0) shared_.row_scales[warp()] = args_.view.scale * kLog2E * power.scale;
  }

  // The warp's keys, sixteen at a time, into its partial sums.
  __device__ void attend() {
    Accumulator<1, kDecodeDim> acc = {};
    acc.largest[0][0] = acc.largest[0][1] = -INFINITY;
    const int row = lane() % 4 * 2;
    const float scales[2] = {shared_.row_scales[row], shared_.row_scales[row + 1]};
    bool loaded = !has_new_key();
    Ranges<1> ranges;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      ranges.begin[0][r] = begin_;
      ranges.end[0][r] = end_;
    }
    for (int group = group_; group < group_end_; group += kStreamWarps) {
      if (!loaded) load(group);
      loaded = false;
      float scores[4];
      score_keys<kType, kDecodeDim>(cached_, shared_.quads, kDecodeRows, 0, scales, scores);
      hide<1, kDecodeDim>(args_.view, tile_, group * kKeys, ranges, 0, scores);
      add_keys<kType, 1, kDecodeDim>(cached_, scores, 0, acc);
    }
    store(acc, shared_.partials[warp()]);
  }

  __device__ static void store(const Accumulator<1, kDecodeDim>& acc, DecodePartial& to) {
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      float sum = acc.sum[0][r];
      for (int step = 4; step < 32; step *= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
      const int row = lane() % 4 * 2 + r;
      if (lane() / 4 == 0) {
        to.largest[row] = acc.largest[0][r];
        to.sum[row] = sum;
      }
#pragma unroll
      for (int i = 0; i < kDecodeDim / 16; ++i) {
        const int dim = output_dim<kType, kDecodeDim>(i);
        *reinterpret_cast<float2*>(&to.output[row][dim]) = {acc.output[0][i][r],
                                                            acc.output[0][i][2 + r]};
      }
    }
  }

  // Sums the warps' partials, then, in the head's last block, those of all blocks.
  __device__ void finish() {
    const int head = static_cast<int>(blockIdx.x) / args_.parts;
    DecodePartial* parts = args_.partials + std::int64_t{head} * args_.parts;
    const bool has_row = warp() < tile_.group;
    float* output =
        args_.view.output +
        (std::int64_t{tile_.sequence} * args_.view.num_heads + tile_.head(warp())) * kDecodeDim;
    if (has_row) {
      const MergedRow merged(shared_.partials, kStreamWarps, warp());
      if (args_.parts == 1) {
        merged.write(output);
      } else {
        merged.store(parts[part_], warp());
      }
    }
    if (args_.parts == 1) return;
    __threadfence();
    sync_stream_warps();
    if (threadIdx.x == 0) {
      int* counter = args_.part_counters + head;
      const bool last = atomicAdd(counter, 1) == args_.parts - 1;
      if (last) *counter = 0;
      shared_.last = last ? 1 : 0;
      __threadfence();
    }
    sync_stream_warps();
    if (shared_.last == 0 || !has_row) return;
    MergedRow(parts, args_.parts, warp()).write(output);
  }

  const DecodeAttention& args_;
  DecodeShared& shared_;
  Tile tile_{};
  int part_;
  int begin_ = 0;
  int end_ = 0;
  int group_ = 0;      // sixteen keys; the warp's first
  int group_end_ = 0;  // of the part
  Cached cached_;
};

}  // namespace m2::cuda
