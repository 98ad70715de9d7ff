// One chunk of keys for some query rows. Include only from isa/ files.
//
// Keys that a row does not see get the probability 0, whose products change no sum.
#pragma once

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "cpu/attention_scores-inl.h"
#include "cpu/linear-inl.h"

HWY_BEFORE_NAMESPACE();
namespace m2::cpu::HWY_NAMESPACE {

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

template <class F>
void weigh_rows(const AttendArgs& args) {
  for (std::int64_t row = 0; row < args.num_rows; row += kTileCols) {
    const std::int64_t rest = args.num_rows - row;
    weigh_group_of<F, kTileCols>(rest < kTileCols ? rest : kTileCols, args,
                                 args.scratch + row * kAttentionChunk,
                                 args.output + row * args.head_dim);
  }
}

// Values are decoded once for all rows, to the second-level cache, where the keys were before.
template <class Rows>
void weigh_decoded(const AttendArgs& args) {
  float* decoded = args.scratch + args.num_rows * kAttentionChunk;
  const CacheRows cache = {args.values, args.value_groups};
  const std::uint8_t* vectors[kAttentionChunk];
  for (std::int64_t key = args.first_key; key < args.end_key; ++key) {
    const float* row = Rows::row(args, cache, key, decoded + key * args.head_dim);
    vectors[key] = reinterpret_cast<const std::uint8_t*>(row);
  }
  AttendArgs plain = args;
  plain.values = vectors;
  weigh_rows<F32Format>(plain);
}

template <class Rows>
void attend_rows(const AttendArgs& args) {
  score_rows<Rows>(args);
  weigh_decoded<Rows>(args);
}

inline void attend(const AttendArgs& args) {
  if (args.key_groups != nullptr) {
    return args.bits == 8 ? attend_rows<CodeRows<8>>(args) : attend_rows<CodeRows<4>>(args);
  }
  if (args.dtype == DType::kF8E4M3) {
    attend_rows<F8Rows>(args);
  } else if (args.dtype == DType::kF32) {
    score_rows<F32Rows>(args);
    weigh_rows<F32Format>(args);
  } else if (args.num_rows > kTileCols) {
    attend_rows<BF16Rows>(args);
  } else {
    score_rows<BF16Rows>(args);
    weigh_rows<BF16Format>(args);
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
