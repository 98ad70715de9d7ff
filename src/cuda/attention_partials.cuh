// What f8_attention's warps and blocks have summed, and how it becomes one: warps of a block
// in shared memory, parts of the keys in device memory.
#pragma once

#include "cuda/attention_rows.cuh"
#include "cuda/key_ring.cuh"

namespace m2::cuda {

constexpr int kMostPartials = 64;  // of a tile
constexpr int kMergingThreads = 32 * kKeyWarps;

/// A barrier of the warps that multiply.
__device__ inline void sync_key_warps() {
  asm volatile("bar.sync 1, %0;" ::"n"(kMergingThreads) : "memory");
}

// Unnormalised sums over some keys, as the lanes of a warp hold them.
template <int kTiles, int kHeadDim>
struct LanePartial {
  float4 rows[kTiles][4];  // of two rows: largest scores in units of log2, sums
  float4 output[kTiles][kHeadDim / 16][32];
};

// A warp's sums into shared memory.
template <int kTiles, int kHeadDim>
__device__ void store_sums(const Accumulator<kTiles, kHeadDim>& acc,
                           LanePartial<kTiles, kHeadDim>& to) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    float sums[2] = {acc.sum[tile][0], acc.sum[tile][1]};
    for (int step = 4; step < 32; step *= 2) {
      sums[0] += __shfl_xor_sync(kAllLanes, sums[0], step);
      sums[1] += __shfl_xor_sync(kAllLanes, sums[1], step);
    }
    if (lane < 4) {
      to.rows[tile][lane] = {acc.largest[tile][0], acc.largest[tile][1], sums[0], sums[1]};
    }
#pragma unroll
    for (int i = 0; i < kHeadDim / 16; ++i) {
      const float(&output)[4] = acc.output[tile][i];
      to.output[tile][i][lane] = {output[0], output[1], output[2], output[3]};
    }
  }
}

// mean_value(), which is seldom needed, out of the way of the code around.
template <DType kType, int kHeadDim>
__device__ __noinline__ float rare_mean_value(const AttentionView& args, Tile tile, int dim) {
  return mean_value<kType, kHeadDim>(args, tile, dim);
}

// A thread's share of the sum of partials, in their order: four outputs of two rows, which are
// relative to their largest scores.
struct MergedPair {
  float largest[2] = {-INFINITY, -INFINITY};
  float sum[2] = {};
  float4 output = {};

  // Finds the largest scores of `count` partials from their rows.
  template <typename RowsOf>
  __device__ void find_largest(int count, const RowsOf& rows_of) {
#pragma unroll 8
    for (int part = 0; part < count; ++part) {
      const float4 rows = rows_of(part);
      largest[0] = fmaxf(largest[0], rows.x);
      largest[1] = fmaxf(largest[1], rows.y);
    }
  }
  __device__ void add(float4 rows, float4 part) {
    const float weights[2] = {weight_of(rows.x, largest[0]), weight_of(rows.y, largest[1])};
    sum[0] += rows.z * weights[0];
    sum[1] += rows.w * weights[1];
    output.x += part.x * weights[0];
    output.y += part.y * weights[1];
    output.z += part.z * weights[0];
    output.w += part.w * weights[1];
  }
};

// Which share: in the order of LanePartial::output.
template <int kHeadDim>
struct PairPlace {
  int tile;
  int i;
  int lane;
  __device__ explicit PairPlace(int index)
      : tile(index / (2 * kHeadDim)), i(index / 32 % (kHeadDim / 16)), lane(index % 32) {}
  [[nodiscard]] __device__ int column() const { return lane % 4; }
  [[nodiscard]] __device__ int row() const { return tile * 8 + column() * 2; }
};

template <DType kType, int kHeadDim>
__device__ void write(const AttentionView& args, const Tile& tile, const PairPlace<kHeadDim>& place,
                      const MergedPair& merged) {
  const int dim = output_dim<kType, kHeadDim>(place.i);  // of this lane, which is the place's
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int row = place.row() + r;
    if (!tile.has(row)) continue;
    float2 output = r == 0 ? float2{merged.output.x, merged.output.z}
                           : float2{merged.output.y, merged.output.w};
    if (merged.largest[r] == -INFINITY && merged.sum[r] == 0.0F) {
      output = {rare_mean_value<kType, kHeadDim>(args, tile, dim),
                rare_mean_value<kType, kHeadDim>(args, tile, dim + 1)};
    } else {
      const float inverse = 1.0F / merged.sum[r];
      output = {output.x * inverse, output.y * inverse};
    }
    const std::int64_t vector = std::int64_t{tile.token(row)} * args.num_heads + tile.head(row);
    *reinterpret_cast<float2*>(args.output + vector * kHeadDim + dim) = output;
  }
}

