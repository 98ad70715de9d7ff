// The two products of streaming_attention over sixteen keys of a BF16 or F8 cache.
//
// Both have the cache as the left operand of an mma, straight from memory:
//   scores [keys, rows] = K q^T, columns in memory order;
//   out [D, rows] = V^T p^T, p transposed between lanes by movmatrix.
// A BF16 cache meets two bf16 parts of q and p (cuda/mma.cuh); an F8 cache, exact in f16, meets one
// f16, q after scaling each row to below 1 by a power of two.
// Lane l has the key l / 4 (and that + 8) of the scores and the rows 2 (l % 4), + 1 of both.
#pragma once

#include "cuda/attention.cuh"
#include "cuda/mma.cuh"

namespace m2::cuda {

constexpr int kKeys = 16;  // of a warp at a time

/// Sixteen bytes that are used once; a kernel that still ran when this one started may have written
/// them.
__device__ inline uint4 load_stream(const void* address) {
  uint4 value;
  asm volatile("ld.global.L1::no_allocate.L2::128B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(address)
               : "memory");
  return value;
}

__device__ inline std::uint32_t transpose(std::uint32_t pair) {
  std::uint32_t result;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(pair));
  return result;
}

// exp2 of scores relative to the largest one, where that may be -inf.
__device__ inline float weight_of(float score, float largest) {
  const float power = score - (largest == -INFINITY ? 0.0F : largest);
  float weight;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(weight) : "f"(power));
  return weight;
}

// Where a block's rows come from.
struct Tile {
  int sequence;
  int kv_head;
  int first_token;
  int num_queries;
  int context_len;
  int group;
  int first_row;

  __device__ bool has(int row) const { return first_row + row < num_queries * group; }
  __device__ int token(int row) const { return first_token + (first_row + row) / group; }
  __device__ int head(int row) const { return kv_head * group + (first_row + row) % group; }
};

// Unnormalised sums over some keys, of R rows: largest scores, sums, outputs.
template <int kRows, int kHeadDim>
struct Partial {
  float largest[kRows];  // in units of log2
  float sum[kRows];
  alignas(16) float output[kRows][kHeadDim];
};

// A lane's part of what a warp accumulates.
template <int kTiles, int kHeadDim>
struct Accumulator {
  float largest[kTiles][2];
  float sum[kTiles][2];  // over the keys that the lane holds
  float output[kTiles][kHeadDim / 16][4];
};

// Sixteen keys of the cache in registers, as both products take them.
template <DType kType, int kHeadDim>
struct KeyValues {
  static constexpr int kRowVectors = kHeadDim * (kType == DType::kF8E4M3 ? 1 : 2) / 16;
  uint4 upper_keys[kRowVectors / 4];  // key lane / 4
  uint4 lower_keys[kRowVectors / 4];  // that + 8
  uint4 values[4][kRowVectors / 8];   // keys 2 (lane % 4), + 1, + 8, + 9
  static_assert(kRowVectors % 8 == 0);

  __device__ void load(const AttentionView& args, const Tile& tile, int first_key, int end) {
    const int lane = threadIdx.x % 32;
    // Sixteen keys lie in one block. Beyond the last key may be anything; the row of it is read.
    const std::int64_t first = args.cache_row(tile.sequence, tile.kv_head, first_key);
    const int last = end - 1 - first_key;
    const auto* keys = static_cast<const uint4*>(args.keys) + first * kRowVectors;
    const auto* cached = static_cast<const uint4*>(args.values) + first * kRowVectors;
    const uint4* upper = keys + min(lane / 4, last) * kRowVectors + lane % 4;
    const uint4* lower = keys + min(lane / 4 + 8, last) * kRowVectors + lane % 4;
#pragma unroll
    for (int i = 0; i < kRowVectors / 4; ++i) {
      upper_keys[i] = load_stream(upper + i * 4);
      lower_keys[i] = load_stream(lower + i * 4);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int key = lane % 4 * 2 + i % 2 + i / 2 * 8;
      const uint4* value = cached + min(key, last) * kRowVectors + lane / 4;
#pragma unroll
      for (int half = 0; half < kRowVectors / 8; ++half) {
        values[i][half] = load_stream(value + half * 8);
      }
    }
  }
};

// Steps of the scores' mma that a vector of a key serves.
template <DType kType>
constexpr int kVectorSteps = kType == DType::kF8E4M3 ? 4 : 2;

// Where the quads of a row of q belong: the step that takes them, and the lane (of four).
template <DType kType>
__device__ int quad_place(int quad, int num_rows, int row) {
  constexpr int kSteps = kVectorSteps<kType>;
  const int step = quad / (4 * kSteps) * kSteps + quad % kSteps;
  return (step * num_rows + row) * 4 + quad % (4 * kSteps) / kSteps;
}

__device__ inline std::uint32_t word_of(const uint4& vector, int index) {
  return index == 0 ? vector.x : index == 1 ? vector.y : index == 2 ? vector.z : vector.w;
}

// Keys that the two rows of a lane see, by the tiles of eight rows.
template <int kTiles>
struct Ranges {
  int begin[kTiles][2];
  int end[kTiles][2];
};

