// Activations as the integer kernels take them: 8-bit codes with a scale for every 128 columns.
#pragma once

#include <cstdint>

namespace m2::cpu {

/// Columns of a group: the least that weights of the integer formats have a scale for.
inline constexpr std::int64_t kQuantizedCols = 32;

/// Neighbouring columns that share a scale: the width of the blocks in which FP8 checkpoints of the
/// model have their activations quantised, too.
inline constexpr std::int64_t kScaleCols = 128;
inline constexpr std::int64_t kScaleGroups = kScaleCols / kQuantizedCols;

/// 32 columns of a row: x[i] is about codes[i] * scale, scale = largest magnitude of the 128
/// columns / 127, the same in their four groups. Columns of zeros, or of magnitudes too small for
/// it, have scale 0; those with an infinity or a NaN have scale NaN and codes 0.
struct QuantizedGroup {
  std::int8_t codes[kQuantizedCols];
  float scale;
  // -128 times the sum of the codes: what a product with codes of weights, which have 128 added,
  // is too large by.
  std::int32_t offset;
  std::int32_t first_offset;  // the same of the first sixteen codes
  float sum;                  // of the codes
};
static_assert(sizeof(QuantizedGroup) == 48);

/// Groups of a row: whole multiples of 128 columns.
[[nodiscard]] constexpr std::int64_t quantized_groups(std::int64_t cols) {
  return (cols + kScaleCols - 1) / kScaleCols * kScaleGroups;
}

}  // namespace m2::cpu
