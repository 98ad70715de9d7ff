// Matrix products with weights in strips (quant/strip_format.h) and quantised activations. Include
// only from isa/ files.
//
// One (row, token) is always the same sum, whatever the way: over its groups of 32 columns in
// order, sum = fma(integer dot product, weight scale * activation scale, sum), from zero.
//
// Few tokens: strips stream from memory, four at a time, and are multiplied in registers
// (bandwidth-bound). More tokens: blocks of columns that stay in the first-level cache, in register
// tiles of kTileVectors vectors of rows by kTileTokens8 tokens; 4-bit codes are spread to bytes
// once a block.
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

// Integer sums must fit the registers beside the weights: 16 of 32, or 8 of 16.
#if HWY_TARGET == HWY_AVX3_DL
constexpr std::int64_t kPassStrips = 2;
constexpr int kTileTokens8 = 8;
template <Codes kCodes>
constexpr int kTileVectors = 2;
template <Codes kCodes>
constexpr int kStreamTokens = 4;
#else
constexpr std::int64_t kPassStrips = 1;
constexpr int kTileTokens8 = 4;
template <Codes kCodes>
constexpr int kTileVectors = kCodes == Codes::kBytes || kStripVectors == 1 ? 1 : 2;
template <Codes kCodes>
constexpr int kStreamTokens = kCodes == Codes::kBytes ? 2 : 4;
#endif
constexpr std::int64_t kPassRows = kPassStrips * kStripRows;
constexpr std::int64_t kBlockGroups = 16;  // 512 columns
constexpr std::int64_t kPassTokens = 128;  // whose sums [128, kPassRows] are kept between blocks
constexpr std::int64_t kBlockBytes = kBlockGroups * kQuantizedCols * kStripRows;

// Several strips side by side read memory faster than one, and a strip is short: what is fetched
// ahead goes on in the strips that come next (int4_g32 on a Xeon, one thread, share of the read
// rate: one strip 0.57, fetched ahead 0.73; four 0.80, fetched ahead 0.85, also into the next
// 0.99).
constexpr std::int64_t kStreamStrips = 4;
constexpr std::int64_t kStreamRows = kStreamStrips * kStripRows;
constexpr std::int64_t kAheadGroups = 4;
constexpr std::int64_t kAheadScales = 512;  // bytes

// Where weights of some neighbouring strips lie.
struct StripLines {
  const std::uint8_t* codes;   // of the first vector and group
  const std::uint8_t* scales;  // the same
  std::int64_t code_stride;    // from strip to strip
  std::int64_t scale_stride;   // the same
  int scale_shift;             // 2^shift groups of 32 columns share a scale
  // What comes into the cache beside a group of this block: lines of the same group of the next.
  const std::uint8_t* ahead;  // of the first strip
  std::int64_t ahead_stride;  // from strip to strip
  std::int64_t ahead_bytes;   // from group to group
  std::int64_t ahead_lines;   // of a strip
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
          .scale_shift = strips.scale_shift,
          .ahead = base + (group + kBlockGroups) * strips.group_bytes,
          .ahead_stride = strips.strip_bytes,
          .ahead_bytes = strips.group_bytes,
          .ahead_lines = 0};
}

// sums[c * stride + row] += dots[r][c] * scales, for vectors of rows that begin at `row` of a
// strip.
template <Codes kCodes, int R, int C>
HWY_INLINE void add_scaled_dots(const Dot<kCodes> (&dots)[R][C],
                                const std::uint8_t* const (&scales)[R],
                                const QuantizedGroup* const* x, std::int64_t stride, float* sums) {
  const D d;
  HWY_UNROLL(4)
  for (int r = 0; r < R; ++r) {
    V scale[1];
    F16Format().decode(scales[r], scale);
    HWY_UNROLL(8)
    for (int c = 0; c < C; ++c) {
      float* sum = sums + c * stride + r * kRowVector;
      const V dot = hn::ConvertTo(d, dots[r][c].finish(*x[c]));
      const V factor = hn::Mul(scale[0], hn::Set(d, x[c]->scale));
      hn::StoreU(hn::MulAdd(dot, factor, hn::LoadU(d, sum)), d, sum);
    }
  }
}

// dots[r][c] = a group of the vector of rows that begins at codes[r] times that of token c.
template <Codes kCodes, int R, int C>
HWY_INLINE void multiply_group(const std::uint8_t* const (&codes)[R],
                               const QuantizedGroup* const* x, Dot<kCodes> (&dots)[R][C]) {
  constexpr std::int64_t kLines = kQuads / kLineQuads<kCodes>;
  HWY_UNROLL(4)
  for (int r = 0; r < R; ++r) {
    HWY_UNROLL(8)
    for (int c = 0; c < C; ++c) dots[r][c].start(*x[c]);
  }
  HWY_UNROLL(8)
  for (std::int64_t line = 0; line < kLines; ++line) {
    typename Dot<kCodes>::Weights weights[R];
    HWY_UNROLL(4)
    for (int r = 0; r < R; ++r) weights[r] = Dot<kCodes>::load(codes[r] + line * kStripLine);
    HWY_UNROLL(2)
    for (std::int64_t quad = 0; quad < kLineQuads<kCodes>; ++quad) {
      HWY_UNROLL(8)
      for (int c = 0; c < C; ++c) {
        const std::int8_t* columns = x[c]->codes + (line * kLineQuads<kCodes> + quad) * 4;
        HWY_UNROLL(4)
        for (int r = 0; r < R; ++r) dots[r][c].add(weights[r], quad, columns);
      }
    }
  }
}

