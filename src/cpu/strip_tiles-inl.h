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
#else
constexpr std::int64_t kPassStrips = 1;
constexpr int kMostTileTokens = 4;
#endif

// How prepared weights are coded: Product multiplies their quads (strip_dot-inl.h); kScales is the
// number of scales of 32 columns, kOffsets whether there is an offset beside each, kOneScale
// whether 128 columns share one; kVectors of rows are a tile.
template <Codes kCodes, bool kShared>
struct StripCoding {
  using Product = Dot<kCodes>;
  static constexpr int kScales = 1;
  static constexpr bool kOffsets = false;
  static constexpr bool kOneScale = kShared;
#if HWY_TARGET == HWY_AVX3_DL
  static constexpr int kVectors = 2;
#else
  static constexpr int kVectors = kStripVectors == 1 ? 1 : 2;
#endif
};
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

// What is behind the codes of token c of a tile, of 128 columns.
HWY_INLINE void pack_numbers(const QuantizedGroup* groups, std::int64_t c, std::int64_t size,
                             std::uint8_t* out) {
  std::int32_t total = 0;
  for (std::int64_t g = 0; g < kScaleGroups; ++g) {
    const std::int32_t halves[2] = {groups[g].first_offset,
                                    groups[g].offset - groups[g].first_offset};
    __builtin_memcpy(out + kTileOffsets * size + (g * size + c) * 4, &groups[g].offset, 4);
    __builtin_memcpy(out + kTileHalves * size + (2 * g * size + c) * 4, &halves[0], 4);
    __builtin_memcpy(out + kTileHalves * size + ((2 * g + 1) * size + c) * 4, &halves[1], 4);
    __builtin_memcpy(out + kTileSums * size + (g * size + c) * 4, &groups[g].sum, 4);
    total += groups[g].offset;
  }
  __builtin_memcpy(out + kTileSumOffset * size + c * 4, &total, 4);
  __builtin_memcpy(out + kTileScales * size + c * 4, &groups->scale, 4);
}

