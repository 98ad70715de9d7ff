// One chunk of keys for some query rows. Include only from isa/ files.
//
// Scores are the dot products of linear-inl.h with the keys as weight rows, so each has a value of
// its own whatever else is in the tile; keys that a row does not see get the probability 0, whose
// products change no sum.
#pragma once

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <cmath>
#include <cstddef>
#include <cstdint>

#include "cpu/kv_decode-inl.h"
#include "cpu/linear-inl.h"

HWY_BEFORE_NAMESPACE();
namespace m2::cpu::HWY_NAMESPACE {

// scores[c][key] for R keys from `first` on and the C packed rows of a group.
template <class F, int R, int C>
HWY_INLINE void score_keys(const AttendArgs& args, std::int64_t first, const float* x,
                           float* scores) {
  float totals[C][R] = {};
  const std::int64_t ahead = R * args.head_dim * static_cast<std::int64_t>(F::kBytes);
  for (std::int64_t begin = 0; begin < args.head_dim; begin += kPanelCols) {
    const std::int64_t rest = args.head_dim - begin;
    const std::int64_t width = rest < kPanelCols ? rest : kPanelCols;
    const std::uint8_t* rows[R];
    for (int r = 0; r < R; ++r) {
      rows[r] = args.keys[first + r] + begin * static_cast<std::int64_t>(F::kBytes);
    }
    float sums[C][R < 4 ? 4 : R];
    panel_sums<F, R, C>(rows, width, ahead, x + begin * C, sums);
    for (int c = 0; c < C; ++c) {
      for (int r = 0; r < R; ++r) totals[c][r] += sums[c][r];
    }
  }
  for (int c = 0; c < C; ++c) {
    for (int r = 0; r < R; ++r) scores[c * kAttentionChunk + first + r] = totals[c][r] * args.scale;
  }
}

template <class F, int C>
void score_group(const AttendArgs& args, std::int64_t row, float* packed, float* scores) {
  for (std::int64_t begin = 0; begin < args.head_dim; begin += kPanelCols) {
    const std::int64_t rest = args.head_dim - begin;
    const float* inputs[C];
    for (int c = 0; c < C; ++c) inputs[c] = args.q[row + c] + begin;
    pack_panel<F>(inputs, C, nullptr, rest < kPanelCols ? rest : kPanelCols, packed + begin * C);
  }
  float* out = scores + row * kAttentionChunk;
  std::int64_t key = args.first_key;
  for (; key + 4 <= args.end_key; key += 4) score_keys<F, 4, C>(args, key, packed, out);
  for (; key < args.end_key; ++key) score_keys<F, 1, C>(args, key, packed, out);
}

template <class F, int C>
void score_group_of(std::int64_t count, const AttendArgs& args, std::int64_t row, float* packed,
                    float* scores) {
  if (count == C) {
    score_group<F, C>(args, row, packed, scores);
  } else if constexpr (C > 1) {
    score_group_of<F, C - 1>(count, args, row, packed, scores);
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

// C rows of output, dims [dim, dim + W * L): the sum over the keys of probability times value.
template <class F, int C, int W>
HWY_INLINE void weigh_values(const AttendArgs& args, const float* probabilities, std::int64_t dim,
                             float* output) {
  static_assert(F::kVectors == 1);
  const D d;
  V acc[C][W];
  HWY_UNROLL(8)
  for (int c = 0; c < C; ++c) {
    HWY_UNROLL(4)
    for (int w = 0; w < W; ++w) acc[c][w] = hn::Zero(d);
  }
  F format;
  const std::int64_t offset = dim * static_cast<std::int64_t>(F::kBytes);
  for (std::int64_t key = args.first_key; key < args.end_key; ++key) {
    const std::uint8_t* bytes = args.values[key] + offset;
    V value[W];
    HWY_UNROLL(4)
    for (int w = 0; w < W; ++w) format.decode(bytes + w * kLanes * F::kBytes, value + w);
    HWY_UNROLL(8)
    for (int c = 0; c < C; ++c) {
      const V probability = hn::Set(d, probabilities[c * kAttentionChunk + key]);
      HWY_UNROLL(4)
      for (int w = 0; w < W; ++w) acc[c][w] = hn::MulAdd(probability, value[w], acc[c][w]);
    }
  }
  HWY_UNROLL(8)
  for (int c = 0; c < C; ++c) {
    HWY_UNROLL(4)
    for (int w = 0; w < W; ++w) {
      hn::StoreU(acc[c][w], d, output + c * args.head_dim + dim + w * static_cast<int>(kLanes));
    }
  }
}

// The last dims of a head that is no multiple of the vector length.
template <class F>
void weigh_rest(const AttendArgs& args, const float* probabilities, std::int64_t dim,
                float* output) {
  const D d;
  const std::int64_t count = args.head_dim - dim;
  const std::int64_t offset = dim * static_cast<std::int64_t>(F::kBytes);
  V acc = hn::Zero(d);
  F format;
  for (std::int64_t key = args.first_key; key < args.end_key; ++key) {
    HWY_ALIGN std::uint8_t bytes[kLanes * F::kBytes] = {};
    __builtin_memcpy(bytes, args.values[key] + offset, static_cast<std::size_t>(count) * F::kBytes);
    V value;
    format.decode(bytes, &value);
    acc = hn::MulAdd(hn::Set(d, probabilities[key]), value, acc);
  }
  HWY_ALIGN float rest[kLanes];
  hn::Store(acc, d, rest);
  for (std::int64_t i = 0; i < count; ++i) output[dim + i] = rest[i];
}

template <class F, int C>
void weigh_group(const AttendArgs& args, const float* probabilities, float* output) {
  constexpr auto kStep = static_cast<std::int64_t>(kLanes);
  std::int64_t dim = 0;
  for (; dim + 4 * kStep <= args.head_dim; dim += 4 * kStep) {
    weigh_values<F, C, 4>(args, probabilities, dim, output);
  }
  for (; dim + kStep <= args.head_dim; dim += kStep) {
    weigh_values<F, C, 1>(args, probabilities, dim, output);
  }
  if (dim == args.head_dim) return;
  for (int c = 0; c < C; ++c) {
    weigh_rest<F>(args, probabilities + c * kAttentionChunk, dim, output + c * args.head_dim);
  }
}

template <class F, int C>
void weigh_group_of(std::int64_t count, const AttendArgs& args, const float* probabilities,
                    float* output) {
  if (count == C) {
    weigh_group<F, C>(args, probabilities, output);
  } else if constexpr (C > 1) {
    weigh_group_of<F, C - 1>(count, args, probabilities, output);
  }
}

HWY_INLINE std::int64_t rows_from(const AttendArgs& args, std::int64_t row) {
  return args.num_rows - row < kTileCols ? args.num_rows - row : kTileCols;
}

template <class F>
void score_rows(const AttendArgs& args) {
  float* packed = args.scratch + args.num_rows * kAttentionChunk;
  for (std::int64_t row = 0; row < args.num_rows; row += kTileCols) {
    score_group_of<F, kTileCols>(rows_from(args, row), args, row, packed, args.scratch);
  }
  for (std::int64_t row = 0; row < args.num_rows; ++row) {
    float* scores = args.scratch + row * kAttentionChunk;
    mask_scores(args, row, scores);
    exponentials(scores, args.largest + row, args.sum + row);
  }
}

template <class F>
void weigh_rows(const AttendArgs& args) {
  for (std::int64_t row = 0; row < args.num_rows; row += kTileCols) {
    weigh_group_of<F, kTileCols>(rows_from(args, row), args, args.scratch + row * kAttentionChunk,
                                 args.output + row * args.head_dim);
  }
}

template <class F>
void attend_format(const AttendArgs& args) {
  score_rows<F>(args);
  weigh_rows<F>(args);
}

// Codes are decoded once for all rows, to the second-level cache: first the keys, then, in the same
// place, the values.
template <int kBits>
void attend_codes(const AttendArgs& args) {
  const std::int64_t padded = (args.head_dim + kPanelCols - 1) / kPanelCols * kPanelCols;
  float* decoded = args.scratch + args.num_rows * kAttentionChunk + kMaxTileCols * padded;
  const std::uint8_t* vectors[kAttentionChunk];
  AttendArgs plain = args;
  plain.keys = vectors;
  plain.values = vectors;
  decode_keys<kBits>(args, args.keys, args.key_groups, decoded, vectors);
  score_rows<F32Format>(plain);
  decode_keys<kBits>(args, args.values, args.value_groups, decoded, vectors);
  weigh_rows<F32Format>(plain);
}

inline void attend(const AttendArgs& args) {
  if (args.key_groups != nullptr) {
    return args.bits == 8 ? attend_codes<8>(args) : attend_codes<4>(args);
  }
  if (args.dtype == DType::kF32) return attend_format<F32Format>(args);
  attend_format<BF16Format>(args);
}

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
