// Attention of a decode step over a short context, where latency counts: a block has one sequence,
// one KV head and a part of the keys, and the parts of a head are a cluster. A block norms and
// rotates the head's queries itself, while the keys that were there before are on their way; a warp
// of the part with the last key makes the new key and value, too. Each row of queries is finished
// by one block, into whose shared memory the others store their parts of it. The factor of the norm
// meets the scores, so that no query waits for the sum of squares, which the cluster's blocks
// share.
//
// What a block reads after its wait comes late behind weights that the next kernel asks for: so it
// reads 6 KB and releases that kernel afterwards, which is 1.2 us better than before (one sequence
// of 1,030 keys beside copies of the output projection's weights, H200).
#pragma once

#include "cuda/decode_rows.cuh"
#include "cuda/launch.cuh"

namespace m2::cuda {

template <DType kType>
struct DecodeShared {
  SplitQuad queries[kDecodeRows * kDecodeDim / 4];
  float row_scales[kDecodeRows];
  float squares[kMostDecodeParts * kKeyWarp];  // of q
  float key_squares[kDecodeWarps];
  uint4 new_key[kDecodeDim * 2 / 16];
  uint4 new_value[kDecodeDim * 2 / 16];
  RowPart row_parts[2 * kDecodeRows];  // [rows of the block, parts]
  std::uint64_t squares_barrier;       // squares are there
  std::uint64_t rows_barrier;          // row_parts are there
  WarpRows<kType> warps[kDecodeWarps];
};

template <DType kType>
class DecodePart {
 public:
  using Cached = KeyValues<kType, kDecodeDim>;

  __device__ DecodePart(const DecodeAttention& args, DecodeShared<kType>& shared)
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
    const unsigned num_groups = max(0, (end_ + kKeys - 1) / kKeys - first_group);
    const auto parts = static_cast<unsigned>(args.parts);
    // The first parts are the larger ones: the last one has the new key to make.
    const auto begin_of = [&](int part) {
      return first_group + static_cast<int>((num_groups * part + parts - 1) / parts);
    };
    part_begin_ = begin_of(part_);
    const int part_end = begin_of(part_ + 1);
    group_ = part_end - kDecodeWarps + warp();
    appends_ = part_end > part_begin_ && part_end == first_group + static_cast<int>(num_groups);
  }

  __device__ void run() {
    if (args_.parts > 1) expect_cluster();
    // While q, k and v are still made.
    const HeadRotation rotation(args_, tile_.sequence);
    const int head = tile_.kv_head * tile_.group + min(warp(), tile_.group - 1);
    const bool makes_key = appends_ && warp() == kKeyWarp;
    const float4 query_weight = weights_of(args_.q_weight, head);
    const float4 key_weight = weights_of(args_.k_weight, tile_.kv_head);
    NewToken token = {};
    if (makes_key) token.row = new_row();
    if (has_keys()) load();
    if (args_.parts > 1) await_cluster();
    await_earlier_kernels();
    if (makes_key) token.load(args_, tile_);
    make_queries(rotation, query_weight, head);
    release_next_kernel();
    __syncthreads();
    if (makes_key) append(token, rotation, key_weight);
    attend();
    __syncthreads();
    if (warp() < tile_.group) finish_row(head);
    // No block may end while squares are still on their way to it.
    if (args_.parts > 1 && warp() == kKeyWarp) await_squares();
  }

 private:
  static constexpr float kLog2E = 1.4426950408889634F;
  static constexpr int kRowVectors = Cached::kRowVectors;

  // A lane's quads of the new key and value, as the products gave them, and their row of the cache.
  struct NewToken {
    std::int64_t row;  // in units of uint4
    float4 key;
    float4 value;

