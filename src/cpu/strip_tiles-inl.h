// Many tokens, which lie in tiles (cpu/token_tiles.h), times a block of strips in register tiles of
// kTileVectors vectors of rows by up to kMostTileTokens tokens. Include only from isa/ files.
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

// Integer sums must fit the registers beside the weights: 24 of 32, or 8 of 16.
#if HWY_TARGET == HWY_AVX3_DL
constexpr std::int64_t kPassStrips = 2;
constexpr int kMostTileTokens = 12;
template <Codes kCodes>
constexpr int kTileVectors = 2;
#else
constexpr std::int64_t kPassStrips = 1;
constexpr int kMostTileTokens = 4;
template <Codes kCodes>
constexpr int kTileVectors = kCodes == Codes::kBytes || kStripVectors == 1 ? 1 : 2;
#endif
constexpr std::int64_t kPassRows = kPassStrips * kStripRows;
constexpr std::int64_t kBlockGroups = 16;  // 512 columns
constexpr std::int64_t kBlockBytes = kBlockGroups * kQuantizedCols * kStripRows;
static_assert(kPassTokens % kMostTileTokens == 0);

// The tiles of a pass of tokens: the first ones have one token more.
struct TokenTiles {
  std::int64_t count;
  std::int64_t least;
  std::int64_t larger;  // how many have least + 1

  HWY_INLINE TokenTiles(std::int64_t num_tokens, std::int64_t most)
      : count((num_tokens + most - 1) / most),
        least(num_tokens / count),
        larger(num_tokens % count) {}
  HWY_INLINE std::int64_t size(std::int64_t tile) const { return least + (tile < larger ? 1 : 0); }
};

HWY_INLINE void pack_tile(const QuantizedGroup* const* rows, std::int64_t size,
                          std::int64_t num_blocks, std::uint8_t* out) {
  for (std::int64_t block = 0; block < num_blocks; ++block) {
    for (std::int64_t c = 0; c < size; ++c) {
      const QuantizedGroup* groups = rows[c] + block * kScaleGroups;
      std::int32_t total = 0;
      for (std::int64_t g = 0; g < kScaleGroups; ++g) {
        std::int32_t quads[kQuads];
        __builtin_memcpy(quads, groups[g].codes, sizeof(quads));
        std::uint8_t* to = out + (g * kQuads * size + c) * 4;
        for (std::int64_t quad = 0; quad < kQuads; ++quad) {
          __builtin_memcpy(to + quad * size * 4, quads + quad, 4);
        }
        __builtin_memcpy(out + kTileOffsets * size + (g * size + c) * 4, &groups[g].offset, 4);
        total += groups[g].offset;
      }
      __builtin_memcpy(out + kTileSumOffset * size + c * 4, &total, 4);
      __builtin_memcpy(out + kTileScales * size + c * 4, &groups->scale, 4);
    }
    out += kTileBytes * size;
  }
}

inline void pack_tokens(const PackArgs& args) {
  if (args.num_tokens == 0) return;
  const std::int64_t num_groups = quantized_groups(args.cols);
  const TokenTiles tiles(args.num_tokens, kMostTileTokens);
  std::uint8_t* out = args.output;
  for (std::int64_t tile = 0, token = 0; tile < tiles.count; ++tile) {
    const QuantizedGroup* rows[kMostTileTokens];
    const std::int64_t size = tiles.size(tile);
    for (std::int64_t c = 0; c < size; ++c, ++token) {
      rows[c] =
          args.rows + (args.input_rows == nullptr ? token : args.input_rows[token]) * num_groups;
    }
    pack_tile(rows, size, num_groups / kScaleGroups, out);
    out += size * token_tile_bytes(args.cols);
  }
}

// A block of the strips of a pass: codes as the kernel takes them, and scales.
struct TileWeights {
  const std::uint8_t* codes;  // of the first vector
  std::int64_t code_stride;   // from strip to strip
  const float* scales;        // [groups or blocks of 128 columns, kPassRows]
  std::int64_t num_groups;
  // What comes into the cache beside a group of this block: one of a block that is multiplied
  // later.
  const std::uint8_t* ahead;         // of the first strip
  const std::uint8_t* ahead_scales;  // the same
  std::int64_t ahead_stride;         // from strip to strip
  std::int64_t ahead_bytes;          // from group to group; 0: nothing
};