HWY_INLINE void pack_tile(const QuantizedGroup* const* rows, std::int64_t size,
                          std::int64_t num_blocks, std::uint8_t* out) {
  for (std::int64_t block = 0; block < num_blocks; ++block) {
    for (std::int64_t c = 0; c < size; ++c) {
      const QuantizedGroup* groups = rows[c] + block * kScaleGroups;
      for (std::int64_t g = 0; g < kScaleGroups; ++g) {
        std::int32_t quads[kQuads];
        __builtin_memcpy(quads, groups[g].codes, sizeof(quads));
        std::uint8_t* to = out + (g * kQuads * size + c) * 4;
        for (std::int64_t quad = 0; quad < kQuads; ++quad) {
          __builtin_memcpy(to + quad * size * 4, quads + quad, 4);
        }
      }
      pack_numbers(groups, c, size, out);
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

// Weights of the rows of a pass, a block of columns, as the kernel takes them.
struct TileWeights {
  const std::uint8_t* codes;  // of the first vector
  std::int64_t code_stride;   // from strip to strip
  const float* scales;        // [scales of a row, kPassRows]
  const float* offsets;       // the same, where there are any
  std::int64_t num_groups;
  // What comes into the cache beside a group of this block: one of a block that is multiplied
  // later.
  const std::uint8_t* ahead;         // of the first strip
  const std::uint8_t* ahead_scales;  // the same; null where they lie among the codes
  std::int64_t ahead_stride;         // from strip to strip
  std::int64_t ahead_bytes;          // from group to group; 0: nothing
};

// Scales of a group that has none of its own come with those before.
template <bool kOneScale>
HWY_INLINE void fetch_group(const TileWeights& weights, std::int64_t group) {
  if (weights.ahead_bytes == 0) return;
  const std::uint8_t* ahead = weights.ahead + group * weights.ahead_bytes;
  const std::int64_t scale = group * kScaleBytes / (kOneScale ? kScaleGroups : 1);
  for (std::int64_t s = 0; s < kPassStrips; ++s) {
    for (std::int64_t i = 0; i < weights.ahead_bytes; i += kStripLine) prefetch(ahead + i);
    if (weights.ahead_scales != nullptr) {
      prefetch(weights.ahead_scales + s * weights.ahead_stride + scale);
    }
    ahead += weights.ahead_stride;
  }
}

template <class Product, int R, int C>
HWY_INLINE void start_dots(const std::int32_t* offsets, Product (&dots)[R][C]) {
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

// Where 128 columns of a tile lie: words take memory of their own.
template <class Product, int C>
struct BlockColumns {
  HWY_INLINE explicit BlockColumns(const std::uint8_t* x)
      : codes(reinterpret_cast<const std::int8_t*>(x)) {}
  const std::int8_t* codes;
};
template <class Product, int C>
struct ColumnsFor {
  using Type = TileColumns<C>;
};
#if M2_WORD_CODES
template <int C>
struct BlockColumns<Dot<Codes::kWords>, C> {
  HWY_INLINE explicit BlockColumns(const std::uint8_t* x) {
    constexpr std::int64_t kOdd = kScaleCols * C;
    const hn::Repartition<std::int8_t, D32> d8;
    for (std::int64_t i = 0; i < kOdd; i += kVectorBytes) {
      const auto bytes = hn::LoadU(d8, reinterpret_cast<const std::int8_t*>(x) + i);
      store_words(bytes, kOdd, reinterpret_cast<std::uint8_t*>(codes) + i);
    }
  }
  HWY_ALIGN std::int8_t codes[2 * kScaleCols * C];
};
template <int C>
struct ColumnsFor<Dot<Codes::kWords>, C> {
  using Type = WordColumns<C>;
};
#endif
template <class Product, int C>
using ColumnsOf = typename ColumnsFor<Product, C>::Type;

// Lines of prepared codes.
template <class Product, std::int64_t kNumQuads>
constexpr std::int64_t kLinesOf = kNumQuads / Product::kLineQuads* Product::kLines;

// The columns that have a scale of their own, some tokens.
struct TileGroup {
  std::int64_t scale;  // of those of a row
  const std::int8_t* columns;
  const std::int32_t* offsets;  // [C]
  const float* sums;            // [C], of whole groups
};

// What the codes of token c sum to.
template <class Coding>
HWY_INLINE V sum_of_codes(const TileGroup& group, int c) {
  if constexpr (Coding::kScales == 1) return hn::Set(D(), group.sums[c]);
  return hn::Set(D(), static_cast<float>(group.offsets[c]) * (-1.0F / 128.0F));
}

// parts[r][c] += the products, scaled, and the offsets of the weights.
template <class Coding, int R, int C>
HWY_INLINE void add_group(const TileWeights& weights, const std::uint8_t* const (&rows)[R],
                          const TileGroup& group, float (&parts)[R][C][kRowVector]) {
  using Product = typename Coding::Product;
  constexpr std::int64_t kScaleQuads = kQuads / Coding::kScales;
  const D d;
  const std::uint8_t* codes[R];
  HWY_UNROLL(4)
  for (int r = 0; r < R; ++r) {
    codes[r] = rows[r] + group.scale * kLinesOf<Product, kScaleQuads> * kStripLine;
  }
  Product dots[R][C];
  start_dots(group.offsets, dots);
  multiply_quads<kScaleQuads>(codes, ColumnsOf<Product, C>{group.columns}, dots);
  HWY_UNROLL(4)
  for (int r = 0; r < R; ++r) {
    const std::int64_t at = group.scale * kPassRows + r * kRowVector;
    const V scale = hn::LoadU(d, weights.scales + at);
    V offset = hn::Zero(d);
    if constexpr (Coding::kOffsets) offset = hn::LoadU(d, weights.offsets + at);
    HWY_UNROLL(12)
    for (int c = 0; c < C; ++c) {
      const V dot = hn::ConvertTo(d, dots[r][c].finish(group.offsets[c]));
      V part = hn::MulAdd(dot, scale, hn::Load(d, parts[r][c]));
      if constexpr (Coding::kOffsets)
        part = hn::MulAdd(offset, sum_of_codes<Coding>(group, c), part);
      hn::Store(part, d, parts[r][c]);
    }
  }
}

// Up to four groups of 32 columns, each with scales of its own.
template <class Coding, int R, int C>
HWY_INLINE void tile_block(const TileWeights& weights, std::int64_t first, std::int64_t num_groups,
                           const std::uint8_t* const (&rows)[R], const std::uint8_t* x,
                           float* sums) {
  constexpr std::int64_t kScales = Coding::kScales;
  const auto* offsets =
      reinterpret_cast<const std::int32_t*>(x + (kScales == 1 ? kTileOffsets : kTileHalves) * C);
  const BlockColumns<typename Coding::Product, C> columns(x);
  HWY_ALIGN float parts[R][C][kRowVector] = {};
  for (std::int64_t g = 0; g < num_groups; ++g) {
    fetch_group<false>(weights, first + g);
    HWY_UNROLL(2)
    for (std::int64_t half = 0; half < kScales; ++half) {
      const std::int64_t index = g * kScales + half;
      add_group<Coding, R, C>(weights, rows,
                              {.scale = first * kScales + index,
                               .columns = columns.codes + index * (kQuantizedCols / kScales) * C,
                               .offsets = offsets + index * C,
                               .sums = reinterpret_cast<const float*>(x + kTileSums * C) + g * C},
                              parts);
    }
  }
  add_parts<R, C>(parts, reinterpret_cast<const float*>(x + kTileScales * C), sums);
}

// totals[r][c] += dots[r][c].
template <class Product, int R, int C>
HWY_INLINE void add_dots(const Product (&dots)[R][C], const std::int32_t* offsets,
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
template <class Coding, int R, int C>
HWY_INLINE void tile_block_of_one_scale(const TileWeights& weights, std::int64_t first,
                                        const std::uint8_t* const (&rows)[R], const std::uint8_t* x,
                                        float* sums) {
  using Product = typename Coding::Product;
  constexpr bool kRunsOn = Product::kRunsOn;
  HWY_ALIGN std::int32_t memory[R][C][kRowVector] = {};
  Product dots[R][C];
  if (kRunsOn) start_dots(reinterpret_cast<const std::int32_t*>(x + kTileSumOffset * C), dots);
  for (std::int64_t g = 0; g < kScaleGroups; ++g) {
    const std::int64_t group = first + g;
    const std::uint8_t* codes[R];
    HWY_UNROLL(4)
    for (int r = 0; r < R; ++r) {
      codes[r] = rows[r] + group * kLinesOf<Product, kQuads> * kStripLine;
    }
    fetch_group<true>(weights, group);
    const auto* offsets = reinterpret_cast<const std::int32_t*>(x + kTileOffsets * C) + g * C;
    if (!kRunsOn) start_dots(offsets, dots);
    const auto* columns = reinterpret_cast<const std::int8_t*>(x) + g * kQuantizedCols * C;
    multiply_quads<kQuads>(codes, TileColumns<C>{columns}, dots);
    if (!kRunsOn) add_dots(dots, offsets, memory);
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
template <class Coding, int R, int C>
HWY_INLINE void strip_tile(const TileWeights& weights, const std::uint8_t* x, float* sums) {
  const std::uint8_t* rows[R];
  HWY_UNROLL(4)
  for (int r = 0; r < R; ++r) {
    rows[r] =
        weights.codes + r / kStripVectors * weights.code_stride + r % kStripVectors * kVectorBytes;
  }
  for (std::int64_t group = 0; group < weights.num_groups; group += kScaleGroups) {
    if constexpr (Coding::kOneScale) {
      tile_block_of_one_scale<Coding, R, C>(weights, group, rows, x, sums);
    } else {
      const std::int64_t left = weights.num_groups - group;
      tile_block<Coding, R, C>(weights, group, left < kScaleGroups ? left : kScaleGroups, rows, x,
                               sums);
    }
    x += kTileBytes * C;
  }
}

// The strips of a pass times a tile; every size of a tile has a kernel of its own.
template <class Coding, int C>
void strip_tile_of(std::int64_t size, const TileWeights& weights, const std::uint8_t* x,
                   float* sums) {
  if (size < C) {
    if constexpr (C > 1) strip_tile_of<Coding, C - 1>(size, weights, x, sums);
    return;
  }
  constexpr int R = Coding::kVectors;
  for (std::int64_t vector = 0; vector < kPassStrips * kStripVectors; vector += R) {
    TileWeights tile = weights;
    const std::int64_t offset = vector % kStripVectors * kRowVector;
    tile.codes += vector / kStripVectors * weights.code_stride + 4 * offset;
    tile.scales += vector * kRowVector;
    if (Coding::kOffsets) tile.offsets += vector * kRowVector;
    if (vector != 0) tile.ahead_bytes = 0;
    strip_tile<Coding, R, C>(tile, x, sums + vector * kRowVector);
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
HWY_POP_ATTRIBUTES
#endif
HWY_AFTER_NAMESPACE();