    __device__ void load(const DecodeAttention& args, const Tile& tile) {
      const std::int64_t head = std::int64_t{tile.sequence} * args.view.num_kv_heads + tile.kv_head;
      key = load_quad_of(args.k, head * (kDecodeDim / 4) + lane());
      value = load_quad_of(args.v, head * (kDecodeDim / 4) + lane());
    }
  };

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }

  // Warps take the groups from the last one backwards, so that the key warp has the new key.
  [[nodiscard]] __device__ bool has_keys() const { return group_ >= part_begin_; }
  __device__ void load() { cached_.load(args_.view, tile_, group_ * kKeys, end_); }

  // What comes from the cluster's blocks, this one among them.
  __device__ void expect_cluster() {
    if (threadIdx.x == 0) {
      const std::uint32_t squares = shared_address(&shared_.squares_barrier);
      const std::uint32_t rows = shared_address(&shared_.rows_barrier);
      init_barrier(squares, 1);
      init_barrier(rows, 1);
      fence_barriers();
      arrive_expecting(squares, args_.parts * kKeyWarp * static_cast<int>(sizeof(float)));
      const int num_rows = (tile_.group - 1 - part_ + args_.parts) / args_.parts;
      arrive_expecting(rows, num_rows * args_.parts * kRowPartBytes);
    }
    __syncwarp();
    announce_to_cluster();
  }
  __device__ void await_squares() const {
    await_phase(shared_address(&shared_.squares_barrier), 0);
  }

  // Of the new key.
  [[nodiscard]] __device__ std::int64_t new_row() const {
    const AttentionView& view = args_.view;
    const std::int64_t slot = args_.slot_mapping[tile_.sequence];
    const std::int64_t block = slot / view.block_size;
    const std::int64_t row = (block * view.num_kv_heads + tile_.kv_head) * view.block_size +
                             (slot - block * view.block_size);
    return row * kRowVectors;
  }

  // A warp has a row, and shares of the squares of all queries and, in the part that makes the new
  // key, of all keys.
  __device__ void make_queries(const HeadRotation& rotation, float4 weight, int head) {
    const int quads = args_.view.num_heads * kDecodeDim / 4;
    const float* q = args_.view.q + std::int64_t{tile_.sequence} * 4 * quads;
    float4 x = {};
    if (warp() < tile_.group) x = load_quad_of(q, head * (kDecodeDim / 4) + lane());
    float squares = 0.0F;
    if (warp() != kKeyWarp) {
      squares = squares_of_row(q, quads, part_ * 32 * kKeyWarp, args_.parts * 32 * kKeyWarp);
    }
    if (appends_) {
      const int key_quads = args_.view.num_kv_heads * kDecodeDim / 4;
      const float* k = args_.k + std::int64_t{tile_.sequence} * 4 * key_quads;
      const float sum = sum_of_warp(squares_of_row(k, key_quads, 0, kDecodeThreads));
      if (lane() == 0) shared_.key_squares[warp()] = sum;
    }
    if (warp() < kDecodeRows) store_query(rotation.rotated(weighted(x, weight)));
    if (warp() != kKeyWarp) share_squares(sum_of_warp(squares));
  }

  // Of the quads first + the thread's index, that + step .. of a row.
  __device__ static float squares_of_row(const float* row, int quads, int first, int step) {
    const auto square = [&](int i) { return i < quads ? squares_of(load_quad_of(row, i)) : 0.0F; };
    float sum = 0.0F;
#pragma unroll 1
    for (int i = first + static_cast<int>(threadIdx.x); i < quads; i += 2 * step) {
      sum += square(i) + square(i + step);
    }
    return sum;
  }
  // With all blocks of the cluster, a lane each.
  __device__ void share_squares(float sum) {
    float* place = &shared_.squares[part_ * kKeyWarp + warp()];
    if (args_.parts == 1) {
      if (lane() == 0) *place = sum;
    } else if (lane() < args_.parts) {
      store_in_cluster(address_in_cluster(shared_address(place), lane()), sum,
                       address_in_cluster(shared_address(&shared_.squares_barrier), lane()));
    }
  }

  // Rows beyond the group are zeros.
  __device__ void store_query(float4 q) {
    PowerScale power = {1.0F, 1.0F};
    if constexpr (kType == DType::kF8E4M3) {
      const float largest = fmaxf(fmaxf(fabsf(q.x), fabsf(q.y)), fmaxf(fabsf(q.z), fabsf(q.w)));
      power = scale_above(__uint_as_float(__reduce_max_sync(kAllLanes, __float_as_uint(largest))));
      q = {q.x * power.inverse, q.y * power.inverse, q.z * power.inverse, q.w * power.inverse};
    }
    shared_.queries[quad_place<kType>(lane(), kDecodeRows, warp())] = split_quad<kIsBf16<kType>>(q);
    if (lane() == 0) shared_.row_scales[warp()] = args_.view.scale * kLog2E * power.scale;
  }

  // The new key and value, into the cache and the keys that the warp has loaded. By the key warp.
  __device__ void append(const NewToken& token, const HeadRotation& rotation, float4 weight) {
    const AttentionView& view = args_.view;
    float squares = 0.0F;
#pragma unroll
    for (const float share : shared_.key_squares) squares += share;
    const float factor = norm_factor(squares, view.num_kv_heads * kDecodeDim, args_.eps);
    const float4 x = token.key;
    const float4 normed = {x.x * factor, x.y * factor, x.z * factor, x.w * factor};
    write_cached<kType>(shared_.new_key, rotation.rotated(weighted(normed, weight)));
    write_cached<kType>(shared_.new_value, token.value);
    __syncwarp();
    if (lane() < kRowVectors) {
      const auto write = [&](const void* cache, const uint4* from) {
        static_cast<uint4*>(const_cast<void*>(cache))[token.row + lane()] = from[lane()];
      };
      write(view.keys, shared_.new_key);
      write(view.values, shared_.new_value);
    }
    if (group_ == (tile_.context_len - 1) / kKeys) put_new(tile_.context_len - 1 - group_ * kKeys);
  }

  // In place of row `row` of the group, and of what follows it.
  __device__ void put_new(int row) {
#pragma unroll
    for (int i = 0; i < kRowVectors / 4; ++i) {
      const uint4 key = shared_.new_key[lane() % 4 + i * 4];
      if (lane() / 4 >= row) cached_.upper_keys[i] = key;
      if (lane() / 4 + 8 >= row) cached_.lower_keys[i] = key;
    }
#pragma unroll
    for (int half = 0; half < kRowVectors / 8; ++half) {
      const uint4 value = shared_.new_value[lane() / 4 + half * 8];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (lane() % 4 * 2 + i % 2 + i / 2 * 8 >= row) cached_.values[i][half] = value;
      }
    }
  }

  // The warp's keys, sixteen at a time, into its sums.
  __device__ void attend() {
    Accumulator<1, kDecodeDim> acc = {};
    acc.largest[0][0] = acc.largest[0][1] = -INFINITY;
    if (has_keys()) {
      float scores[4];
      multiply_keys<kType, kDecodeDim, 4>(cached_, shared_.queries, kDecodeRows, 0, scores);
      const float factor = query_factor();
      const int row = lane() % 4 * 2;
      const float scales[2] = {shared_.row_scales[row] * factor,
                               shared_.row_scales[row + 1] * factor};
      add(scores, scales, acc);
      while (has_keys()) {
        load();
        multiply_keys<kType, kDecodeDim, 4>(cached_, shared_.queries, kDecodeRows, 0, scores);
        add(scores, scales, acc);
      }
    }
    shared_.warps[warp()].store(acc);
  }

  __device__ void add(float (&scores)[4], const float (&scales)[2],
                      Accumulator<1, kDecodeDim>& acc) {
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[i] *= scales[i % 2];
    hide_outside(scores);
    add_keys<kType, 1, kDecodeDim>(cached_, scores, 0, acc);
    group_ -= kDecodeWarps;
  }

  // Of the norm of all queries.
  [[nodiscard]] __device__ float query_factor() const {
    if (args_.parts > 1) await_squares();
    float sum = 0.0F;
#pragma unroll
    for (int i = 0; i < (kMostDecodeParts * kKeyWarp + 31) / 32; ++i) {
      const int at = i * 32 + lane();
      if (at < args_.parts * kKeyWarp) sum += shared_.squares[at];
    }
    return norm_factor(sum_of_warp(sum), args_.view.num_heads * kDecodeDim, args_.eps);
  }

  // What the rows do not see of the group.
  __device__ void hide_outside(float (&scores)[4]) const {
    const int first_key = group_ * kKeys;
    if (first_key >= begin_ && first_key + kKeys <= end_) return;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int key = first_key + lane() / 4 + half * 8;
      if (key >= begin_ && key < end_) continue;
      scores[2 * half] = scores[2 * half + 1] = -INFINITY;
    }
  }

  // Sums the warps' parts of a row, then, where the row belongs, those of all blocks. By one warp.
  __device__ void finish_row(int head) {
    using WarpsRow = MergedRow<kDecodeWarps>;
    using BlocksRow = MergedRow<kMostDecodeParts>;
    const int row = warp();
    const int parts = args_.parts;
    float* output = args_.view.output +
                    (std::int64_t{tile_.sequence} * args_.view.num_heads + head) * kDecodeDim;
    const int of_lane = min(lane() % WarpsRow::kLanes, kDecodeWarps - 1);
    const WarpsRow merged(shared_.warps[of_lane].scales[row], kDecodeWarps,
                          [&](int w) { return shared_.warps[w].quad(row, lane()); });
    if (parts == 1) return merged.write(output);
    RowPart* places = &shared_.row_parts[row / parts * parts];
    merged.send(places[part_], shared_.rows_barrier, row % parts);
    if (row % parts != part_) return;
    await_phase(shared_address(&shared_.rows_barrier), 0);
    BlocksRow(places[min(lane() % BlocksRow::kLanes, parts - 1)].scale, parts, [&](int part) {
      return places[part].quads[lane()];
    }).write(output);
  }

  const DecodeAttention& args_;
  DecodeShared<kType>& shared_;
  Tile tile_{};
  int part_;
  int begin_ = 0;
  int end_ = 0;
  int group_ = 0;       // sixteen keys, the warp's next
  int part_begin_ = 0;  // the part's first group
  bool appends_;        // the part makes the new key
  Cached cached_;
};

}  // namespace m2::cuda
