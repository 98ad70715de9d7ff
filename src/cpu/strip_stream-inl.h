// Strips times few tokens: they stream from memory, four at a time, and are multiplied in registers
// (bandwidth-bound). Include only from isa/ files.
#pragma once

#include <hwy/highway.h>

#include <cstdint>

#include "cpu/strip_lines-inl.h"
#include "cpu/token_tiles.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL  // Highway checks for it but does not tell the compiler
HWY_PUSH_ATTRIBUTES("avx512vnni,gfni")
#endif
namespace m2::cpu::HWY_NAMESPACE {

// Integer sums must fit the registers beside the weights: 16 of 32, or 8 of 16.
#if HWY_TARGET == HWY_AVX3_DL
template <Codes kCodes>
constexpr int kStreamTokens = 4;
#else
template <Codes kCodes>
constexpr int kStreamTokens = kCodes == Codes::kBytes ? 2 : 4;
#endif

// Several strips side by side read memory faster than one, and a strip is short: what is fetched
// ahead goes on in the strips that come next (int4_g32 on a Xeon, one thread, share of the read
// rate: one strip 0.57, fetched ahead 0.73; four 0.80, fetched ahead 0.85, also into the next
// 0.99).
constexpr std::int64_t kStreamStrips = 4;
constexpr std::int64_t kStreamRows = kStreamStrips * kStripRows;
constexpr std::int64_t kAheadScales = 512;  // bytes

// Bytes from the codes or scales of a block to those that are wanted later, in the same strip or in
// the one kStreamStrips further.
HWY_INLINE std::int64_t ahead_of(std::int64_t offset, std::int64_t ahead, std::int64_t end,
                                 std::int64_t strip_bytes) {
  return offset + ahead < end ? ahead : ahead - end + kStreamStrips * strip_bytes;
}

// Where 128 columns of a strip lie, and how far further the bytes to fetch.
struct StreamBlock {
  const std::uint8_t* codes;
  const std::uint8_t* scales;
  std::int64_t codes_ahead;
  std::int64_t scales_ahead;
  std::int64_t num_groups;
};

// sums[c * kStreamRows + row] += the products of a block of a strip and C tokens.
template <Codes kCodes, bool kOneScale, int C>
HWY_INLINE void stream_block(const StreamBlock& block, const QuantizedGroup* const (&rows)[C],
                             float* sums) {
  constexpr int R = static_cast<int>(kStripVectors);
  constexpr bool kRunsOn = kOneScale && Dot<kCodes>::kRunsOn;
  const D d;
  V parts[R][C];
  V32 totals[R][C];
  Dot<kCodes> dots[R][C];
  for (int c = 0; c < C; ++c) {
    std::int32_t offset = 0;
    if (kRunsOn)
      for (int g = 0; g < kScaleGroups; ++g) offset += rows[c][g].offset;
    for (int r = 0; r < R; ++r) {
      parts[r][c] = hn::Zero(d);
      totals[r][c] = hn::Zero(D32());
      dots[r][c].start(offset);
    }
  }
  for (std::int64_t group = 0; group < block.num_groups; ++group) {
    const QuantizedGroup* x[C];
    for (int c = 0; c < C; ++c) x[c] = rows[c] + group;
    const std::uint8_t* codes[R];
    for (int r = 0; r < R; ++r) {
      codes[r] = block.codes + group * kGroupLines<kCodes> * kStripLine + r * kVectorBytes;
    }
    HWY_UNROLL(8)
    for (std::int64_t line = 0; line < kGroupLines<kCodes>; ++line) {
      prefetch(codes[0] + block.codes_ahead + line * kStripLine);
    }
    if (!kRunsOn) {
      for (int c = 0; c < C; ++c) {
        for (int r = 0; r < R; ++r) dots[r][c].start(x[c]->offset);
      }
    }
    multiply_quads<kQuads>(codes, RowColumns{x}, dots);
    for (int r = 0; r < R && !kRunsOn; ++r) {
      V scale[1];
      if (!kOneScale) {
        F16Format().decode(block.scales + group * kScaleBytes + r * kRowVector * 2, scale);
      }
      for (int c = 0; c < C; ++c) {
        const V32 dot = dots[r][c].finish(x[c]->offset);
        if (kOneScale) {
          totals[r][c] = hn::Add(totals[r][c], dot);
        } else {
          parts[r][c] = hn::MulAdd(hn::ConvertTo(d, dot), scale[0], parts[r][c]);
        }
      }
    }
  }
  for (int r = 0; r < R; ++r) {
    V scale[1];
    if (kOneScale) F16Format().decode(block.scales + r * kRowVector * 2, scale);
    for (int c = 0; c < C; ++c) {
      if (kOneScale) {
        const V32 total = kRunsOn ? dots[r][c].finish(0) : totals[r][c];
        parts[r][c] = hn::Mul(hn::ConvertTo(d, total), scale[0]);
      }
      float* sum = sums + c * kStreamRows + r * kRowVector;
      hn::StoreU(hn::MulAdd(parts[r][c], hn::Set(d, rows[c]->scale), hn::LoadU(d, sum)), d, sum);
    }
  }
}

// sums[c * kStreamRows + row] += the products of up to kStreamStrips strips and C tokens.
template <Codes kCodes, bool kOneScale, int C>
HWY_INLINE void stream_strips(const Strips& strips, std::int64_t strip, std::int64_t num_strips,
                              const QuantizedGroup* const* rows, float* sums) {
  const std::uint8_t* first = strips.first + strip * strips.strip_bytes;
  const std::int64_t scale_bytes = strips.strip_bytes - strips.code_bytes;
  constexpr std::int64_t kBlockScales = kScaleBytes * (kOneScale ? 1 : kScaleGroups);
  const QuantizedGroup* x[C];
  for (int c = 0; c < C; ++c) x[c] = rows[c];
  for (std::int64_t index = 0; index < strips.num_blocks; ++index) {
    const std::int64_t block_bytes = kScaleGroups * strips.group_bytes;
    const std::int64_t code_at = index * block_bytes;
    const std::int64_t scale_at = index * kBlockScales;
    const std::int64_t left = strips.num_groups - index * kScaleGroups;
    StreamBlock block = {
        .codes = first + code_at,
        .scales = first + strips.code_bytes + scale_at,
        .codes_ahead = ahead_of(code_at, block_bytes, strips.code_bytes, strips.strip_bytes),
        .scales_ahead = ahead_of(scale_at, kAheadScales, scale_bytes, strips.strip_bytes),
        .num_groups = left < kScaleGroups ? left : kScaleGroups};
    for (std::int64_t s = 0; s < num_strips; ++s) {
      for (std::int64_t i = 0; i < kBlockScales; i += kStripLine) {
        prefetch(block.scales + block.scales_ahead + i);
      }
      stream_block<kCodes, kOneScale, C>(block, x, sums + s * kStripRows);
      block.codes += strips.strip_bytes;
      block.scales += strips.strip_bytes;
    }
    for (int c = 0; c < C; ++c) x[c] += kScaleGroups;
  }
}

template <Codes kCodes, bool kOneScale, int C>
HWY_INLINE void stream_tokens(std::int64_t count, const Strips& strips, std::int64_t strip,
                              std::int64_t num_strips, const QuantizedGroup* const* rows,
                              float* sums) {
  if (count == C) {
    stream_strips<kCodes, kOneScale, C>(strips, strip, num_strips, rows, sums);
  } else if constexpr (C > 1) {
    stream_tokens<kCodes, kOneScale, C - 1>(count, strips, strip, num_strips, rows, sums);
  }
}

HWY_INLINE const QuantizedGroup* quantized_row(const MatmulArgs& args, std::int64_t token) {
  const std::int64_t row = args.input_rows == nullptr ? token : args.input_rows[token];
  return args.quantized_input + row * quantized_groups(args.weight.cols);
}

// Up to kMostRowTokens tokens.
template <Codes kCodes, bool kOneScale>
void strip_stream(const MatmulArgs& args) {
  constexpr std::int64_t kMost = kStreamTokens<kCodes>;
  const Strips strips = strips_of(args.weight, args.row_begin);
  const QuantizedGroup* x[kMostRowTokens];
  for (std::int64_t c = 0; c < args.num_tokens; ++c) x[c] = quantized_row(args, c);
  const std::int64_t end = (args.row_end - args.row_begin + kStripRows - 1) / kStripRows;
  for (std::int64_t strip = 0; strip < end; strip += kStreamStrips) {
    HWY_ALIGN float sums[kMostRowTokens * kStreamRows];
    __builtin_memset(sums, 0, sizeof(sums));
    const std::int64_t num_strips = end - strip < kStreamStrips ? end - strip : kStreamStrips;
    for (std::int64_t c = 0; c < args.num_tokens; c += kMost) {
      const std::int64_t rest = args.num_tokens - c;
      stream_tokens<kCodes, kOneScale, kMost>(rest < kMost ? rest : kMost, strips, strip,
                                              num_strips, x + c, sums + c * kStreamRows);
    }
    for (std::int64_t c = 0; c < args.num_tokens; ++c) {
      store_sums(args, args.row_begin + strip * kStripRows, num_strips * kStripRows, c,
                 sums + c * kStreamRows);
    }
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
HWY_POP_ATTRIBUTES
#endif
HWY_AFTER_NAMESPACE();
