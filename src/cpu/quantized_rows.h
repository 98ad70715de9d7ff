// Activations as the integer kernels take them: 8-bit codes with a scale for every 32 columns.
#pragma once

#include <cstdint>

namespace m2::cpu {

/// Columns that share a scale.
inline constexpr std::int64_t kQuantizedCols = 32;

/// 32 columns of a row: x[i] is about codes[i] * scale, scale = largest magnitude / 127. A group of
/// zeros, or of magnitudes too small for it, has scale 0; one with an infinity or a NaN has scale
/// NaN and codes 0.
struct QuantizedGroup {
  std::int8_t codes[kQuantizedCols];
  float scale;
  // -128 times the sum of the codes: what a product with codes of weights, which have 128 added,
  // is too large by.
  std::int32_t offset;
  std::int32_t first_offset;  // the same of the first sixteen codes
};
static_assert(sizeof(QuantizedGroup) == 44);

/// Groups of a row. Whole multiples of 128 columns, so that weights of every group size fit.
[[nodiscard]] constexpr std::int64_t quantized_groups(std::int64_t cols) {
  return (cols + 127) / 128 * 4;
}

}  // namespace m2::cpu
