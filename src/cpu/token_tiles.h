// Quantised activations of many tokens in the order in which kernels read them: tiles of a few
// tokens, whose columns lie side by side, so that one pointer leads to all.
//
// Tokens [T] are cut into passes, a pass into tiles of nearly the same size. A tile of C tokens is,
// for every 128 columns:
//
//   codes   [32 quads, C, 4] i8: four neighbouring columns of a token
//   offsets [4, C] i32: of the groups of 32 columns, as in QuantizedGroup
//   halves  [8, C] i32: offsets of 16 columns
//   sums    [4, C] f32: of the codes of the groups
//   offset  [C] i32: the sum of the offsets
//   scales  [C] f32
#pragma once

#include <cstdint>

#include "cpu/quantized_rows.h"

namespace m2::cpu {

/// Tokens of a pass, whose tiles stay in the second-level cache.
inline constexpr std::int64_t kPassTokens = 120;

/// Up to as many tokens, products with strips read the rows themselves: memory is the limit.
inline constexpr std::int64_t kMostRowTokens = 4;

/// Bytes of a token and 128 columns; where the parts of a tile of C tokens begin, divided by C.
inline constexpr std::int64_t kTileOffsets = kScaleCols;
inline constexpr std::int64_t kTileHalves = kTileOffsets + 4 * kScaleGroups;
inline constexpr std::int64_t kTileSums = kTileHalves + 8 * kScaleGroups;
inline constexpr std::int64_t kTileSumOffset = kTileSums + 4 * kScaleGroups;
inline constexpr std::int64_t kTileScales = kTileSumOffset + 4;
inline constexpr std::int64_t kTileBytes = kTileScales + 4;

/// Bytes of one token; tiles follow each other without gaps.
[[nodiscard]] constexpr std::int64_t token_tile_bytes(std::int64_t cols) {
  return quantized_groups(cols) / kScaleGroups * kTileBytes;
}

struct PackArgs {
  const QuantizedGroup* rows = nullptr;      // [*, quantized_groups(K)]
  const std::int32_t* input_rows = nullptr;  // [T]: the rows to take; null: 0 .. T - 1
  std::int64_t num_tokens = 0;               // T, at most kPassTokens
  std::int64_t cols = 0;                     // K
  std::uint8_t* output = nullptr;            // [T * token_tile_bytes(K)]
};

}  // namespace m2::cpu
