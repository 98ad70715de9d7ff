// Matrix products with weights in GGUF's block formats. Include only from isa/ files.
//
// One token: blocks are decoded and multiplied at once. More tokens: four rows of a panel are
// decoded to the first-level cache, then multiplied as in linear-inl.h. Both sum in the order of
// linear-inl.h, so that an output does not depend on the other tokens.
#pragma once

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "cpu/ggml_decode-inl.h"
#include "cpu/kernels.h"
#include "cpu/linear-inl.h"

HWY_BEFORE_NAMESPACE();
namespace m2::cpu::HWY_NAMESPACE {

static_assert(kPanelCols % 256 == 0, "panels are whole blocks");

template <class F>
constexpr std::int64_t ggml_row_bytes(std::int64_t cols) {
  return cols / F::kBlockCols * F::kBlockBytes;
}

// sum += the products of one block with x [kBlockCols]. The bytes `ahead` come next.
template <class F>
HWY_INLINE V dot_block(const std::uint8_t* block, std::int64_t ahead, const float* x, V sum) {
  const D d;
  constexpr std::int64_t kLine = 64;
  for (std::int64_t byte = 0; byte < F::kBlockBytes; byte += kLine) prefetch(block + ahead + byte);
  decode_block<F>(block, [&](std::int64_t col, V weight)
                             HWY_ATTR { sum = hn::MulAdd(weight, hn::LoadU(d, x + col), sum); });
  return sum;
}

// One token, kRows rows, which are decoded in turn: their chains of sums overlap.
template <class F, int kRows>
HWY_INLINE void ggml_rows(const MatmulArgs& args, std::int64_t row, const float* x, float* output) {
  const std::int64_t cols = args.weight.cols;
  const std::int64_t row_bytes = ggml_row_bytes<F>(cols);
  const auto* bytes = static_cast<const std::uint8_t*>(args.weight.data) + row * row_bytes;
  float totals[kRows];
  for (int r = 0; r < kRows; ++r) totals[r] = args.accumulate ? output[r] : 0.0F;
  for (std::int64_t begin = 0; begin < cols; begin += kPanelCols) {
    const std::int64_t end = cols - begin < kPanelCols ? cols : begin + kPanelCols;
    V sums[4] = {hn::Zero(D()), hn::Zero(D()), hn::Zero(D()), hn::Zero(D())};
    for (std::int64_t col = begin; col < end; col += F::kBlockCols) {
      const std::uint8_t* block = bytes + ggml_row_bytes<F>(col);
      HWY_UNROLL(4)
      for (int r = 0; r < kRows; ++r) {
        sums[r] = dot_block<F>(block + r * row_bytes, kRows * row_bytes, x + col, sums[r]);
      }
    }
    float lanes[4];
    reduce4(sums[0], sums[1], sums[2], sums[3], lanes);
    for (int r = 0; r < kRows; ++r) totals[r] += lanes[r];
  }
  for (int r = 0; r < kRows; ++r) output[r] = totals[r];
}

template <class F>
void ggml_one_token(const MatmulArgs& args) {
  const float* x = input_row(args, 0);
  float* output = args.output;
  std::int64_t row = args.row_begin;
  for (; row + 4 <= args.row_end; row += 4, output += 4) ggml_rows<F, 4>(args, row, x, output);
  for (; row < args.row_end; ++row, ++output) ggml_rows<F, 1>(args, row, x, output);
}

// Columns [begin, begin + cols) of a row to every fourth vector of out.
template <class F>
void decode_ggml_panel(const std::uint8_t* row, std::int64_t begin, std::int64_t cols, float* out) {
  const D d;
  for (std::int64_t col = 0; col < cols; col += F::kBlockCols) {
    decode_block<F>(row + ggml_row_bytes<F>(begin + col), [&](std::int64_t i, V weight) HWY_ATTR {
      hn::Store(weight, d, out + (col + i) * 4);
    });
  }
}

using DecodePanel = void (*)(const std::uint8_t* row, std::int64_t begin, std::int64_t cols,
                             float* out);

// One panel of columns for tokens [first, first + num_tokens) and all rows.
inline void ggml_panel(const MatmulArgs& args, DecodePanel decode, std::int64_t row_bytes,
                       std::int64_t first, std::int64_t num_tokens, std::int64_t begin) {
  const std::int64_t rest = args.weight.cols - begin;
  const std::int64_t width = rest < kPanelCols ? rest : kPanelCols;
  for (std::int64_t token = 0; token < num_tokens; token += kTileCols) {
    const std::int64_t count = num_tokens - token < kTileCols ? num_tokens - token : kTileCols;
    const float* inputs[kTileCols];
    for (std::int64_t c = 0; c < count; ++c) {
      inputs[c] = input_row(args, first + token + c) + begin;
    }
    pack_panel<F32Format>(inputs, count, nullptr, width, args.scratch + token * width);
  }
  const bool fresh = begin == 0 && !args.accumulate;
  const auto lanes = static_cast<std::int64_t>(kLanes);
  for (std::int64_t row = args.row_begin; row < args.row_end; row += 4) {
    DecodedRows rows;
    rows.num_rows = args.row_end - row < 4 ? static_cast<int>(args.row_end - row) : 4;
    // Rows that are not there repeat the last one; their sums are not stored.
    for (int r = 0; r < 4; ++r) {
      const std::int64_t from = row + (r < rows.num_rows ? r : rows.num_rows - 1);
      decode(static_cast<const std::uint8_t*>(args.weight.data) + from * row_bytes, begin, width,
             rows.w + r * lanes);
    }
    float* output = args.output + first * args.output_stride + (row - args.row_begin);
    for (std::int64_t token = 0; token < num_tokens; token += kTileCols) {
      const std::int64_t count = num_tokens - token < kTileCols ? num_tokens - token : kTileCols;
      tile_outputs_of<kTileCols>(count, rows, args.scratch + token * width, width / lanes, fresh,
                                 args.output_stride, output + token * args.output_stride);
    }
  }
}

inline void ggml_many_tokens(const MatmulArgs& args, DecodePanel decode, std::int64_t row_bytes) {
  for (std::int64_t first = 0; first < args.num_tokens; first += kTileTokens) {
    const std::int64_t rest = args.num_tokens - first;
    for (std::int64_t begin = 0; begin < args.weight.cols; begin += kPanelCols) {
      ggml_panel(args, decode, row_bytes, first, rest < kTileTokens ? rest : kTileTokens, begin);
    }
  }
}

template <class F>
void matmul_ggml_format(const MatmulArgs& args) {
  if (args.num_tokens == 1) return ggml_one_token<F>(args);
  ggml_many_tokens(args, decode_ggml_panel<F>, ggml_row_bytes<F>(args.weight.cols));
}

inline void matmul(const MatmulArgs& args) {
  if (args.num_tokens == 0) return;
  switch (args.weight.block_format) {
    case BlockFormat::kQ8_0:
      return matmul_ggml_format<Q80Format>(args);
    case BlockFormat::kQ4_0:
      return matmul_ggml_format<Q40Format>(args);
    case BlockFormat::kQ4_1:
      return matmul_ggml_format<Q41Format>(args);
    case BlockFormat::kQ5_0:
      return matmul_ggml_format<Q50Format>(args);
    case BlockFormat::kQ5_1:
      return matmul_ggml_format<Q51Format>(args);
    case BlockFormat::kQ2_K:
      return matmul_ggml_format<Q2KFormat>(args);
    case BlockFormat::kQ3_K:
      return matmul_ggml_format<Q3KFormat>(args);
    case BlockFormat::kQ4_K:
      return matmul_ggml_format<Q4KFormat>(args);
    case BlockFormat::kQ5_K:
      return matmul_ggml_format<Q5KFormat>(args);
    case BlockFormat::kQ6_K:
      return matmul_ggml_format<Q6KFormat>(args);
    case BlockFormat::kIQ4_NL:
      return matmul_ggml_format<Iq4NlFormat>(args);
    case BlockFormat::kIQ4_XS:
      return matmul_ggml_format<Iq4XsFormat>(args);
    default:
      return matmul_own_formats(args);
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
