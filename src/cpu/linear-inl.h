// Matrix products with decoding of the weights. Include only from isa/ files.
//
// Few tokens (up to four, or eight with 32 registers): weights are decoded in registers and
// multiplied at once (bandwidth-bound). More tokens: four rows of a panel are decoded to the
// first-level cache, then multiplied in register tiles of 4 rows by kTileCols tokens. Both sum the
// elements of one (row, token) in the same order: one vector accumulator per panel of kPanelCols
// columns, reduced by reduce4, panels in sequence.
#pragma once

#include <hwy/highway.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "cpu/kernels.h"
#include "cpu/panel_products-inl.h"

HWY_BEFORE_NAMESPACE();
namespace m2::cpu::HWY_NAMESPACE {

// 32 vector registers hold 4 x 6 or 2 x 8 accumulators with room for the operands, 16 hold 4 x 3.
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr int kTileCols = 6;
constexpr int kDirectTokens = 4;
constexpr int kGemvRows = 8;
#else
constexpr int kTileCols = 3;
constexpr int kDirectTokens = 3;
constexpr int kGemvRows = 4;
#endif
static_assert(kDirectTokens <= kMaxDirectTokens && kTileCols <= kMaxTileCols);

template <class F, int R, int C>
HWY_INLINE void direct_rows(const MatmulArgs& args, std::int64_t row, float* output) {
  constexpr auto kBytes = static_cast<std::int64_t>(F::kBytes);
  const std::int64_t cols = args.weight.cols;
  const auto* first = static_cast<const std::uint8_t*>(args.weight.data) + row * cols * kBytes;
  float totals[C][R];
  for (int c = 0; c < C; ++c) {
    for (int r = 0; r < R; ++r) {
      totals[c][r] = args.accumulate ? output[c * args.output_stride + r] : 0.0F;
    }
  }
  for (std::int64_t begin = 0; begin < cols; begin += kPanelCols) {
    const std::int64_t width = cols - begin < kPanelCols ? cols - begin : kPanelCols;
    const std::uint8_t* rows[R];
    for (int r = 0; r < R; ++r) rows[r] = first + (r * cols + begin) * kBytes;
    PanelSums<R, C> sums;
    panel_sums<F, R, C>(rows, width, R * cols * kBytes, args.scratch + begin * C, sums);
    for (int c = 0; c < C; ++c) {
      for (int r = 0; r < R; ++r) totals[c][r] += sums[c * R + r];
    }
  }
  for (int c = 0; c < C; ++c) {
    for (int r = 0; r < R; ++r) output[c * args.output_stride + r] = totals[c][r];
  }
}

HWY_INLINE const float* input_row(const MatmulArgs& args, std::int64_t token) {
  const std::int64_t row = args.input_rows == nullptr ? token : args.input_rows[token];
  return args.input + row * args.weight.cols;
}

// The rows up to which the scales of `row` hold.
template <class F>
HWY_INLINE std::int64_t segment_end(const MatmulArgs& args, std::int64_t row) {
  if constexpr (!F::kScaled) return args.row_end;
  const std::int64_t end = (row / args.weight.block_rows + 1) * args.weight.block_rows;
  return end < args.row_end ? end : args.row_end;
}

// One panel of columns of the tokens into out.
template <class F, int C>
HWY_INLINE void pack_tokens_panel(const MatmulArgs& args, std::int64_t row, std::int64_t begin,
                                  std::int64_t width, float* out) {
  HWY_ALIGN float scales[kPanelCols];
  if constexpr (F::kScaled) expand_scales<F>(args.weight, row, begin, width, scales);
  const float* inputs[C];
  for (int c = 0; c < C; ++c) inputs[c] = input_row(args, c) + begin;
  pack_panel<F>(inputs, C, scales, width, out);
}

template <class F, int C>
void matmul_direct(const MatmulArgs& args) {
  constexpr int kRows = C == 1 ? kGemvRows : 4;
  for (std::int64_t row = args.row_begin; row < args.row_end;) {
    const std::int64_t end = segment_end<F>(args, row);
    for (std::int64_t begin = 0; begin < args.weight.cols; begin += kPanelCols) {
      const std::int64_t rest = args.weight.cols - begin;
      const std::int64_t width = rest < kPanelCols ? rest : kPanelCols;
      pack_tokens_panel<F, C>(args, row, begin, width, args.scratch + begin * C);
    }
    for (; row + kRows <= end; row += kRows) {
      direct_rows<F, kRows, C>(args, row, args.output + (row - args.row_begin));
    }
    for (; row < end; ++row) direct_rows<F, 1, C>(args, row, args.output + (row - args.row_begin));
  }
}

// R rows of one panel.
template <class F, int R, int C>
HWY_INLINE void wide_rows(const MatmulArgs& args, std::int64_t row, std::int64_t begin,
                          std::int64_t width) {
  constexpr auto kBytes = static_cast<std::int64_t>(F::kBytes);
  const std::int64_t cols = args.weight.cols;
  const auto* first =
      static_cast<const std::uint8_t*>(args.weight.data) + (row * cols + begin) * kBytes;
  const std::uint8_t* rows[R];
  for (int r = 0; r < R; ++r) rows[r] = first + r * cols * kBytes;
  PanelSums<R, C> sums;
  panel_sums<F, R, C>(rows, width, R * cols * kBytes, args.scratch, sums);
  const bool fresh = begin == 0 && !args.accumulate;
  float* output = args.output + (row - args.row_begin);
  for (int c = 0; c < C; ++c) {
    float* out = output + c * args.output_stride;
    for (int r = 0; r < R; ++r) out[r] = (fresh ? 0.0F : out[r]) + sums[c * R + r];
  }
}

// A panel of more tokens just fits the first-level cache: all rows take it before the next comes.
template <class F, int C>
void matmul_wide(const MatmulArgs& args) {
  constexpr int kRows = 2;
  for (std::int64_t first = args.row_begin; first < args.row_end;) {
    const std::int64_t end = segment_end<F>(args, first);
    for (std::int64_t begin = 0; begin < args.weight.cols; begin += kPanelCols) {
      const std::int64_t rest = args.weight.cols - begin;
      const std::int64_t width = rest < kPanelCols ? rest : kPanelCols;
      pack_tokens_panel<F, C>(args, first, begin, width, args.scratch);
      std::int64_t row = first;
      for (; row + kRows <= end; row += kRows) wide_rows<F, kRows, C>(args, row, begin, width);
      for (; row < end; ++row) wide_rows<F, 1, C>(args, row, begin, width);
    }
    first = end;
  }
}

// acc[r][c] over one decoded panel w [steps, 4, L] and one packed group x [steps, C, L].
template <int C>
HWY_INLINE void multiply_tile(const float* w, const float* x, std::int64_t steps, V (&acc)[4][C]) {
  const D d;
  HWY_UNROLL(4)
  for (int r = 0; r < 4; ++r) {
    HWY_UNROLL(8)
    for (int c = 0; c < C; ++c) acc[r][c] = hn::Zero(d);
  }
  for (std::int64_t step = 0; step < steps; ++step) {
    const V w0 = hn::Load(d, w);
    const V w1 = hn::Load(d, w + kLanes);
    const V w2 = hn::Load(d, w + 2 * kLanes);
    const V w3 = hn::Load(d, w + 3 * kLanes);
    HWY_UNROLL(8)
    for (int c = 0; c < C; ++c) {
      const V xc = hn::Load(d, x + c * kLanes);
      acc[0][c] = hn::MulAdd(w0, xc, acc[0][c]);
      acc[1][c] = hn::MulAdd(w1, xc, acc[1][c]);
      acc[2][c] = hn::MulAdd(w2, xc, acc[2][c]);
      acc[3][c] = hn::MulAdd(w3, xc, acc[3][c]);
    }
    w += 4 * kLanes;
    x += C * kLanes;
  }
}

// Up to four rows of a panel, decoded: w [padded / L, 4, L]. Rows with a NaN are noted.
struct DecodedRows {
  HWY_ALIGN float w[4 * kPanelCols];
  int num_rows = 0;
  bool nan[4] = {};
};

template <class F>
void decode_rows(const MatmulArgs& args, std::int64_t row, std::int64_t begin, std::int64_t cols,
                 DecodedRows& out) {
  constexpr auto kBytes = static_cast<std::int64_t>(F::kBytes);
  const D d;
  for (int r = 0; r < 4; ++r) {
    if (r >= out.num_rows) {
      for (std::int64_t col = 0; col < padded<F>(cols); col += static_cast<std::int64_t>(kLanes)) {
        hn::Store(hn::Zero(d), d, out.w + col * 4 + r * static_cast<int>(kLanes));
      }
      continue;
    }
    const auto* bytes = static_cast<const std::uint8_t*>(args.weight.data) +
                        ((row + r) * args.weight.cols + begin) * kBytes;
    F format;
    for (std::int64_t col = 0; col < cols; col += kUnit<F>) {
      HWY_ALIGN std::uint8_t rest[kUnit<F> * kBytes] = {};
      const std::uint8_t* from = bytes + col * kBytes;
      if (cols - col < kUnit<F>) {
        __builtin_memcpy(rest, from, static_cast<std::size_t>((cols - col) * kBytes));
        from = rest;
      }
      prefetch(from + 4 * args.weight.cols * kBytes);
      V weight[F::kVectors];
      format.decode(from, weight);
      for (std::size_t i = 0; i < F::kVectors; ++i) {
        hn::Store(weight[i], d, out.w + col * 4 + (i * 4 + static_cast<std::size_t>(r)) * kLanes);
      }
    }
    out.nan[r] = format.saw_nan() && has_nan(bytes, cols);
  }
}

template <int C>
HWY_INLINE void tile_outputs(const DecodedRows& rows, const float* x, std::int64_t steps,
                             bool fresh, std::int64_t output_stride, float* output) {
  V acc[4][C];
  multiply_tile<C>(rows.w, x, steps, acc);
  HWY_UNROLL(8)
  for (int c = 0; c < C; ++c) {
    float sums[4];
    reduce4(acc[0][c], acc[1][c], acc[2][c], acc[3][c], sums);
    float* out = output + c * output_stride;
    for (int r = 0; r < rows.num_rows; ++r) {
      if (rows.nan[r]) sums[r] = std::numeric_limits<float>::quiet_NaN();
      out[r] = (fresh ? 0.0F : out[r]) + sums[r];
    }
  }
}

// The last, smaller group of tokens needs a tile of its own size.
template <int C>
void tile_outputs_of(std::int64_t count, const DecodedRows& rows, const float* x,
                     std::int64_t steps, bool fresh, std::int64_t output_stride, float* output) {
  if (count == C) {
    tile_outputs<C>(rows, x, steps, fresh, output_stride, output);
  } else if constexpr (C > 1) {
    tile_outputs_of<C - 1>(count, rows, x, steps, fresh, output_stride, output);
  }
}

// One panel of columns for tokens [first, first + num_tokens) and rows [row, end).
template <class F>
void matmul_panel(const MatmulArgs& args, std::int64_t row, std::int64_t end, std::int64_t first,
                  std::int64_t num_tokens, std::int64_t begin) {
  const std::int64_t rest = args.weight.cols - begin;
  const std::int64_t width = rest < kPanelCols ? rest : kPanelCols;
  const std::int64_t group_floats = padded<F>(width);
  HWY_ALIGN float scales[kPanelCols];
  if constexpr (F::kScaled) expand_scales<F>(args.weight, row, begin, width, scales);
  for (std::int64_t token = 0; token < num_tokens; token += kTileCols) {
    const std::int64_t count = num_tokens - token < kTileCols ? num_tokens - token : kTileCols;
    const float* inputs[kTileCols];
    for (std::int64_t c = 0; c < count; ++c) {
      inputs[c] = input_row(args, first + token + c) + begin;
    }
    pack_panel<F>(inputs, count, scales, width, args.scratch + token * group_floats);
  }
  const bool fresh = begin == 0 && !args.accumulate;
  for (; row < end; row += 4) {
    DecodedRows rows;
    rows.num_rows = end - row < 4 ? static_cast<int>(end - row) : 4;
    decode_rows<F>(args, row, begin, width, rows);
    float* output = args.output + first * args.output_stride + (row - args.row_begin);
    for (std::int64_t token = 0; token < num_tokens; token += kTileCols) {
      const std::int64_t count = num_tokens - token < kTileCols ? num_tokens - token : kTileCols;
      tile_outputs_of<kTileCols>(count, rows, args.scratch + token * group_floats,
                                 group_floats / static_cast<std::int64_t>(kLanes), fresh,
                                 args.output_stride, output + token * args.output_stride);
    }
  }
}

template <class F>
void matmul_tiled(const MatmulArgs& args) {
  // Tiles of nearly equal size, whole groups of kTileCols tokens.
  const std::int64_t num_tiles = (args.num_tokens + kTileTokens - 1) / kTileTokens;
  const std::int64_t share = (args.num_tokens + num_tiles - 1) / num_tiles;
  const std::int64_t tile = (share + kTileCols - 1) / kTileCols * kTileCols;
  for (std::int64_t first = 0; first < args.num_tokens; first += tile) {
    const std::int64_t count = args.num_tokens - first < tile ? args.num_tokens - first : tile;
    for (std::int64_t row = args.row_begin; row < args.row_end;) {
      const std::int64_t end = segment_end<F>(args, row);
      for (std::int64_t begin = 0; begin < args.weight.cols; begin += kPanelCols) {
        matmul_panel<F>(args, row, end, first, count, begin);
      }
      row = end;
    }
  }
}

template <class F>
void matmul_format(const MatmulArgs& args) {
  if (args.num_tokens == 1) return matmul_direct<F, 1>(args);
  if (args.num_tokens == 2) return matmul_direct<F, 2>(args);
  if (args.num_tokens == 3) return matmul_direct<F, 3>(args);
  if constexpr (kDirectTokens == 4) {
    if (args.num_tokens == 4) return matmul_direct<F, 4>(args);
    if (args.num_tokens == 5) return matmul_wide<F, 5>(args);
    if (args.num_tokens == 6) return matmul_wide<F, 6>(args);
    if (args.num_tokens == 7) return matmul_wide<F, 7>(args);
    if (args.num_tokens == 8) return matmul_wide<F, 8>(args);
  }
  matmul_tiled<F>(args);
}

// Weights without a block format.
inline void plain_matmul(const MatmulArgs& args) {
  switch (args.weight.dtype) {
    case DType::kF32:
      return matmul_format<F32Format>(args);
    case DType::kF16:
      return matmul_format<F16Format>(args);
    case DType::kBF16:
      return matmul_format<BF16Format>(args);
    default:
      return matmul_format<F8Format>(args);
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