// The products of sixteen keys with eight rows, in kChains chains that hide each other's latency.
template <DType kType, int kHeadDim, int kChains>
__device__ void multiply_keys(const KeyValues<kType, kHeadDim>& cached, const SplitQuad* quads,
                              int num_rows, int first_row, float (&products)[4]) {
  constexpr int kSteps = kVectorSteps<kType>;
  constexpr bool kBf16 = kIsBf16<kType>;
  float sums[kChains][4] = {};
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int step = 0; step < kHeadDim / 16; ++step) {
    const SplitQuad q = quads[(step * num_rows + first_row + lane / 4) * 4 + lane % 4];
    const WeightPairs upper = weight_pairs<kType>(cached.upper_keys[step / kSteps], step % kSteps);
    const WeightPairs lower = weight_pairs<kType>(cached.lower_keys[step / kSteps], step % kSteps);
    const int chain = kBf16 ? step % (kChains / 2) * 2 : step % kChains;
    mma<kBf16>(sums[chain], upper, lower, q.high);
    if constexpr (kBf16) mma<kBf16>(sums[chain + 1], upper, lower, q.low);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    products[i] = sums[0][i] + sums[1][i];
    if constexpr (kChains == 4) products[i] += sums[2][i] + sums[3][i];
  }
}

// Their scores, in units of log2, where a lane's two rows have their scales.
template <DType kType, int kHeadDim>
__device__ void score_keys(const KeyValues<kType, kHeadDim>& cached, const SplitQuad* quads,
                           int num_rows, int first_row, const float (&scales)[2],
                           float (&scores)[4]) {
  multiply_keys<kType, kHeadDim, 2>(cached, quads, num_rows, first_row, scores);
#pragma unroll
  for (int i = 0; i < 4; ++i) scores[i] *= scales[i % 2];
}

// Dimensions of accumulator i of a lane: this one and the next.
template <DType kType, int kHeadDim>
__device__ int output_dim(int i) {
  const int row = static_cast<int>(threadIdx.x) % 32 / 4;
  if constexpr (kType == DType::kF8E4M3) return row * (kHeadDim / 8) + i * 2;
  return i / 4 * 64 + row * 8 + i % 4 * 2;
}

// The left operands of accumulator i: the even dimension is the upper row of the mma, the odd one
// the lower.
template <DType kType, int kHeadDim>
__device__ void value_pairs(const KeyValues<kType, kHeadDim>& cached, int i, WeightPairs& even,
                            WeightPairs& odd) {
  const auto words = [&](int key) {
    if constexpr (kType == DType::kF8E4M3) {
      return word_of(cached.values[key][i / 8], i % 8 / 2);
    } else {
      return word_of(cached.values[key][i / 4], i % 4);
    }
  };
  if constexpr (kType == DType::kF8E4M3) {
    const unsigned bytes = i % 2 == 0 ? 0x5140U : 0x7362U;
    const WeightPairs first = widen(__byte_perm(words(0), words(1), bytes));
    const WeightPairs second = widen(__byte_perm(words(2), words(3), bytes));
    even = {{first.pair[0], second.pair[0]}};
    odd = {{first.pair[1], second.pair[1]}};
  } else {
    even = {{__byte_perm(words(0), words(1), 0x5410), __byte_perm(words(2), words(3), 0x5410)}};
    odd = {{__byte_perm(words(0), words(1), 0x7632), __byte_perm(words(2), words(3), 0x7632)}};
  }
}

// Adds the values of sixteen keys with these weights to eight rows, whose sums are first multiplied
// by `keep` where it is given.
template <DType kType, int kTiles, int kHeadDim, typename... Keep>
__device__ void add_values(const KeyValues<kType, kHeadDim>& cached, const float (&weights)[4],
                           int tile, Accumulator<kTiles, kHeadDim>& acc, const Keep&... keep) {
  constexpr bool kBf16 = kIsBf16<kType>;
  SplitQuad p;
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    std::uint32_t high;
    std::uint32_t low;
    split_pair<kBf16>(weights[2 * i], weights[2 * i + 1], high, low);
    p.high[i] = transpose(high);
    if constexpr (kBf16) p.low[i] = transpose(low);
  }
#pragma unroll
  for (int i = 0; i < kHeadDim / 16; ++i) {
    float(&output)[4] = acc.output[tile][i];
#pragma unroll
    for (int j = 0; j < 4; ++j) ((output[j] *= keep[j % 2]), ...);
    WeightPairs even;
    WeightPairs odd;
    value_pairs<kType, kHeadDim>(cached, i, even, odd);
    mma<kBf16>(output, even, odd, p.high);
    if constexpr (kBf16) mma<kBf16>(output, even, odd, p.low);
  }
}

// Adds sixteen keys, whose scores are given, to eight rows.
template <DType kType, int kTiles, int kHeadDim>
__device__ void add_keys(const KeyValues<kType, kHeadDim>& cached, const float (&scores)[4],
                         int tile, Accumulator<kTiles, kHeadDim>& acc) {
  float weights[4];
  float keep[2];
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    float largest = fmaxf(scores[r], scores[2 + r]);
    for (int step = 4; step < 32; step *= 2) {
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, step));
    }
    largest = fmaxf(largest, acc.largest[tile][r]);
    keep[r] = weight_of(acc.largest[tile][r], largest);
    acc.largest[tile][r] = largest;
    weights[r] = weight_of(scores[r], largest);
    weights[2 + r] = weight_of(scores[2 + r], largest);
    acc.sum[tile][r] = acc.sum[tile][r] * keep[r] + weights[r] + weights[2 + r];
  }
  add_values<kType, kTiles, kHeadDim>(cached, weights, tile, acc, keep);
}

template <int kTiles, int kHeadDim>
__device__ void hide(const AttentionView& args, const Tile& tile, int first_key,
                     const Ranges<kTiles>& ranges, int index, float (&scores)[4]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int key = first_key + threadIdx.x % 32 / 4 + half * 8;
    const bool padding = key < tile.context_len && args.padding(tile.sequence, key);
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const bool seen = key >= ranges.begin[index][r] && key < ranges.end[index][r];
      if (!seen || padding) scores[2 * half + r] = -INFINITY;
    }
  }
}

}  // namespace m2::cuda
