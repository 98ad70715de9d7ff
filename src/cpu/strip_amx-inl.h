// Strips times many tokens by the matrix unit of Xeons (AMX): 16 tokens by 16 rows by 32 columns in
// one instruction. Include only from isa/avx3_dl.cc.
//
// Sums are the same as without it (strip_matmul-inl.h). The unit reads both sides from memory:
// codes of a block of a pass are spread to signed bytes, and the tokens of a tile (up to 16) lie,
// for every 128 columns, as
//
//   codes   [C, 128] i8
//   scales  [C] f32 at kTileScales * C
//
// with the strides of cpu/token_tiles.h.
#pragma once

#include <hwy/highway.h>
#include <immintrin.h>

#include <cstdint>

#include "cpu/ggml_matmul-inl.h"

HWY_BEFORE_NAMESPACE();
HWY_PUSH_ATTRIBUTES("avx512vnni,gfni,amx-tile,amx-int8")
namespace m2::cpu::HWY_NAMESPACE {

constexpr int kAmxTokens = 16;
constexpr std::int64_t kLeastAmxTokens = 32;  // of a pass; with fewer, the vector unit is faster
constexpr std::int64_t kAmxRow = 64;          // bytes of a row of a tile register
static_assert(kPassStrips == 2 && kStripVectors == 1);

/// What `ldtilecfg` reads.
struct alignas(64) AmxConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};
};
static_assert(sizeof(AmxConfig) == 64);

// Registers 0 to 3 are sums of C tokens, 4 and 5 hold these and 6 and 7 two strips, `cols` columns
// of both.
HWY_INLINE void configure_amx(std::int64_t num_tokens, std::int64_t cols) {
  AmxConfig config;
  const auto tokens = static_cast<std::uint8_t>(num_tokens);
  for (int i = 0; i < 4; ++i) {
    config.row_bytes[i] = kAmxRow;
    config.rows[i] = tokens;
  }
  for (int i = 4; i < 6; ++i) {
    config.row_bytes[i] = static_cast<std::uint16_t>(cols);
    config.rows[i] = tokens;
  }
  for (int i = 6; i < 8; ++i) {
    config.row_bytes[i] = kAmxRow;
    config.rows[i] = static_cast<std::uint8_t>(cols / 4);
  }
  // The intrinsics do not tell the compiler what they read.
  asm volatile("" : : "r"(&config) : "memory");
  _tile_loadconfig(&config);
}

inline void pack_amx_tokens(const PackArgs& args) {
  if (args.num_tokens < kLeastAmxTokens) return pack_tokens(args);
  const std::int64_t num_groups = quantized_groups(args.cols);
  const TokenTiles tiles(args.num_tokens, kAmxTokens);
  std::uint8_t* out = args.output;
  for (std::int64_t tile = 0, first = 0; tile < tiles.count; first += tiles.size(tile), ++tile) {
    const std::int64_t size = tiles.size(tile);
    for (std::int64_t c = 0; c < size; ++c) {
      const std::int64_t token = first + c;
      const QuantizedGroup* groups =
          args.rows + (args.input_rows == nullptr ? token : args.input_rows[token]) * num_groups;
      std::uint8_t* block = out;
      for (std::int64_t g = 0; g < num_groups; g += kScaleGroups) {
        for (std::int64_t i = 0; i < kScaleGroups; ++i) {
          __builtin_memcpy(block + c * kScaleCols + i * kQuantizedCols, groups[g + i].codes,
                           kQuantizedCols);
        }
        __builtin_memcpy(block + kTileScales * size + c * 4, &groups[g].scale, 4);
        block += kTileBytes * size;
      }
    }
    out += size * token_tile_bytes(args.cols);
  }
}

