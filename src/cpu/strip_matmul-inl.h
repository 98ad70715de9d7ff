// Matrix products with weights in strips (quant/strip_format.h) and quantised activations. Include
// only from isa/ files.
//
// One (row, token) is always the same sum, whatever the tile: over its groups of 32 columns in
// order, sum = fma(integer dot product, weight scale * activation scale, sum), from zero.
//
// One token streams whole strips from memory. More tokens go through blocks of columns that stay in
// the first-level cache, in register tiles of kTileVectors vectors of rows by kTileTokens tokens;
// 4-bit codes for many tokens are spread to bytes once a block.
#pragma once

#include <hwy/highway.h>

#include <cstdint>

#include "cpu/kernels.h"
#include "cpu/strip_dot-inl.h"
#include "quant/strip_format.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL  // Highway checks for it but does not tell the compiler
HWY_PUSH_ATTRIBUTES("avx512vnni")
#endif
namespace m2::cpu::HWY_NAMESPACE {

constexpr std::int64_t kStripVectors = kStripRows / kRowVector;

// Integer sums of a tile must fit the registers beside the weights: 16 of 32, or 8 of 16.
#if HWY_TARGET == HWY_AVX3_DL
constexpr std::int64_t kPassStrips = 2;
constexpr int kTileTokens8 = 8;
template <Codes kCodes>
constexpr int kTileVectors = 2;
#else
constexpr std::int64_t kPassStrips = 1;
constexpr int kTileTokens8 = 4;
template <Codes kCodes>
constexpr int kTileVectors = kCodes == Codes::kBytes || kStripVectors == 1 ? 1 : 2;
#endif
constexpr std::int64_t kPassRows = kPassStrips * kStripRows;
constexpr std::int64_t kBlockGroups = 16;  // 512 columns
constexpr std::int64_t kPassTokens = 128;  // whose sums [128, kPassRows] are kept between blocks
constexpr std::int64_t kBlockBytes = kBlockGroups * kQuantizedCols * kStripRows;

// Where a tile's weights lie.
struct StripLines {
  const std::uint8_t* codes;   // of the first vector and group
  const std::uint8_t* scales;  // the same
  std::int64_t code_stride;    // from strip to strip
  std::int64_t scale_stride;   // the same
  int scale_shift;             // 2^shift groups of 32 columns share a scale
};

// Weights and what is known of their format.
struct Strips {
  const std::uint8_t* first;  // strip
  std::int64_t strip_bytes;
  std::int64_t code_bytes;
  std::int64_t group_bytes;  // of codes of 16 rows by 32 columns
  std::int64_t num_groups;   // of 32 columns
  int scale_shift;
};

HWY_INLINE Strips strips_of(const WeightView& weight, std::int64_t row) {
  const StripLayout layout = strip_layout(weight.block_format, weight.cols);
  const std::int64_t groups_per_scale = layout.group_size / kQuantizedCols;
  return {.first = static_cast<const std::uint8_t*>(weight.data) +
                   row / kStripRows * layout.strip_bytes(),
          .strip_bytes = layout.strip_bytes(),
          .code_bytes = layout.code_bytes(),
          .group_bytes = kStripRows * kQuantizedCols * layout.bits / 8,
          .num_groups = layout.num_groups * groups_per_scale,
          .scale_shift = groups_per_scale == 4 ? 2 : 0};
}

HWY_INLINE StripLines lines_of(const Strips& strips, std::int64_t strip, std::int64_t group) {
  const std::uint8_t* base = strips.first + strip * strips.strip_bytes;
  return {.codes = base + group * strips.group_bytes,
          .scales = base + strips.code_bytes + (group >> strips.scale_shift) * kStripRows * 2,
          .code_stride = strips.strip_bytes,
          .scale_stride = strips.strip_bytes,
          .scale_shift = strips.scale_shift};
}

// From memory into the second-level cache; an address past the end of the weight does no harm.
constexpr std::int64_t kStreamAhead = 4096;

// sums[c * kPassRows + row] += the products of R vectors of rows and C tokens over some groups.
template <Codes kCodes, int R, int C, bool kStream>
HWY_INLINE void strip_tile(const StripLines& lines, const QuantizedGroup* const* x,
                           std::int64_t num_groups, float* sums) {
  const D d;
  constexpr std::int64_t kLines = kQuads / kLineQuads<kCodes>;
  const std::uint8_t* codes[R];
  const std::uint8_t* scales[R];
  HWY_UNROLL(4)
  for (int r = 0; r < R; ++r) {
    codes[r] =
        lines.codes + r / kStripVectors * lines.code_stride + r % kStripVectors * kVectorBytes;
    scales[r] =
        lines.scales + r / kStripVectors * lines.scale_stride + r % kStripVectors * kRowVector * 2;
  }
  for (std::int64_t group = 0; group < num_groups; ++group) {
    Dot<kCodes> dots[R][C];
    HWY_UNROLL(4)
    for (int r = 0; r < R; ++r) {
      HWY_UNROLL(8)
      for (int c = 0; c < C; ++c) dots[r][c].start(x[c][group]);
    }
    HWY_UNROLL(8)
    for (std::int64_t line = 0; line < kLines; ++line) {
      typename Dot<kCodes>::Weights weights[R];
      HWY_UNROLL(4)
      for (int r = 0; r < R; ++r) {
        const std::uint8_t* at = codes[r] + (group * kLines + line) * kStripLine;
        if (kStream && r % kStripVectors == 0) __builtin_prefetch(at + kStreamAhead, 0, 2);
        weights[r] = Dot<kCodes>::load(at);
      }
      HWY_UNROLL(2)
      for (std::int64_t quad = 0; quad < kLineQuads<kCodes>; ++quad) {
        HWY_UNROLL(8)
        for (int c = 0; c < C; ++c) {
          const std::int8_t* columns = x[c][group].codes + (line * kLineQuads<kCodes> + quad) * 4;
          HWY_UNROLL(4)
          for (int r = 0; r < R; ++r) dots[r][c].add(weights[r], quad, columns);
        }
      }
    }
    HWY_UNROLL(4)
    for (int r = 0; r < R; ++r) {
      V scale[1];
      F16Format().decode(scales[r] + (group >> lines.scale_shift) * kStripRows * 2, scale);
      HWY_UNROLL(8)
      for (int c = 0; c < C; ++c) {
        float* sum = sums + c * kPassRows + r * kRowVector;
        const V dot = hn::ConvertTo(d, dots[r][c].finish(x[c][group]));
        const V factor = hn::Mul(scale[0], hn::Set(d, x[c][group].scale));
        hn::StoreU(hn::MulAdd(dot, factor, hn::LoadU(d, sum)), d, sum);
      }
    }
  }
}

HWY_INLINE const QuantizedGroup* quantized_row(const MatmulArgs& args, std::int64_t token) {
  const std::int64_t row = args.input_rows == nullptr ? token : args.input_rows[token];
  return args.quantized_input + row * quantized_groups(args.weight.cols);
}

// sums [kPassRows] of the strips from `row` on to the output of a token.
HWY_INLINE void store_sums(const MatmulArgs& args, std::int64_t row, std::int64_t token,
                           const float* sums) {
  const D d;
  const std::int64_t rest = args.row_end - row;
  const std::int64_t count = rest < kPassRows ? rest : kPassRows;
  float* output = args.output + token * args.output_stride + (row - args.row_begin);
  std::int64_t i = 0;
  for (; i + kRowVector <= count; i += kRowVector) {
    V value = hn::LoadU(d, sums + i);
    if (args.accumulate) value = hn::Add(hn::LoadU(d, output + i), value);
    hn::StoreU(value, d, output + i);
  }
  for (; i < count; ++i) output[i] = args.accumulate ? output[i] + sums[i] : sums[i];
}

// One token: strips from front to back.
template <Codes kCodes>
void strip_gemv(const MatmulArgs& args) {
  const Strips strips = strips_of(args.weight, args.row_begin);
  const QuantizedGroup* x = quantized_row(args, 0);
  HWY_ALIGN float sums[kPassRows];
  for (std::int64_t row = args.row_begin; row < args.row_end; row += kStripRows) {
    __builtin_memset(sums, 0, sizeof(sums));
    const StripLines lines = lines_of(strips, (row - args.row_begin) / kStripRows, 0);
    strip_tile<kCodes, kStripVectors, 1, true>(lines, &x, strips.num_groups, sums);
    MatmulArgs one = args;
    one.row_end = args.row_end < row + kStripRows ? args.row_end : row + kStripRows;
    store_sums(one, row, 0, sums);
  }
}

// A block of the strips of a pass, 4-bit codes as bytes, [kPassStrips, groups, 8, 64].
HWY_INLINE void widen_block(const StripLines& lines, std::int64_t num_strips,
                            std::int64_t num_groups, std::uint8_t* out) {
  const hn::ScalableTag<std::uint8_t> d8;
  const auto mask = hn::Set(d8, 15);
  const auto bias = hn::Set(d8, kWideBias);
  constexpr auto kStep = static_cast<std::int64_t>(hn::MaxLanes(d8));
  for (std::int64_t strip = 0; strip < num_strips; ++strip) {
    const std::uint8_t* from = lines.codes + strip * lines.code_stride;
    std::uint8_t* to = out + strip * kBlockBytes;
    for (std::int64_t line = 0; line < num_groups * kQuads / 2; ++line) {
      __builtin_prefetch(from + kStreamAhead, 0, 2);
      for (std::int64_t i = 0; i < kStripLine; i += kStep) {
        const auto codes = hn::LoadU(d8, from + i);
#if HWY_TARGET == HWY_SCALAR
        const auto high = hn::Set(d8, static_cast<std::uint8_t>(hn::GetLane(codes) >> 4));
#else
        const hn::RepartitionToWide<decltype(d8)> d16;
        const auto high =
            hn::And(hn::BitCast(d8, hn::ShiftRight<4>(hn::BitCast(d16, codes))), mask);
#endif
        hn::StoreU(hn::Add(hn::And(codes, mask), bias), d8, to + i);
        hn::StoreU(hn::Add(high, bias), d8, to + kStripLine + i);
      }
      from += kStripLine;
      to += 2 * kStripLine;
    }
  }
}

// Tiles of one block for C tokens; the last, smaller group of tokens has a C of its own.
template <Codes kCodes, int C, bool kStream>
void strip_tokens(std::int64_t count, const StripLines& lines, std::int64_t num_strips,
                  const QuantizedGroup* const* x, std::int64_t num_groups, float* sums) {
  if (count < C) {
    if constexpr (C > 1) {
      strip_tokens<kCodes, C - 1, kStream>(count, lines, num_strips, x, num_groups, sums);
    }
    return;
  }
  constexpr int R = kTileVectors<kCodes>;
  for (std::int64_t vector = 0; vector < num_strips * kStripVectors; vector += R) {
    StripLines tile = lines;
    const std::int64_t offset = vector % kStripVectors * kRowVector;
    const std::int64_t strip = vector / kStripVectors;
    tile.codes += strip * lines.code_stride + 4 * offset;
    tile.scales += strip * lines.scale_stride + 2 * offset;
    // A strip without a partner stands in for it; nobody reads those sums.
    if (R > kStripVectors && strip + 1 == num_strips) tile.code_stride = tile.scale_stride = 0;
    strip_tile<kCodes, R, C, kStream>(tile, x, num_groups, sums + vector * kRowVector);
  }
}

// Several tokens and up to kPassStrips strips.
template <Codes kCodes>
void strip_pass(const MatmulArgs& args, const Strips& strips, std::int64_t row,
                std::int64_t first_token, std::int64_t num_tokens) {
  float* sums = args.scratch;  // [num_tokens, kPassRows]
  auto* wide = reinterpret_cast<std::uint8_t*>(sums + kPassTokens * kPassRows);
  __builtin_memset(sums, 0, static_cast<std::size_t>(num_tokens * kPassRows) * sizeof(float));
  const std::int64_t strip = (row - args.row_begin) / kStripRows;
  const std::int64_t rest = (args.row_end - row + kStripRows - 1) / kStripRows;
  const std::int64_t num_strips = rest < kPassStrips ? rest : kPassStrips;
  const bool widen = kCodes == Codes::kNibbles && num_tokens > kTileTokens8;
  for (std::int64_t group = 0; group < strips.num_groups; group += kBlockGroups) {
    const std::int64_t left = strips.num_groups - group;
    const std::int64_t num_groups = left < kBlockGroups ? left : kBlockGroups;
    StripLines lines = lines_of(strips, strip, group);
    if (widen) {
      widen_block(lines, num_strips, num_groups, wide);
      lines.codes = wide;
      lines.code_stride = kBlockBytes;
    }
    for (std::int64_t token = 0; token < num_tokens; token += kTileTokens8) {
      const QuantizedGroup* x[kTileTokens8];
      const std::int64_t more = num_tokens - token;
      const std::int64_t count = more < kTileTokens8 ? more : kTileTokens8;
      for (std::int64_t c = 0; c < count; ++c) {
        x[c] = quantized_row(args, first_token + token + c) + group;
      }
      float* out = sums + token * kPassRows;
      if (token == 0 && !widen) {
        strip_tokens<kCodes, kTileTokens8, true>(count, lines, num_strips, x, num_groups, out);
      } else {
        constexpr Codes kCached = kCodes == Codes::kNibbles ? kWideCodes : kCodes;
        strip_tokens<kCached, kTileTokens8, false>(count, lines, num_strips, x, num_groups, out);
      }
    }
  }
  for (std::int64_t token = 0; token < num_tokens; ++token) {
    store_sums(args, row, first_token + token, sums + token * kPassRows);
  }
}

template <Codes kCodes>
void strip_matmul_of(const MatmulArgs& args) {
  if (args.num_tokens == 1) return strip_gemv<kCodes>(args);
  const Strips strips = strips_of(args.weight, args.row_begin);
  for (std::int64_t token = 0; token < args.num_tokens; token += kPassTokens) {
    const std::int64_t rest = args.num_tokens - token;
    const std::int64_t count = rest < kPassTokens ? rest : kPassTokens;
    for (std::int64_t row = args.row_begin; row < args.row_end; row += kPassRows) {
      strip_pass<kCodes>(args, strips, row, token, count);
    }
  }
}

// row_begin is a multiple of 16.
inline void strip_matmul(const MatmulArgs& args) {
  if (args.weight.block_format == BlockFormat::kInt8G32) {
    strip_matmul_of<Codes::kBytes>(args);
  } else {
    strip_matmul_of<Codes::kNibbles>(args);
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
HWY_POP_ATTRIBUTES
#endif
HWY_AFTER_NAMESPACE();