// Bytes from the codes or scales of a group to those that are wanted later, in the same strip or in
// the one kStreamStrips further.
HWY_INLINE std::int64_t ahead_of(std::int64_t offset, std::int64_t ahead, std::int64_t end,
                                 std::int64_t strip_bytes) {
  return offset + ahead < end ? ahead : ahead - end + kStreamStrips * strip_bytes;
}

// sums[c * kStreamRows + row] += the products of up to kStreamStrips strips and C tokens.
template <Codes kCodes, int C>
HWY_INLINE void stream_strips(const Strips& strips, std::int64_t strip, std::int64_t num_strips,
                              const QuantizedGroup* const* rows, float* sums) {
  constexpr int R = static_cast<int>(kStripVectors);
  const std::uint8_t* first = strips.first + strip * strips.strip_bytes;
  const std::int64_t scale_bytes = strips.strip_bytes - strips.code_bytes;
  const QuantizedGroup* x[C];
  for (int c = 0; c < C; ++c) x[c] = rows[c];
  for (std::int64_t group = 0; group < strips.num_groups; ++group) {
    const std::int64_t code_at = group * strips.group_bytes;
    const std::int64_t scale_at = (group >> strips.scale_shift) * kStripRows * 2;
    const std::int64_t codes_ahead =
        ahead_of(code_at, kAheadGroups * strips.group_bytes, strips.code_bytes, strips.strip_bytes);
    const std::int64_t scales_ahead =
        ahead_of(scale_at, kAheadScales, scale_bytes, strips.strip_bytes);
    for (std::int64_t s = 0; s < num_strips; ++s) {
      const std::uint8_t* base = first + s * strips.strip_bytes;
      const std::uint8_t* scale_base = base + strips.code_bytes + scale_at;
      const std::uint8_t* codes[R];
      const std::uint8_t* scales[R];
      HWY_UNROLL(4)
      for (int r = 0; r < R; ++r) {
        codes[r] = base + code_at + r * kVectorBytes;
        scales[r] = scale_base + r * kRowVector * 2;
      }
      HWY_UNROLL(8)
      for (std::int64_t line = 0; line < kQuads / kLineQuads<kCodes>; ++line) {
        prefetch(codes[0] + codes_ahead + line * kStripLine);
      }
      prefetch(scale_base + scales_ahead);
      Dot<kCodes> dots[R][C];
      multiply_group<kCodes, R, C>(codes, x, dots);
      add_scaled_dots<kCodes, R, C>(dots, scales, x, kStreamRows, sums + s * kStripRows);
    }
    for (int c = 0; c < C; ++c) ++x[c];
  }
}

// sums[c * kPassRows + row] += the products of R vectors of rows and C tokens over some groups.
template <Codes kCodes, int R, int C>
HWY_INLINE void strip_tile(const StripLines& lines, const QuantizedGroup* const* rows,
                           std::int64_t num_groups, float* sums) {
  constexpr std::int64_t kGroupBytes = kQuads / kLineQuads<kCodes> * kStripLine;
  const QuantizedGroup* x[C];
  for (int c = 0; c < C; ++c) x[c] = rows[c];
  for (std::int64_t group = 0; group < num_groups; ++group) {
    const std::uint8_t* codes[R];
    const std::uint8_t* scales[R];
    HWY_UNROLL(4)
    for (int r = 0; r < R; ++r) {
      codes[r] = lines.codes + r / kStripVectors * lines.code_stride +
                 r % kStripVectors * kVectorBytes + group * kGroupBytes;
      scales[r] = lines.scales + r / kStripVectors * lines.scale_stride +
                  r % kStripVectors * kRowVector * 2 +
                  (group >> lines.scale_shift) * kStripRows * 2;
    }
    for (std::int64_t line = 0; line < lines.ahead_lines; ++line) {
      const std::uint8_t* ahead = lines.ahead + group * lines.ahead_bytes + line * kStripLine;
      prefetch(ahead);
      if (R > kStripVectors) prefetch(ahead + lines.ahead_stride);
    }
    Dot<kCodes> dots[R][C];
    multiply_group<kCodes, R, C>(codes, x, dots);
    add_scaled_dots<kCodes, R, C>(dots, scales, x, kPassRows, sums);
    for (int c = 0; c < C; ++c) ++x[c];
  }
}

