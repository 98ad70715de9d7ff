// Where the weights of strips (quant/strip_format.h) lie, and where their products go. Include only
// from isa/ files.
#pragma once

#include <hwy/highway.h>

#include <cstdint>

#include "cpu/kernels.h"
#include "cpu/strip_dot-inl.h"
#include "quant/strip_format.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL  // Highway checks for it but does not tell the compiler
HWY_PUSH_ATTRIBUTES("avx512vnni,gfni")
#endif
namespace m2::cpu::HWY_NAMESPACE {

constexpr std::int64_t kStripVectors = kStripRows / kRowVector;
constexpr std::int64_t kScaleBytes = kStripRows * 2;  // of a group of a strip

// Lines of codes of 32 columns.
template <Codes kCodes>
constexpr std::int64_t kGroupLines = kQuads / kCodeQuads<kCodes>;

struct Strips {
  const std::uint8_t* first;  // strip
  std::int64_t strip_bytes;
  std::int64_t code_bytes;
  std::int64_t group_bytes;  // of codes of 16 rows by 32 columns
  std::int64_t num_blocks;   // of 128 columns, the last one perhaps not whole
  std::int64_t num_groups;   // of 32 columns
};

HWY_INLINE Strips strips_of(const WeightView& weight, std::int64_t row) {
  const StripLayout layout = strip_layout(weight.block_format, weight.cols);
  const std::int64_t num_groups = layout.num_groups * (layout.group_size / kQuantizedCols);
  return {.first = static_cast<const std::uint8_t*>(weight.data) +
                   row / kStripRows * layout.strip_bytes(),
          .strip_bytes = layout.strip_bytes(),
          .code_bytes = layout.code_bytes(),
          .group_bytes = kStripRows * kQuantizedCols * layout.bits / 8,
          .num_blocks = (num_groups + kScaleGroups - 1) / kScaleGroups,
          .num_groups = num_groups};
}

// The columns of a group of some tokens: rows, or a tile of C tokens.
struct RowColumns {
  const QuantizedGroup* const* rows;
  HWY_INLINE const std::int8_t* quad(std::int64_t index, int token) const {
    return rows[token]->codes + index * 4;
  }
};
template <int C>
struct TileColumns {
  const std::int8_t* codes;
  HWY_INLINE const std::int8_t* quad(std::int64_t index, int token) const {
    return codes + (index * C + token) * 4;
  }
};

// The same of 128 columns as words: the even ones, then the odd ones.
template <int C>
struct WordColumns {
  const std::int8_t* even;
  HWY_INLINE WordQuad quad(std::int64_t index, int token) const {
    const std::int8_t* at = even + (index * C + token) * 4;
    return {at, at + kScaleCols * C};
  }
};

// dots[r][c] += some quads of the vector of rows that begins at codes[r] times those of token c.
template <std::int64_t kNumQuads, class Product, int R, int C, class Columns>
HWY_INLINE void multiply_quads(const std::uint8_t* const (&codes)[R], const Columns& columns,
                               Product (&dots)[R][C]) {
  constexpr std::int64_t kLine = Product::kLineQuads;
  HWY_UNROLL(8)
  for (std::int64_t line = 0; line < kNumQuads / kLine; ++line) {
    typename Product::Weights weights[R];
    HWY_UNROLL(4)
    for (int r = 0; r < R; ++r) {
      weights[r] = Product::load(codes[r] + line * Product::kLines * kStripLine);
    }
    HWY_UNROLL(2)
    for (std::int64_t quad = line * kLine; quad < (line + 1) * kLine; ++quad) {
      HWY_UNROLL(12)
      for (int c = 0; c < C; ++c) {
        const auto x = columns.quad(quad, c);
        HWY_UNROLL(4)
        for (int r = 0; r < R; ++r) dots[r][c].add(weights[r], quad, x);
      }
    }
  }
}

// The sums of some rows from `row` on to the output of a token.
HWY_INLINE void store_sums(const MatmulArgs& args, std::int64_t row, std::int64_t num_rows,
                           std::int64_t token, const float* sums) {
  const D d;
  const std::int64_t rest = args.row_end - row;
  const std::int64_t count = rest < num_rows ? rest : num_rows;
  float* output = args.output + token * args.output_stride + (row - args.row_begin);
  std::int64_t i = 0;
  for (; i + kRowVector <= count; i += kRowVector) {
    V value = hn::LoadU(d, sums + i);
    if (args.accumulate) value = hn::Add(hn::LoadU(d, output + i), value);
    hn::StoreU(value, d, output + i);
  }
  for (; i < count; ++i) output[i] = args.accumulate ? output[i] + sums[i] : sums[i];
}

}  // namespace m2::cpu::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
HWY_POP_ATTRIBUTES
#endif
HWY_AFTER_NAMESPACE();
