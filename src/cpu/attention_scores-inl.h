// Scores of a chunk of keys and their softmax. Include only from isa/ files.
//
// Queries and keys are transposed, so that the lanes of a vector are keys and a score is one chain
// of multiply-adds over the dims in order: it has a value of its own whatever else is in the tile.
#pragma once

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

#include "cpu/kv_decode-inl.h"

HWY_BEFORE_NAMESPACE();
namespace m2::cpu::HWY_NAMESPACE {

constexpr auto kKeyVector = static_cast<std::int64_t>(kLanes);
constexpr std::int64_t kScoreKeys = 2 * kKeyVector;  // of a register tile
static_assert(kAttentionChunk % kScoreKeys == 0 && kScoreKeys <= kMostScoreKeys);

// Rows of a register tile: two accumulators each, of 32 registers or of 16.
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr int kScoreRows = 12;
#else
constexpr int kScoreRows = 6;
#endif

// Rows after padding to whole vectors.
HWY_INLINE std::int64_t padded_rows(std::int64_t num_rows) {
  return (num_rows + kKeyVector - 1) / kKeyVector * kKeyVector;
}

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE void transpose_four(const float* const* rows, std::int64_t at, V (&out)[4]) {
  for (std::int64_t i = 0; i < 4; ++i) out[i] = hn::Set(D(), rows[0][at + i]);
}
#else
// A vector of blocks of four floats, block b from rows[4 b].
template <class Tag>
HWY_INLINE hn::Vec<Tag> load_blocks(Tag tag, const float* const* rows, std::int64_t offset) {
  if constexpr (hn::MaxLanes(Tag()) <= 4) {
    return hn::LoadU(tag, rows[0] + offset);
  } else {
    const hn::Half<Tag> half;
    constexpr auto kHalf = static_cast<std::int64_t>(hn::MaxLanes(Tag()) / 2);
    return hn::Combine(tag, load_blocks(half, rows + kHalf, offset),
                       load_blocks(half, rows, offset));
  }
}

// Lane i of out[j] = rows[i][at + j] for L rows.
HWY_INLINE void transpose_four(const float* const* rows, std::int64_t at, V (&out)[4]) {
  const D d;
  const hn::Repartition<double, D> d64;
  const V a = load_blocks(d, rows, at);
  const V b = load_blocks(d, rows + 1, at);
  const V c = load_blocks(d, rows + 2, at);
  const V e = load_blocks(d, rows + 3, at);
  const auto ab_low = hn::BitCast(d64, hn::InterleaveLower(d, a, b));
  const auto ab_high = hn::BitCast(d64, hn::InterleaveUpper(d, a, b));
  const auto ce_low = hn::BitCast(d64, hn::InterleaveLower(d, c, e));
  const auto ce_high = hn::BitCast(d64, hn::InterleaveUpper(d, c, e));
  out[0] = hn::BitCast(d, hn::InterleaveLower(d64, ab_low, ce_low));
  out[1] = hn::BitCast(d, hn::InterleaveUpper(d64, ab_low, ce_low));
  out[2] = hn::BitCast(d, hn::InterleaveLower(d64, ab_high, ce_high));
  out[3] = hn::BitCast(d, hn::InterleaveUpper(d64, ab_high, ce_high));
}
#endif

// out[dim * stride + i] = rows[i][dim] for L rows and all dims.
HWY_INLINE void transpose_rows(const float* const* rows, std::int64_t head_dim, std::int64_t stride,
                               float* out) {
  std::int64_t dim = 0;
  for (; dim + 4 <= head_dim; dim += 4) {
    V vectors[4];
    transpose_four(rows, dim, vectors);
    for (std::int64_t i = 0; i < 4; ++i) hn::StoreU(vectors[i], D(), out + (dim + i) * stride);
  }
  for (; dim < head_dim; ++dim) {
    for (std::int64_t i = 0; i < kKeyVector; ++i) out[dim * stride + i] = rows[i][dim];
  }
}

// The same for rows of BF16, head_dim a multiple of eight: they change places as pairs.
HWY_INLINE void transpose_pairs(const float* const* rows, std::int64_t head_dim,
                                std::int64_t stride, float* out) {
  const D d;
  const hn::RebindToUnsigned<D> du32;
  for (std::int64_t dim = 0; dim < head_dim; dim += 8) {
    V vectors[4];
    transpose_four(rows, dim / 2, vectors);
    for (std::int64_t i = 0; i < 4; ++i) {
      const auto pairs = hn::BitCast(du32, vectors[i]);
      float* to = out + (dim + 2 * i) * stride;
      hn::StoreU(hn::BitCast(d, hn::ShiftLeft<16>(pairs)), d, to);
      hn::StoreU(hn::BitCast(d, hn::And(pairs, hn::Set(du32, 0xFFFF0000U))), d, to + stride);
    }
  }
}

// Query rows into out [D, padded_rows(M)]; what fills up is a row once more.
inline void transpose_queries(const AttendArgs& args, float* out) {
  for (std::int64_t row = 0; row < args.num_rows; row += kKeyVector) {
    const float* rows[kKeyVector];
    for (std::int64_t i = 0; i < kKeyVector; ++i) {
      rows[i] = args.q[row + i < args.num_rows ? row + i : row];
    }
    transpose_rows(rows, args.head_dim, padded_rows(args.num_rows), out + row);
  }
}

// kScoreKeys keys from `first` on into out [D, kScoreKeys]; in the place of keys that no row sees
// comes one that some row does.
template <class Rows>
void transpose_keys(const AttendArgs& args, std::int64_t first, float* room, float* out) {
  const CacheRows cache = {args.keys, args.key_groups};
  const bool in_pairs = std::is_same_v<Rows, BF16Rows> && args.head_dim % 8 == 0;
  for (std::int64_t begin = 0; begin < kScoreKeys; begin += kKeyVector) {
    const float* rows[kKeyVector];
    for (std::int64_t i = 0; i < kKeyVector; ++i) {
      const std::int64_t key = first + begin + i;
      const bool seen = key >= args.first_key && key < args.end_key;
      const std::int64_t from = seen ? key : args.first_key;
      rows[i] = in_pairs ? reinterpret_cast<const float*>(args.keys[from])
                         : Rows::row(args, cache, from, room + i * args.head_dim);
    }
    if (in_pairs) {
      transpose_pairs(rows, args.head_dim, kScoreKeys, out + begin);
    } else {
      transpose_rows(rows, args.head_dim, kScoreKeys, out + begin);
    }
  }
}

// scores[r * kAttentionChunk + key] of R rows and kScoreKeys keys.
template <int R>
HWY_INLINE void score_tile(const AttendArgs& args, const float* q, const float* keys,
                           float* scores) {
  const D d;
  const std::int64_t stride = padded_rows(args.num_rows);
  V sums[R][2];
  HWY_UNROLL(12)
  for (int r = 0; r < R; ++r) sums[r][0] = sums[r][1] = hn::Zero(d);
  for (std::int64_t dim = 0; dim < args.head_dim; ++dim) {
    const V low = hn::Load(d, keys);
    const V high = hn::Load(d, keys + kKeyVector);
    HWY_UNROLL(12)
    for (int r = 0; r < R; ++r) {
      const V value = hn::Set(d, q[r]);
      sums[r][0] = hn::MulAdd(value, low, sums[r][0]);
      sums[r][1] = hn::MulAdd(value, high, sums[r][1]);
    }
    q += stride;
    keys += kScoreKeys;
  }
  const V scale = hn::Set(d, args.scale);
  HWY_UNROLL(12)
  for (int r = 0; r < R; ++r) {
    hn::Store(hn::Mul(sums[r][0], scale), d, scores + r * kAttentionChunk);
    hn::Store(hn::Mul(sums[r][1], scale), d, scores + r * kAttentionChunk + kKeyVector);
  }
}

template <int R>
void score_tile_of(std::int64_t count, const AttendArgs& args, const float* q, const float* keys,
                   float* scores) {
  if (count == R) {
    score_tile<R>(args, q, keys, scores);
  } else if constexpr (R > 1) {
    score_tile_of<R - 1>(count, args, q, keys, scores);
  }
}

inline void hide(const std::uint8_t* mask, std::int64_t begin, std::int64_t end, float* scores) {
  for (std::int64_t key = begin; key < end; ++key) {
    if (mask[key] == 0) scores[key] = -std::numeric_limits<float>::infinity();
  }
}

// Hides what the row does not see and fills up the chunk, both with -inf.
inline void mask_scores(const AttendArgs& args, std::int64_t row, float* scores) {
  constexpr float kHidden = -std::numeric_limits<float>::infinity();
  const std::int64_t begin = args.begin[row];
  const std::int64_t end = args.end[row] > begin ? args.end[row] : begin;
  for (std::int64_t key = 0; key < begin; ++key) scores[key] = kHidden;
  for (std::int64_t key = end; key < kAttentionChunk; ++key) scores[key] = kHidden;
  if (args.biases != nullptr) {
    const float* bias = args.biases[row];
    for (std::int64_t key = begin; key < end; ++key) scores[key] += bias[key];
  }
  if (args.key_mask != nullptr) hide(args.key_mask, begin, end, scores);
  if (args.row_masks != nullptr) hide(args.row_masks[row], begin, end, scores);
}

// scores = exp(scores - largest), 0 for hidden keys. A NaN score makes the sum NaN.
inline void exponentials(float* scores, float* largest, float* sum) {
  const D d;
  V high = hn::Set(d, -std::numeric_limits<float>::infinity());
  for (std::int64_t i = 0; i < kAttentionChunk; i += static_cast<std::int64_t>(kLanes)) {
    high = hn::Max(high, hn::Load(d, scores + i));
  }
  *largest = hn::GetLane(hn::MaxOfLanes(d, high));
  const bool empty = *largest == -std::numeric_limits<float>::infinity();
  const V shift = hn::Set(d, empty ? 0.0F : *largest);
  V total = hn::Zero(d);
  for (std::int64_t i = 0; i < kAttentionChunk; i += static_cast<std::int64_t>(kLanes)) {
    const V score = hn::Load(d, scores + i);
    const V value = hn::Exp(d, hn::Sub(score, shift));
    const V kept = hn::IfThenElse(hn::Eq(score, score), value, score);
    hn::Store(kept, d, scores + i);
    total = hn::Add(total, kept);
  }
  *sum = hn::GetLane(hn::SumOfLanes(d, total));
  if (empty && *sum != *sum) *largest = 0.0F;
}

// Softmax numerators of all rows, [M, kAttentionChunk], at the start of the scratch memory.
template <class Rows>
void score_rows(const AttendArgs& args) {
  float* queries = args.scratch + args.num_rows * kAttentionChunk;
  float* keys = queries + padded_rows(args.num_rows) * args.head_dim;
  float* room = keys + kScoreKeys * args.head_dim;
  transpose_queries(args, queries);
  const std::int64_t begin = args.first_key / kScoreKeys * kScoreKeys;
  for (std::int64_t key = begin; key < args.end_key; key += kScoreKeys) {
    transpose_keys<Rows>(args, key, room, keys);
    for (std::int64_t row = 0; row < args.num_rows; row += kScoreRows) {
      const std::int64_t rest = args.num_rows - row;
      score_tile_of<kScoreRows>(rest < kScoreRows ? rest : kScoreRows, args, queries + row, keys,
                                args.scratch + row * kAttentionChunk + key);
    }
  }
  for (std::int64_t row = 0; row < args.num_rows; ++row) {
    float* scores = args.scratch + row * kAttentionChunk;
    mask_scores(args, row, scores);
    exponentials(scores, args.largest + row, args.sum + row);
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
