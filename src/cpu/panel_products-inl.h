// Products of a panel of columns with weights that are decoded in registers. Include only from isa/
// files.
#pragma once

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>
#include <limits>

#include "cpu/kernels.h"
#include "cpu/weight_decode-inl.h"

HWY_BEFORE_NAMESPACE();
namespace m2::cpu::HWY_NAMESPACE {

// The four sums over the lanes of a, b, c and d.
HWY_INLINE void reduce4(V a, V b, V c, V d, float* sums) {
#if HWY_TARGET == HWY_SCALAR
  sums[0] = hn::GetLane(a);
  sums[1] = hn::GetLane(b);
  sums[2] = hn::GetLane(c);
  sums[3] = hn::GetLane(d);
#else
  const D df;
  const hn::Repartition<double, D> d64;
  // In every 128-bit block: [a0 + a2, b0 + b2, a1 + a3, b1 + b3].
  const V ab = hn::Add(hn::InterleaveLower(df, a, b), hn::InterleaveUpper(df, a, b));
  const V cd = hn::Add(hn::InterleaveLower(df, c, d), hn::InterleaveUpper(df, c, d));
  const auto ab64 = hn::BitCast(d64, ab);
  const auto cd64 = hn::BitCast(d64, cd);
  const V abcd = hn::Add(hn::BitCast(df, hn::InterleaveLower(d64, ab64, cd64)),
                         hn::BitCast(df, hn::InterleaveUpper(d64, ab64, cd64)));
#if HWY_TARGET <= HWY_AVX3
  const hn::Half<D> d8;
  const auto half = hn::Add(hn::LowerHalf(d8, abcd), hn::UpperHalf(d8, abcd));
  const hn::Half<decltype(d8)> d4;
  hn::StoreU(hn::Add(hn::LowerHalf(d4, half), hn::UpperHalf(d4, half)), d4, sums);
#elif HWY_TARGET == HWY_AVX2
  const hn::Half<D> d4;
  hn::StoreU(hn::Add(hn::LowerHalf(d4, abcd), hn::UpperHalf(d4, abcd)), d4, sums);
#else
  hn::StoreU(abcd, df, sums);
#endif
#endif
}

template <class F>
constexpr std::int64_t kUnit = static_cast<std::int64_t>(F::kVectors* kLanes);

// Columns of a panel after padding to whole units.
template <class F>
HWY_INLINE std::int64_t padded(std::int64_t cols) {
  return (cols + kUnit<F> - 1) / kUnit<F> * kUnit<F>;
}

// The scale of every column [begin, begin + cols) in the row's block, times the format's factor.
template <class F>
void expand_scales(const WeightView& weight, std::int64_t row, std::int64_t begin,
                   std::int64_t cols, float* out) {
  const std::int64_t scale_cols = (weight.cols + weight.block_cols - 1) / weight.block_cols;
  const float* scales = weight.scale + row / weight.block_rows * scale_cols;
  for (std::int64_t col = begin; col < begin + cols;) {
    const std::int64_t block = col / weight.block_cols;
    const std::int64_t block_end = (block + 1) * weight.block_cols;
    const std::int64_t end = block_end < begin + cols ? block_end : begin + cols;
    float scale;  // scales lie in files too, unaligned
    __builtin_memcpy(&scale, scales + block, sizeof(scale));
    for (; col < end; ++col) out[col - begin] = scale * F::kFactor;
  }
}

// One unit of activations, scaled, in the order in which the format decodes; beyond cols zeros.
template <class F>
HWY_INLINE void pack_unit(const float* input, const float* scales, std::int64_t cols,
                          std::int64_t stride, float* out) {
  const D d;
  HWY_ALIGN float unit[kUnit<F>];
  if (cols < kUnit<F>) {
    for (std::int64_t i = 0; i < kUnit<F>; ++i) {
      unit[i] = i >= cols ? 0.0F : F::kScaled ? input[i] * scales[i] : input[i];
    }
  } else {
    for (std::size_t i = 0; i < F::kVectors; ++i) {
      V value = hn::LoadU(d, input + i * kLanes);
      if constexpr (F::kScaled) value = hn::Mul(value, hn::LoadU(d, scales + i * kLanes));
      hn::Store(value, d, unit + i * kLanes);
    }
  }
  if constexpr (requires { F::pack_unit(unit, 0, out); }) {
    F::pack_unit(unit, static_cast<std::size_t>(stride), out);
  } else {
    for (std::size_t i = 0; i < F::kVectors; ++i) {
      hn::Store(hn::Load(d, unit + i * kLanes), d, out + static_cast<std::int64_t>(i) * stride);
    }
  }
}

// A panel of some tokens: out [padded / L, num_tokens, L].
template <class F>
void pack_panel(const float* const* inputs, std::int64_t num_tokens, const float* scales,
                std::int64_t cols, float* out) {
  const auto lanes = static_cast<std::int64_t>(kLanes);
  for (std::int64_t token = 0; token < num_tokens; ++token) {
    for (std::int64_t col = 0; col < cols; col += kUnit<F>) {
      const std::int64_t rest = cols - col < kUnit<F> ? cols - col : kUnit<F>;
      pack_unit<F>(inputs[token] + col, F::kScaled ? scales + col : nullptr, rest,
                   num_tokens * lanes, out + col * num_tokens + token * lanes);
    }
  }
}

// Weights are fetched ahead, so that reading from memory and decoding overlap: several rows at a
// time are too many short streams for the hardware's prefetcher (fp8 rows of 3 KiB on Zen 4, one
// thread: 12.6 GB/s without, 18.4 GB/s with).
template <class F, int R, int C>
HWY_INLINE void multiply_unit(F& format, const std::uint8_t* const* rows, std::int64_t offset,
                              std::int64_t ahead, const float* x, V (&acc)[R][C]) {
  const D d;
  HWY_UNROLL(8)
  for (int r = 0; r < R; ++r) {
    prefetch(rows[r] + offset + ahead);
    V weight[F::kVectors];
    format.decode(rows[r] + offset, weight);
    HWY_UNROLL(4)
    for (std::size_t i = 0; i < F::kVectors; ++i) {
      HWY_UNROLL(8)
      for (int c = 0; c < C; ++c) {
        acc[r][c] = hn::MulAdd(weight[i], hn::Load(d, x + (i * C + c) * kLanes), acc[r][c]);
      }
    }
  }
}

// acc[r][c] = sum over the columns of a panel of rows[r] times token c of the packed x. The bytes
// `ahead` of those that are read come next.
template <class F, int R, int C>
HWY_INLINE void multiply_panel(F& format, const std::uint8_t* const (&rows)[R], std::int64_t cols,
                               std::int64_t ahead, const float* x, V (&acc)[R][C]) {
  HWY_UNROLL(8)
  for (int r = 0; r < R; ++r) {
    HWY_UNROLL(8)
    for (int c = 0; c < C; ++c) acc[r][c] = hn::Zero(D());
  }
  constexpr auto kBytes = static_cast<std::int64_t>(F::kBytes);
  std::int64_t col = 0;
  for (; col + kUnit<F> <= cols; col += kUnit<F>) {
    multiply_unit<F, R, C>(format, rows, col * kBytes, ahead, x + col * C, acc);
  }
  if (col == cols) return;
  HWY_ALIGN std::uint8_t rest[R][kUnit<F> * kBytes] = {};
  const std::uint8_t* rest_rows[R];
  for (int r = 0; r < R; ++r) {
    __builtin_memcpy(rest[r], rows[r] + col * kBytes,
                     static_cast<std::size_t>((cols - col) * kBytes));
    rest_rows[r] = rest[r];
  }
  multiply_unit<F, R, C>(format, rest_rows, 0, 0, x + col * C, acc);
}

// Only e4m3 gets here: both codes of NaN have seven ones.
inline bool has_nan(const std::uint8_t* row, std::int64_t cols) {
  for (std::int64_t col = 0; col < cols; ++col) {
    if ((row[col] & 0x7FU) == 0x7FU) return true;
  }
  return false;
}

// The sums of R rows with C tokens, (c, r) at c * R + r, filled up to whole fours.
template <int R, int C>
using PanelSums = float[(R * C + 3) / 4 * 4];

// Of a panel; see multiply_panel.
template <class F, int R, int C>
HWY_INLINE void panel_sums(const std::uint8_t* const (&rows)[R], std::int64_t cols,
                           std::int64_t ahead, const float* x, PanelSums<R, C>& sums) {
  F format;
  V acc[R][C];
  multiply_panel<F, R, C>(format, rows, cols, ahead, x, acc);
  const V zero = hn::Zero(D());
  const auto of = [&](int i) HWY_ATTR { return i < R * C ? acc[i % R][i / R] : zero; };
  HWY_UNROLL(16)
  for (int i = 0; i < R * C; i += 4) {
    reduce4(of(i), of(i + 1), of(i + 2), of(i + 3), sums + i);
  }
  if (HWY_LIKELY(!format.saw_nan())) return;
  for (int r = 0; r < R; ++r) {
    if (!has_nan(rows[r], cols)) continue;
    for (int c = 0; c < C; ++c) sums[c * R + r] = std::numeric_limits<float>::quiet_NaN();
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
