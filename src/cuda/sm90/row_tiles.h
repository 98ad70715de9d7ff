// Products of weights with up to 64 tokens on the matrix units.
//
// The tokens' numbers become 16-bit ones once for all blocks: f16 for F8_E4M3 and F16 weights,
// after scaling each token to below 1 by a power of two, and two bf16, high + low, for BF16 weights
// (the formats of cuda/token_rows.cuh). They lie in memory as the blocks want them in shared
// memory: for every 64 columns the rows of all tokens, 128 bytes each, swizzled.
#pragma once

#include <cstdint>
#include <span>

#include "m2/dtype.h"
#include "ops/linear.h"
#include "ops/rms_norm.h"

namespace m2::cuda {

struct Context;

namespace sm90 {

constexpr int kTileTokensMost = 64;
constexpr int kTileColumns = 64;  // of 128 bytes of tokens
constexpr int kTileMostColumns = 8192;

/// Rows of tokens: as many as the products take, 32 or 64, once or twice.
[[nodiscard]] constexpr int padded_tokens(int num_tokens) { return num_tokens <= 32 ? 32 : 64; }
[[nodiscard]] constexpr int token_parts(DType type) { return type == DType::kBF16 ? 2 : 1; }

struct TileTokens {
  void* rows;     // [cols / 64, parts * padded tokens] rows of 128 bytes
  float* scales;  // [T], what products must be multiplied by
};

/// Fills `to` from the input, [T, cols] f32, normed where a norm is given.
void fill_tile_tokens(const TensorView& input, const RmsNormArgs* norm, DType type,
                      const TileTokens& to, Context& context);

/// Products of up to 64 tokens, after rms_norm where it is given, whose output stays unwritten.
/// False where the device or the weights do not fit.
[[nodiscard]] bool row_tile_linears(std::span<const LinearArgs> products, const RmsNormArgs* norm,
                                    Context& context);

}  // namespace sm90
}  // namespace m2::cuda