// Scales of a group that has none of its own come with those before.
template <bool kOneScale>
HWY_INLINE void fetch_group(const TileWeights& weights, std::int64_t group) {
  if (weights.ahead_bytes == 0) return;
  const std::uint8_t* ahead = weights.ahead + group * weights.ahead_bytes;
  const std::uint8_t* scales =
      weights.ahead_scales + group * kScaleBytes / (kOneScale ? kScaleGroups : 1);
  for (std::int64_t s = 0; s < kPassStrips; ++s) {
    for (std::int64_t i = 0; i < weights.ahead_bytes; i += kStripLine) prefetch(ahead + i);
    prefetch(scales);
    ahead += weights.ahead_stride;
    scales += weights.ahead_stride;
  }
}

// parts[r][c] += dots[r][c] * scales[r].
template <Codes kCodes, int R, int C>
HWY_INLINE void add_scaled_dots(const Dot<kCodes> (&dots)[R][C], const float* scales,
                                const std::int32_t* offsets, float (&parts)[R][C][kRowVector]) {
  const D d;
  HWY_UNROLL(4)
  for (int r = 0; r < R; ++r) {
    const V scale = hn::LoadU(d, scales + r * kRowVector);
    HWY_UNROLL(12)
    for (int c = 0; c < C; ++c) {
      const V dot = hn::ConvertTo(d, dots[r][c].finish(offsets[c]));
      hn::Store(hn::MulAdd(dot, scale, hn::Load(d, parts[r][c])), d, parts[r][c]);
    }
  }
}

template <Codes kCodes, int R, int C>
HWY_INLINE void start_dots(const std::int32_t* offsets, Dot<kCodes> (&dots)[R][C]) {
  HWY_UNROLL(12)
  for (int c = 0; c < C; ++c) {
    HWY_UNROLL(4)
    for (int r = 0; r < R; ++r) dots[r][c].start(offsets[c]);
  }
}

// sums[c * kPassRows + row] += parts[r][c] times the scale of the token.
template <int R, int C>
HWY_INLINE void add_parts(const float (&parts)[R][C][kRowVector], const float* scales,
                          float* sums) {
  const D d;
  HWY_UNROLL(12)
  for (int c = 0; c < C; ++c) {
    const V scale = hn::Set(d, scales[c]);
    HWY_UNROLL(4)
    for (int r = 0; r < R; ++r) {
      float* sum = sums + c * kPassRows + r * kRowVector;
      hn::Store(hn::MulAdd(hn::Load(d, parts[r][c]), scale, hn::Load(d, sum)), d, sum);
    }
  }
}

// Up to four groups of 32 columns, each with scales of its own.
template <Codes kCodes, int R, int C>
HWY_INLINE void tile_block(const TileWeights& weights, std::int64_t first, std::int64_t num_groups,
                           const std::uint8_t* const (&rows)[R], const std::uint8_t* x,
                           float* sums) {
  HWY_ALIGN float parts[R][C][kRowVector] = {};
  for (std::int64_t g = 0; g < num_groups; ++g) {
    const std::int64_t group = first + g;
    const std::uint8_t* codes[R];
    HWY_UNROLL(4)
    for (int r = 0; r < R; ++r) codes[r] = rows[r] + group * kGroupLines<kCodes> * kStripLine;
    fetch_group<false>(weights, group);
    const auto* offsets = reinterpret_cast<const std::int32_t*>(x + kTileOffsets * C) + g * C;
    Dot<kCodes> dots[R][C];
    start_dots<kCodes, R, C>(offsets, dots);
    const auto* columns = reinterpret_cast<const std::int8_t*>(x) + g * kQuantizedCols * C;
    multiply_group<kCodes, R, C>(codes, TileColumns<C>{columns}, dots);
    add_scaled_dots<kCodes, R, C>(dots, weights.scales + group * kPassRows, offsets, parts);
  }
  add_parts<R, C>(parts, reinterpret_cast<const float*>(x + kTileScales * C), sums);
}

// totals[r][c] += dots[r][c].
template <Codes kCodes, int R, int C>
HWY_INLINE void add_dots(const Dot<kCodes> (&dots)[R][C], const std::int32_t* offsets,
                         std::int32_t (&totals)[R][C][kRowVector]) {
  const D32 d32;
  HWY_UNROLL(4)
  for (int r = 0; r < R; ++r) {
    HWY_UNROLL(12)
    for (int c = 0; c < C; ++c) {
      const V32 dot = dots[r][c].finish(offsets[c]);
      hn::Store(hn::Add(dot, hn::Load(d32, totals[r][c])), d32, totals[r][c]);
    }
  }
}