// Lines of codes as signed bytes q, [groups, 8, 64].
template <Codes kCodes>
HWY_INLINE void spread_block(const std::uint8_t* from, std::int64_t num_groups, std::uint8_t* to) {
  for (std::int64_t line = 0; line < num_groups * kGroupLines<kCodes>; ++line) {
    const __m512i codes = _mm512_loadu_si512(from + line * kStripLine);
    const __m512i sign = _mm512_set1_epi8(static_cast<char>(128));
    if constexpr (kCodes == Codes::kNibbles) {
      const __m512i low = _mm512_xor_si512(spread_nibbles<false>(codes), sign);
      const __m512i high = _mm512_xor_si512(spread_nibbles<true>(codes), sign);
      _mm512_store_si512(to + 2 * line * kStripLine, low);
      _mm512_store_si512(to + (2 * line + 1) * kStripLine, high);
    } else {
      _mm512_store_si512(to + line * kStripLine, _mm512_xor_si512(codes, sign));
    }
  }
}

// Integer sums of 128 columns, [groups, 2 strips, 16 tokens, 16 rows]; one group of all of them
// where they share a scale.
template <bool kOneScale>
struct AmxDots {
  alignas(64) std::int32_t dots[kOneScale ? 1 : kScaleGroups][2][kAmxTokens][kStripRows];
};

// Of each group, 32 columns at a time; two groups in registers of their own, so that one need not
// wait for the other.
HWY_INLINE void multiply_amx(const std::uint8_t* strips, const std::uint8_t* tokens,
                             std::int64_t num_groups, AmxDots<false>& out) {
  constexpr std::int64_t kGroupBytes = kQuantizedCols * kStripRows;
  for (std::int64_t g = 0; g < num_groups; g += 2) {
    const std::uint8_t* codes = strips + g * kGroupBytes;
    _tile_zero(0);
    _tile_zero(1);
    _tile_loadd(4, tokens + g * kQuantizedCols, kScaleCols);
    _tile_loadd(6, codes, kStripLine);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(7, codes + kBlockBytes, kStripLine);
    _tile_dpbssd(1, 4, 7);
    if (g + 1 < num_groups) {
      _tile_zero(2);
      _tile_zero(3);
      _tile_loadd(5, tokens + (g + 1) * kQuantizedCols, kScaleCols);
      _tile_loadd(6, codes + kGroupBytes, kStripLine);
      _tile_dpbssd(2, 5, 6);
      _tile_loadd(7, codes + kBlockBytes + kGroupBytes, kStripLine);
      _tile_dpbssd(3, 5, 7);
    }
    _tile_stored(0, out.dots[g][0], kAmxRow);
    _tile_stored(1, out.dots[g][1], kAmxRow);
    if (g + 1 < num_groups) {
      _tile_stored(2, out.dots[g + 1][0], kAmxRow);
      _tile_stored(3, out.dots[g + 1][1], kAmxRow);
    }
  }
}

// Of all four groups, 64 columns at a time.
HWY_INLINE void multiply_amx(const std::uint8_t* strips, const std::uint8_t* tokens, std::int64_t,
                             AmxDots<true>& out) {
  constexpr std::int64_t kCols = 64;
  _tile_zero(0);
  _tile_zero(1);
  for (std::int64_t col = 0; col < kScaleCols; col += kCols) {
    _tile_loadd(4, tokens + col, kScaleCols);
    _tile_loadd(6, strips + col * kStripRows, kStripLine);
    _tile_loadd(7, strips + kBlockBytes + col * kStripRows, kStripLine);
    _tile_dpbssd(0, 4, 6);
    _tile_dpbssd(1, 4, 7);
  }
  _tile_stored(0, out.dots[0][0], kAmxRow);
  _tile_stored(1, out.dots[0][1], kAmxRow);
}

