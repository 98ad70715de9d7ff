// Products of weights with many tokens: what the kernel is given.
//
// A cluster multiplies 256 weight rows by a tile of up to 320 tokens, each of its blocks by half of
// the tokens: two blocks, or four with half of the rows each. Two blocks divide the rows instead
// where the tokens of a tile fit one of them. They read every operand once. Weight rows are the
// 64-row operand of wgmma, so that tiles may have any of the sizes of its other side.
#pragma once

#include <cuda.h>

#include <cstdint>

#include "quant/weight_view.h"

namespace m2::cuda::sm90 {

constexpr int kClusterRows = 256;  // weight rows
constexpr int kBoxRows = 64;       // of them that one copy brings
constexpr int kWaveRows = 128;     // that the two warpgroups of a block multiply at once
constexpr int kMaxTokens = 160;    // of a block: see tile_shape()
constexpr int kMaxTile = 2 * kMaxTokens;
constexpr int kNumBoxes = kMaxTokens / 8;  // of 8, 16, .. token rows that a block copies
constexpr int kRowAlignment = 16;          // of the first token row of an expert
constexpr int kMaxColumnBlocks = 64;

/// How the weights are stored.
enum class Format {
  kF8,    // F8_E4M3 with 128x128 scales; tokens F8_E4M3 with a scale for each row
  kBF16,  // tokens BF16
  kInt4,  // int4_layout.h; tokens as for F8, columns in the order of int4_f8.cuh
};

/// Blocks of a cluster along the weight rows of a tile whose halves have a block each, or two.
/// Clusters of two leave no multiprocessor idle, if stages of 256 rows fit its memory.
template <Format kFormat>
constexpr int kRowBlocks = kFormat == Format::kBF16 ? 2 : 1;
template <Format kFormat>
constexpr unsigned kCluster = 2 * kRowBlocks<kFormat>;
template <Format kFormat>
constexpr int kBlockRows = kClusterRows / kRowBlocks<kFormat>;

/// Tokens of a tile.
struct TileShape {
  std::int32_t tokens;  // that a block multiplies
  std::int32_t whole;   // 1: all of the tile's, by half of the rows; 0: half of them

  [[nodiscard]] constexpr int size() const { return whole != 0 ? tokens : 2 * tokens; }
};

/// Waves of rows of a stage: a warpgroup keeps all their sums. Where there is no room for them the
/// block takes its rows in passes.
constexpr int kMaxTwoWaves = 128;  // tokens of a block
template <Format kFormat>
constexpr int waves_of(TileShape shape) {
  const bool fits = kFormat == Format::kF8 && shape.tokens <= kMaxTwoWaves;
  return fits && shape.whole == 0 ? 2 : 1;
}
template <Format kFormat>
constexpr int passes_of(TileShape shape) {
  return shape.whole != 0 ? 1 : kBlockRows<kFormat> / kWaveRows / waves_of<kFormat>(shape);
}

/// What happens to the products.
enum class Output {
  kInner,   // act(gate) * up, BF16 [rows, I]
  kRows,    // BF16 [rows, N]
  kTokens,  // F32 [T, N]
};

/// A weight matrix, or the gate and up matrices of an expert: rows of the two alternate by eight.
struct alignas(128) GemmMatrix {
  CUtensorMap map;
  const float* first_scale;   // F8 only, [rows / 128, cols / 128]
  const float* second_scale;  // of the matrix whose rows come second
  std::int32_t gate_is_second;
};

/// Token rows of one expert. The rows of an expert begin at a multiple of kRowAlignment.
struct TokenTile {
  std::int32_t expert;
  std::int32_t first_row;
  std::int32_t count;
  TileShape shape;
};

/// Rows for a product.
struct OperandRows {
  void* data = nullptr;     // [rows, K]
  float* scales = nullptr;  // [rows], but for BF16
  bool for_int4 = false;    // columns as kInt4 has them
};

constexpr int kMaxGemmParts = 4;

/// Either experts, whose tokens lie in `tiles`, or up to four weights of the same tokens.
struct Gemm {
  CUtensorMap tokens[kNumBoxes];  // [rows, K], boxes of 128 bytes times 8, 16, .. rows
  GemmMatrix parts[kMaxGemmParts];
  const GemmMatrix* experts;      // [E]; absent: parts
  const TokenTile* tiles;         // of the experts
  const std::int32_t* num_tiles;  // [1]
  int num_rows;                   // of the tokens of parts, in equal tiles
  TileShape shape;                // of a tile
  int part_begin[kMaxGemmParts];  // in clusters' rows
  int num_parts;
  int pairs;                  // clusters' rows of an expert's matrix, or of all parts
  int column_blocks;          // of a stage: 128 columns (BF16: 64)
  int token_blocks;           // of a token row; for more, it is read again from its begin
  const float* token_scales;  // [rows], but for BF16
  void* outputs[kMaxGemmParts];
  int widths[kMaxGemmParts];  // of an output row
  bool accumulate;            // F32 outputs
};

/// The smallest that holds `count` tokens; a kernel has code for each number of tokens. Finer steps
/// waste less: of made-up counts around 256 tokens an expert 4% of the products instead of 9.
[[nodiscard]] constexpr TileShape tile_shape(Format format, int count) {
  const bool whole = format != Format::kBF16 && count <= kMaxTokens;
  const int tokens = whole ? count : (count + 1) / 2;
  const auto up_to = [&](int step) -> TileShape {
    return {(tokens + step - 1) / step * step, whole ? 1 : 0};
  };
  if (format != Format::kBF16) return up_to(tokens <= 64 ? 16 : 8);
  if (tokens <= 96) return up_to(32);
  return up_to(tokens > 128 && tokens <= 144 ? 8 : 16);
}
/// Whether there are tiles of this shape.
template <Format kFormat>
constexpr bool has_shape(TileShape shape) {
  const TileShape fitting = tile_shape(kFormat, shape.size());
  return fitting.tokens == shape.tokens && fitting.whole == shape.whole;
}
static_assert(tile_shape(Format::kF8, kMaxTile).tokens == kMaxTokens &&
              tile_shape(Format::kBF16, 1).tokens == 32);

}  // namespace m2::cuda::sm90