HWY_INLINE const QuantizedGroup* quantized_row(const MatmulArgs& args, std::int64_t token) {
  const std::int64_t row = args.input_rows == nullptr ? token : args.input_rows[token];
  return args.quantized_input + row * quantized_groups(args.weight.cols);
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

template <Codes kCodes, int C>
void strip_stream(const MatmulArgs& args) {
  const Strips strips = strips_of(args.weight, args.row_begin);
  const QuantizedGroup* x[C];
  for (int c = 0; c < C; ++c) x[c] = quantized_row(args, c);
  const std::int64_t end = (args.row_end - args.row_begin + kStripRows - 1) / kStripRows;
  for (std::int64_t strip = 0; strip < end; strip += kStreamStrips) {
    HWY_ALIGN float sums[C * kStreamRows];
    __builtin_memset(sums, 0, sizeof(sums));
    const std::int64_t count = end - strip < kStreamStrips ? end - strip : kStreamStrips;
    stream_strips<kCodes, C>(strips, strip, count, x, sums);
    for (int c = 0; c < C; ++c) {
      store_sums(args, args.row_begin + strip * kStripRows, count * kStripRows, c,
                 sums + c * kStreamRows);
    }
  }
}

template <Codes kCodes, int C>
void strip_stream_of(const MatmulArgs& args) {
  if (args.num_tokens == C) {
    strip_stream<kCodes, C>(args);
  } else if constexpr (C > 1) {
    strip_stream_of<kCodes, C - 1>(args);
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
template <Codes kCodes, int C>
void strip_tokens(std::int64_t count, const StripLines& lines, std::int64_t num_strips,
                  const QuantizedGroup* const* x, std::int64_t num_groups, float* sums) {
  if (count < C) {
    if constexpr (C > 1) {
      strip_tokens<kCodes, C - 1>(count, lines, num_strips, x, num_groups, sums);
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
    if (offset != 0) tile.ahead_lines = 0;
    // A strip without a partner stands in for it; nobody reads those sums.
    if (R > kStripVectors && strip + 1 == num_strips) tile.code_stride = tile.scale_stride = 0;
    strip_tile<kCodes, R, C>(tile, x, num_groups, sums + vector * kRowVector);
  }
}

// Many tokens and up to kPassStrips strips.
template <Codes kCodes>
void strip_pass(const MatmulArgs& args, const Strips& strips, std::int64_t row,
                std::int64_t first_token, std::int64_t num_tokens) {
  const bool widen = kCodes == Codes::kNibbles && num_tokens > kTileTokens8;
  float* sums = args.scratch;  // [num_tokens, kPassRows]
  __builtin_memset(sums, 0, static_cast<std::size_t>(num_tokens * kPassRows) * sizeof(float));
  const std::int64_t strip = (row - args.row_begin) / kStripRows;
  const std::int64_t rest = (args.row_end - row + kStripRows - 1) / kStripRows;
  const std::int64_t num_strips = rest < kPassStrips ? rest : kPassStrips;
  const std::int64_t num_tiles = (num_tokens + kTileTokens8 - 1) / kTileTokens8;
  // The tiles of a block share its fetching ahead.
  const std::int64_t group_lines = strips.group_bytes / kStripLine;
  const std::int64_t share = (group_lines + num_tiles - 1) / num_tiles;
  for (std::int64_t group = 0; group < strips.num_groups; group += kBlockGroups) {
    const std::int64_t left = strips.num_groups - group;
    const std::int64_t num_groups = left < kBlockGroups ? left : kBlockGroups;
    StripLines lines = lines_of(strips, strip, group);
    if (widen) {
      auto* wide = reinterpret_cast<std::uint8_t*>(sums + kPassTokens * kPassRows);
      widen_block(lines, num_strips, num_groups, wide);
      lines.codes = wide;
      lines.code_stride = kBlockBytes;
    }
    for (std::int64_t tile = 0; tile < num_tiles; ++tile) {
      const bool fetches = tile * share < group_lines && left > kBlockGroups;
      lines.ahead_lines = fetches ? share : 0;
      if (fetches && tile > 0) lines.ahead += share * kStripLine;
      const std::int64_t token = tile * kTileTokens8;
      const std::int64_t more = num_tokens - token;
      const std::int64_t count = more < kTileTokens8 ? more : kTileTokens8;
      const QuantizedGroup* x[kTileTokens8];
      for (std::int64_t c = 0; c < count; ++c) {
        x[c] = quantized_row(args, first_token + token + c) + group;
      }
      float* out = sums + token * kPassRows;
      if (widen) {
        strip_tokens<kWideCodes, kTileTokens8>(count, lines, num_strips, x, num_groups, out);
      } else {
        strip_tokens<kCodes, kTileTokens8>(count, lines, num_strips, x, num_groups, out);
      }
    }
  }
  for (std::int64_t token = 0; token < num_tokens; ++token) {
    store_sums(args, row, kPassRows, first_token + token, sums + token * kPassRows);
  }
}

template <Codes kCodes>
void strip_matmul_of(const MatmulArgs& args) {
  if (args.num_tokens <= kStreamTokens<kCodes>) {
    return strip_stream_of<kCodes, kStreamTokens<kCodes>>(args);
  }
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