// sums[c * kPassRows + row] += the products of a pass and a tile over a block of columns.
template <bool kOneScale>
void amx_tile(const TileWeights& weights, std::int64_t size, const std::uint8_t* x, float* sums) {
  const D d;
  AmxDots<kOneScale> memory;
  for (std::int64_t group = 0; group < weights.num_groups; group += kScaleGroups) {
    const std::int64_t left = weights.num_groups - group;
    const std::int64_t num_groups = left < kScaleGroups ? left : kScaleGroups;
    for (std::int64_t g = 0; g < num_groups; ++g) fetch_group<kOneScale>(weights, group + g);
    multiply_amx(weights.codes + group * kQuantizedCols * kStripRows, x, num_groups, memory);
    const float* scales = weights.scales + (kOneScale ? group / kScaleGroups : group) * kPassRows;
    const auto* token_scales = reinterpret_cast<const float*>(x + kTileScales * size);
    const std::int64_t num_scales = kOneScale ? 1 : num_groups;
    for (std::int64_t c = 0; c < size; ++c) {
      const V token_scale = hn::Set(d, token_scales[c]);
      for (int s = 0; s < 2; ++s) {
        V part = hn::Zero(d);
        for (std::int64_t g = 0; g < num_scales; ++g) {
          const V dot = hn::ConvertTo(d, hn::Load(D32(), memory.dots[g][s][c]));
          const V scale = hn::Load(d, scales + g * kPassRows + s * kStripRows);
          part = kOneScale ? hn::Mul(dot, scale) : hn::MulAdd(dot, scale, part);
        }
        float* sum = sums + c * kPassRows + s * kStripRows;
        hn::Store(hn::MulAdd(part, token_scale, hn::Load(d, sum)), d, sum);
      }
    }
    x += kTileBytes * size;
  }
}

template <Codes kCodes, bool kOneScale>
void amx_pass(const MatmulArgs& args, const PassBlocks& blocks, std::int64_t pass,
              std::int64_t first_token, std::int64_t num_tokens, const std::uint8_t* x,
              std::int64_t& configured) {
  const PassMemory memory(args.scratch);
  __builtin_memset(memory.sums, 0,
                   static_cast<std::size_t>(num_tokens * kPassRows) * sizeof(float));
  const TokenTiles tiles(num_tokens, kAmxTokens);
  for (std::int64_t block = 0; block < blocks.per_pass; ++block) {
    TileWeights weights =
        prepare_block<kCodes, kOneScale>(blocks, pass * blocks.per_pass + block, memory);
    for (std::int64_t s = 0; s < kPassStrips; ++s) {
      spread_block<kCodes>(weights.codes + s * weights.code_stride, weights.num_groups,
                           memory.codes + s * kBlockBytes);
    }
    weights.codes = memory.codes;
    asm volatile("" : : : "memory");  // before the unit reads it
    for (std::int64_t tile = 0, token = 0; tile < tiles.count; ++tile) {
      const std::int64_t size = tiles.size(tile);
      if (size != configured) configure_amx(size, kOneScale ? 64 : kQuantizedCols);
      configured = size;
      const std::uint8_t* columns = x + token * token_tile_bytes(args.weight.cols) +
                                    block * (kBlockGroups / kScaleGroups) * kTileBytes * size;
      amx_tile<kOneScale>(weights, size, columns, memory.sums + token * kPassRows);
      weights.ahead_bytes = 0;
      token += size;
    }
  }
  for (std::int64_t token = 0; token < num_tokens; ++token) {
    store_sums(args, args.row_begin + pass * kPassRows, kPassRows, first_token + token,
               memory.sums + token * kPassRows);
  }
}

template <Codes kCodes, bool kOneScale>
void amx_matmul_of(const MatmulArgs& args) {
  std::int64_t configured = 0;  // tokens of a tile
  each_pass(args, [&](const PassBlocks& blocks, std::int64_t pass, std::int64_t token,
                      std::int64_t count, const std::uint8_t* x) HWY_ATTR {
    if (count < kLeastAmxTokens) {
      strip_pass<kCodes, kOneScale>(args, blocks, pass, token, count, x);
    } else {
      amx_pass<kCodes, kOneScale>(args, blocks, pass, token, count, x, configured);
    }
  });
  if (configured != 0) _tile_release();
}

inline void amx_matmul(const MatmulArgs& args) {
  if (args.num_tokens <= kMostRowTokens) return matmul(args);
  switch (args.weight.block_format) {
    case BlockFormat::kInt8G32:
      return amx_matmul_of<Codes::kBytes, false>(args);
    case BlockFormat::kInt4G32:
      return amx_matmul_of<Codes::kNibbles, false>(args);
    case BlockFormat::kInt4G128:
      return amx_matmul_of<Codes::kNibbles, true>(args);
    default:
      return matmul(args);
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_POP_ATTRIBUTES
HWY_AFTER_NAMESPACE();
