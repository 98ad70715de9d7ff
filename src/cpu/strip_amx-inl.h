// Weights in block formats times many tokens by the matrix unit of Xeons (AMX): 16 tokens by 16
// rows by up to 64 columns in one instruction. Include only from isa/avx3_dl.cc.
//
// Sums are the same as without it (strip_matmul-inl.h, ggml_matmul-inl.h). The unit reads both
// sides from memory: codes of a block of a pass are spread to signed bytes, and the tokens of a
// tile (up to 16) lie as in cpu/token_tiles.h but for the codes, which are [C, 128] i8.
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
        pack_numbers(groups + g, c, size, block);
        block += kTileBytes * size;
      }
    }
    out += size * token_tile_bytes(args.cols);
  }
}

// A block of a pass with its codes as signed bytes, [strips, groups, 8, 64] in memory.codes.
template <Codes kCodes, bool kOneScale>
HWY_INLINE TileWeights prepare_amx(const StripBlocks<kCodes, kOneScale>& blocks, std::int64_t index,
                                   const PassMemory& memory) {
  TileWeights weights = blocks.prepare(index, memory);
  const __m512i sign = _mm512_set1_epi8(static_cast<char>(128));
  for (std::int64_t s = 0; s < kPassStrips; ++s) {
    const std::uint8_t* from = weights.codes + s * weights.code_stride;
    std::uint8_t* to = memory.codes + s * kBlockBytes;
    for (std::int64_t line = 0; line < weights.num_groups * kGroupLines<kCodes>; ++line) {
      const __m512i codes = _mm512_loadu_si512(from + line * kStripLine);
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
  weights.codes = memory.codes;
  return weights;
}

template <class F>
HWY_INLINE TileWeights prepare_amx(const GgmlBlocks<F>& blocks, std::int64_t index,
                                   const PassMemory& memory) {
  const TileWeights weights = blocks.prepare(index, memory);
  if constexpr (F::Coding::kZero != 0) {
    const __m512i zero = _mm512_set1_epi8(static_cast<char>(F::Coding::kZero));
    for (std::int64_t s = 0; s < kPassStrips; ++s) {
      std::uint8_t* codes = memory.codes + s * kBlockBytes;
      for (std::int64_t line = 0; line < weights.num_groups * kQuads; ++line) {
        std::uint8_t* at = codes + line * kStripLine;
        _mm512_store_si512(at, _mm512_sub_epi8(_mm512_load_si512(at), zero));
      }
    }
  }
  return weights;
}

// Columns that share a scale, and those of them that one instruction takes.
template <class Coding>
constexpr std::int64_t kAmxScaleCols =
    Coding::kOneScale ? kScaleCols : kQuantizedCols / Coding::kScales;
template <class Coding>
constexpr std::int64_t kAmxCols = kAmxScaleCols<Coding> < 64 ? kAmxScaleCols<Coding> : 64;

// Integer sums of 128 columns, [scales of a row, 2 strips, 16 tokens, 16 rows].
template <class Coding>
struct AmxDots {
  alignas(64) std::int32_t dots[kScaleCols / kAmxScaleCols<Coding>][2][kAmxTokens][kStripRows];
};

// Of each scale; two of them in registers of their own, so that one need not wait for the other.
template <class Coding>
HWY_INLINE void multiply_amx(const std::uint8_t* strips, const std::uint8_t* tokens,
                             std::int64_t num_scales, AmxDots<Coding>& out) {
  constexpr std::int64_t kCols = kAmxCols<Coding>;
  constexpr std::int64_t kBytes = kCols * kStripRows;
  for (std::int64_t i = 0; i < num_scales; i += 2) {
    const std::uint8_t* codes = strips + i * kBytes;
    _tile_zero(0);
    _tile_zero(1);
    _tile_loadd(4, tokens + i * kCols, kScaleCols);
    _tile_loadd(6, codes, kStripLine);
    _tile_dpbssd(0, 4, 6);
    _tile_loadd(7, codes + kBlockBytes, kStripLine);
    _tile_dpbssd(1, 4, 7);
    if (i + 1 < num_scales) {
      _tile_zero(2);
      _tile_zero(3);
      _tile_loadd(5, tokens + (i + 1) * kCols, kScaleCols);
      _tile_loadd(6, codes + kBytes, kStripLine);
      _tile_dpbssd(2, 5, 6);
      _tile_loadd(7, codes + kBlockBytes + kBytes, kStripLine);
      _tile_dpbssd(3, 5, 7);
    }
    _tile_stored(0, out.dots[i][0], kAmxRow);
    _tile_stored(1, out.dots[i][1], kAmxRow);
    if (i + 1 < num_scales) {
      _tile_stored(2, out.dots[i + 1][0], kAmxRow);
      _tile_stored(3, out.dots[i + 1][1], kAmxRow);
    }
  }
}

// Of all 128 columns, which share a scale.
template <class Coding>
HWY_INLINE void multiply_amx_at_once(const std::uint8_t* strips, const std::uint8_t* tokens,
                                     AmxDots<Coding>& out) {
  constexpr std::int64_t kCols = kAmxCols<Coding>;
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

// sums [2 strips, 16 rows] += what token c of a tile has in 128 columns, from scale `first` of a
// row on.
template <class Coding>
HWY_INLINE void add_amx_dots(const AmxDots<Coding>& memory, const TileWeights& weights,
                             std::int64_t first, std::int64_t num_scales, std::int64_t size,
                             const std::uint8_t* x, std::int64_t c, float* sums) {
  const D d;
  const V token_scale = hn::Set(d, reinterpret_cast<const float*>(x + kTileScales * size)[c]);
  for (int s = 0; s < 2; ++s) {
    V part = hn::Zero(d);
    for (std::int64_t i = 0; i < num_scales; ++i) {
      const std::int64_t at = (first + i) * kPassRows + s * kStripRows;
      const V dot = hn::ConvertTo(d, hn::Load(D32(), memory.dots[i][s][c]));
      const V scale = hn::Load(d, weights.scales + at);
      part = Coding::kOneScale ? hn::Mul(dot, scale) : hn::MulAdd(dot, scale, part);
      if constexpr (Coding::kOffsets) {
        const auto* halves = reinterpret_cast<const std::int32_t*>(x + kTileHalves * size);
        const auto* groups = reinterpret_cast<const float*>(x + kTileSums * size);
        const V sum = sum_of_codes<Coding>(
            {.offsets = halves + i * size, .sums = groups + i * size}, static_cast<int>(c));
        part = hn::MulAdd(hn::Load(d, weights.offsets + at), sum, part);
      }
    }
    float* sum = sums + s * kStripRows;
    hn::Store(hn::MulAdd(part, token_scale, hn::Load(d, sum)), d, sum);
  }
}

// sums[c * kPassRows + row] += the products of a pass and a tile over a block of columns.
template <class Coding>
void amx_tile(const TileWeights& weights, std::int64_t size, const std::uint8_t* x, float* sums) {
  constexpr std::int64_t kBlockScales = kScaleCols / kAmxScaleCols<Coding>;
  AmxDots<Coding> memory;
  for (std::int64_t group = 0; group < weights.num_groups; group += kScaleGroups) {
    const std::int64_t left = weights.num_groups - group;
    const std::int64_t num_groups = left < kScaleGroups ? left : kScaleGroups;
    for (std::int64_t g = 0; g < num_groups; ++g) {
      fetch_group<Coding::kOneScale>(weights, group + g);
    }
    const std::uint8_t* codes = weights.codes + group * kQuantizedCols * kStripRows;
    const std::int64_t num_scales = Coding::kOneScale ? 1 : num_groups * Coding::kScales;
    if constexpr (Coding::kOneScale) {
      multiply_amx_at_once<Coding>(codes, x, memory);
    } else {
      multiply_amx<Coding>(codes, x, num_scales, memory);
    }
    for (std::int64_t c = 0; c < size; ++c) {
      add_amx_dots<Coding>(memory, weights, group / kScaleGroups * kBlockScales, num_scales, size,
                           x, c, sums + c * kPassRows);
    }
    x += kTileBytes * size;
  }
}

// As tile_pass.
template <class Blocks>
void amx_pass(const MatmulArgs& args, const Blocks& blocks, std::int64_t pass,
              std::int64_t first_token, std::int64_t num_tokens, const std::uint8_t* x,
              std::int64_t& configured) {
  using Coding = typename Blocks::Coding;
  const PassMemory memory(args.scratch);
  __builtin_memset(memory.sums, 0,
                   static_cast<std::size_t>(num_tokens * kPassRows) * sizeof(float));
  const TokenTiles tiles(num_tokens, kAmxTokens);
  for (std::int64_t block = 0; block < blocks.per_pass; ++block) {
    TileWeights weights = prepare_amx(blocks, pass * blocks.per_pass + block, memory);
    asm volatile("" : : : "memory");  // before the unit reads it
    for (std::int64_t tile = 0, token = 0; tile < tiles.count; ++tile) {
      const std::int64_t size = tiles.size(tile);
      if (size != configured) configure_amx(size, kAmxCols<Coding>);
      configured = size;
      const std::uint8_t* columns = x + token * token_tile_bytes(args.weight.cols) +
                                    block * (Blocks::kGroups / kScaleGroups) * kTileBytes * size;
      amx_tile<Coding>(weights, size, columns, memory.sums + token * kPassRows);
      weights.ahead_bytes = 0;
      token += size;
    }
  }
  for (std::int64_t token = 0; token < num_tokens; ++token) {
    store_sums(args, args.row_begin + pass * kPassRows, kPassRows, first_token + token,
               memory.sums + token * kPassRows);
  }
}

template <class Blocks>
void amx_matmul_of(const MatmulArgs& args) {
  std::int64_t configured = 0;  // tokens of a tile
  each_pass<Blocks>(args, [&](const Blocks& blocks, std::int64_t pass, std::int64_t token,
                              std::int64_t count, const std::uint8_t* x) HWY_ATTR {
    if (count < kLeastAmxTokens) {
      tile_pass(args, blocks, pass, token, count, x);
    } else {
      amx_pass(args, blocks, pass, token, count, x, configured);
    }
  });
  if (configured != 0) _tile_release();
}

inline void amx_matmul(const MatmulArgs& args) {
  if (args.num_tokens < kLeastAmxTokens) return matmul(args);
  switch (args.weight.block_format) {
    case BlockFormat::kNone:
      return matmul(args);
    case BlockFormat::kInt8G32:
      return amx_matmul_of<StripBlocks<Codes::kBytes, false>>(args);
    case BlockFormat::kInt4G32:
      return amx_matmul_of<StripBlocks<Codes::kNibbles, false>>(args);
    case BlockFormat::kInt4G128:
      return amx_matmul_of<StripBlocks<Codes::kNibbles, true>>(args);
    default:
      return with_ggml_format(args.weight.block_format, [&](auto tag) HWY_ATTR {
        amx_matmul_of<GgmlBlocks<decltype(tag)>>(args);
      });
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_POP_ATTRIBUTES
HWY_AFTER_NAMESPACE();