// The block's warps: into `to`, or the output without one.
template <DType kType, int kTiles, int kHeadDim>
__device__ void merge_warps(const AttentionView& args, const Tile& tile,
                            const LanePartial<kTiles, kHeadDim>* warps,
                            LanePartial<kTiles, kHeadDim>* to) {
  for (int index = threadIdx.x; index < kTiles * 2 * kHeadDim; index += kMergingThreads) {
    const PairPlace<kHeadDim> place(index);
    const auto rows_of = [&](int warp) { return warps[warp].rows[place.tile][place.column()]; };
    MergedPair merged;
    merged.find_largest(kKeyWarps, rows_of);
#pragma unroll
    for (int warp = 0; warp < kKeyWarps; ++warp) {
      merged.add(rows_of(warp), warps[warp].output[place.tile][place.i][place.lane]);
    }
    if (to == nullptr) {
      write<kType>(args, tile, place, merged);
      continue;
    }
    to->output[place.tile][place.i][place.lane] = merged.output;
    if (place.i == 0 && place.lane < 4) {
      to->rows[place.tile][place.lane] = {merged.largest[0], merged.largest[1], merged.sum[0],
                                          merged.sum[1]};
    }
  }
}

// A tile's parts, into the output. What the threads sum is on its way before they know how much it
// counts; `rows` is shared memory. Loads have no conditions, so that they go together.
template <DType kType, int kTiles, int kHeadDim>
__device__ void merge_parts(const AttentionView& args, const Tile& tile,
                            const LanePartial<kTiles, kHeadDim>* parts, int count, float4* rows) {
  constexpr int kAhead = 16;
  float4 ahead[kAhead];
  const auto load = [&](const PairPlace<kHeadDim>& place, int from) {
#pragma unroll
    for (int i = 0; i < kAhead; ++i) {
      const auto& part = parts[min(from + i, count - 1)];
      ahead[i] = __ldcg(&part.output[place.tile][place.i][place.lane]);
    }
  };
  constexpr int kPartRows = kTiles * 4;
  const int last_row = count * kPartRows - 1;
  const auto load_row = [&](int index) {
    const int i = min(index, last_row);
    return __ldcg(&parts[i / kPartRows].rows[i / 4 % kTiles][i % 4]);
  };
  const float4 row = load_row(threadIdx.x);
  load(PairPlace<kHeadDim>(threadIdx.x % (kTiles * 2 * kHeadDim)), 0);
  if (static_cast<int>(threadIdx.x) <= last_row) rows[threadIdx.x] = row;
  for (int i = static_cast<int>(threadIdx.x) + kMergingThreads; i <= last_row;
       i += kMergingThreads) {
    rows[i] = load_row(i);
  }
  sync_key_warps();
  for (int index = threadIdx.x; index < kTiles * 2 * kHeadDim; index += kMergingThreads) {
    const PairPlace<kHeadDim> place(index);
    const auto rows_of = [&](int part) {
      return rows[part * kPartRows + place.tile * 4 + place.column()];
    };
    MergedPair merged;
    merged.find_largest(count, rows_of);
    for (int from = 0; from < count; from += kAhead) {
      if (from > 0 || index >= kMergingThreads) load(place, from);
#pragma unroll
      for (int i = 0; i < kAhead; ++i) {
        if (from + i < count) merged.add(rows_of(from + i), ahead[i]);
      }
    }
    write<kType>(args, tile, place, merged);
  }
}

// True for the last block of a tile; the others' partials are visible to it then.
__device__ inline bool is_last_of_tile(int* counter, int num_parts) {
  __shared__ bool last;
  sync_key_warps();
  if (threadIdx.x == 0) {
    __threadfence();
    last = atomicAdd(counter, 1) == num_parts - 1;
    if (last) *counter = 0;  // as the next launch needs it
    __threadfence();
  }
  sync_key_warps();
  return last;
}

}  // namespace m2::cuda