// sums[c * kPassRows + row] += totals[r][c] times the scales of the row and the token.
template <int R, int C>
HWY_INLINE void add_totals(const V32 (&totals)[R][C], const float* row_scales, const float* scales,
                           float* sums) {
  const D d;
  HWY_UNROLL(4)
  for (int r = 0; r < R; ++r) {
    const V row_scale = hn::LoadU(d, row_scales + r * kRowVector);
    HWY_UNROLL(12)
    for (int c = 0; c < C; ++c) {
      const V part = hn::Mul(hn::ConvertTo(d, totals[r][c]), row_scale);
      float* sum = sums + c * kPassRows + r * kRowVector;
      hn::Store(hn::MulAdd(part, hn::Set(d, scales[c]), hn::Load(d, sum)), d, sum);
    }
  }
}

// Four groups of 32 columns that share their scales.
template <Codes kCodes, int R, int C>
HWY_INLINE void tile_block_of_one_scale(const TileWeights& weights, std::int64_t first,
                                        const std::uint8_t* const (&rows)[R], const std::uint8_t* x,
                                        float* sums) {
  constexpr bool kRunsOn = Dot<kCodes>::kRunsOn;
  HWY_ALIGN std::int32_t memory[R][C][kRowVector] = {};
  Dot<kCodes> dots[R][C];
  if (kRunsOn) {
    const std::uint8_t* offsets = x + kTileSumOffset * C;
    start_dots<kCodes, R, C>(reinterpret_cast<const std::int32_t*>(offsets), dots);
  }
  for (std::int64_t g = 0; g < kScaleGroups; ++g) {
    const std::int64_t group = first + g;
    const std::uint8_t* codes[R];
    HWY_UNROLL(4)
    for (int r = 0; r < R; ++r) codes[r] = rows[r] + group * kGroupLines<kCodes> * kStripLine;
    fetch_group<true>(weights, group);
    const auto* offsets = reinterpret_cast<const std::int32_t*>(x + kTileOffsets * C) + g * C;
    if (!kRunsOn) start_dots<kCodes, R, C>(offsets, dots);
    const auto* columns = reinterpret_cast<const std::int8_t*>(x) + g * kQuantizedCols * C;
    multiply_group<kCodes, R, C>(codes, TileColumns<C>{columns}, dots);
    if (!kRunsOn) add_dots<kCodes, R, C>(dots, offsets, memory);
  }
  V32 totals[R][C];
  HWY_UNROLL(4)
  for (int r = 0; r < R; ++r) {
    HWY_UNROLL(12)
    for (int c = 0; c < C; ++c) {
      totals[r][c] = kRunsOn ? dots[r][c].finish(0) : hn::Load(D32(), memory[r][c]);
    }
  }
  add_totals<R, C>(totals, weights.scales + first / kScaleGroups * kPassRows,
                   reinterpret_cast<const float*>(x + kTileScales * C), sums);
}

// sums[c * kPassRows + row] += the products of R vectors of rows and a tile of C tokens over a
// block of columns.
template <Codes kCodes, bool kOneScale, int R, int C>
HWY_INLINE void strip_tile(const TileWeights& weights, const std::uint8_t* x, float* sums) {
  const std::uint8_t* rows[R];
  HWY_UNROLL(4)
  for (int r = 0; r < R; ++r) {
    rows[r] =
        weights.codes + r / kStripVectors * weights.code_stride + r % kStripVectors * kVectorBytes;
  }
  for (std::int64_t group = 0; group < weights.num_groups; group += kScaleGroups) {
    if constexpr (kOneScale) {
      tile_block_of_one_scale<kCodes, R, C>(weights, group, rows, x, sums);
    } else {
      const std::int64_t left = weights.num_groups - group;
      tile_block<kCodes, R, C>(weights, group, left < kScaleGroups ? left : kScaleGroups, rows, x,
                               sums);
    }
    x += kTileBytes * C;
  }
}

// The strips of a pass times a tile; every size of a tile has a kernel of its own.
template <Codes kCodes, bool kOneScale, int C>
void strip_tile_of(std::int64_t size, const TileWeights& weights, const std::uint8_t* x,
                   float* sums) {
  if (size < C) {
    if constexpr (C > 1) strip_tile_of<kCodes, kOneScale, C - 1>(size, weights, x, sums);
    return;
  }
  constexpr int R = kTileVectors<kCodes>;
  for (std::int64_t vector = 0; vector < kPassStrips * kStripVectors; vector += R) {
    TileWeights tile = weights;
    const std::int64_t offset = vector % kStripVectors * kRowVector;
    tile.codes += vector / kStripVectors * weights.code_stride + 4 * offset;
    tile.scales += vector * kRowVector;
    if (vector != 0) tile.ahead_bytes = 0;
    strip_tile<kCodes, kOneScale, R, C>(tile, x, sums + vector * kRowVector);
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
HWY_POP_ATTRIBUTES
#endif
HWY_AFTER_NAMESPACE();
