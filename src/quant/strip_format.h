// The project's own integer formats: matrices cut into strips of sixteen rows.
//
// A strip [16 rows, cols] is stored as all its codes and then all its scales. The layout is that of
// the integer dot-product instructions: 64 consecutive bytes are sixteen rows times four columns,
// byte 4 * row + column, so one 512-bit register (two of 256 bits, four of 128) holds the four
// neighbouring columns of every row in its 32-bit lanes, and an AMX tile is a run of such lines.
//
//   8 bits: line j holds columns 4j .. 4j + 3;  code = q + 128, q in [-127, 127].
//   4 bits: line j holds columns 8j .. 8j + 3 in its low and 8j + 4 .. 8j + 7 in its high nibbles;
//           code = q + 8, q in [-8, 7].
//   scales: [cols / group, 16] f16.
//
// W[r, c] = q[r, c] * scale[r, c / group]. Columns are padded to whole groups and rows to whole
// strips with q = 0 and scale 0. Strips follow each other without gaps, so a matrix is a multiple
// of 32 bytes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/block_format.h"

namespace m2 {

inline constexpr std::int64_t kStripRows = 16;
/// Bytes of a line of codes.
inline constexpr std::int64_t kStripLine = 64;

/// Sizes of a strip format for matrices of a width.
struct StripLayout {
  std::int64_t bits = 0;
  std::int64_t group_size = 0;
  std::int64_t num_groups = 0;  // of a row, the last one perhaps padded

  [[nodiscard]] constexpr std::int64_t code_bytes() const {
    return kStripRows * num_groups * group_size * bits / 8;
  }
  [[nodiscard]] constexpr std::int64_t scale_bytes() const { return kStripRows * num_groups * 2; }
  [[nodiscard]] constexpr std::int64_t strip_bytes() const { return code_bytes() + scale_bytes(); }
  [[nodiscard]] constexpr std::int64_t num_strips(std::int64_t rows) const {
    return (rows + kStripRows - 1) / kStripRows;
  }
  [[nodiscard]] constexpr std::int64_t matrix_bytes(std::int64_t rows) const {
    return num_strips(rows) * strip_bytes();
  }
  /// Columns of a line of codes.
  [[nodiscard]] constexpr std::int64_t line_cols() const { return 32 / bits; }
};

[[nodiscard]] bool is_strip_format(BlockFormat format);

/// Throws kInternal unless it is a strip format.
[[nodiscard]] StripLayout strip_layout(BlockFormat format, std::int64_t cols);

/// Quantises up to sixteen rows [num_rows, cols] f32 into one strip of strip_bytes(). Scales are
/// those of the smallest squared error among a few candidates for 4 bits, largest / 127 for 8.
/// Throws kInvalidArgument for values that are not finite or beyond the range of the scale.
void encode_strip(BlockFormat format, const float* rows, std::int64_t num_rows, std::int64_t cols,
                  std::byte* strip);

/// Row `row` of a matrix as float32 into out [cols].
void decode_strip_row(BlockFormat format, const void* matrix, std::int64_t row, std::int64_t cols,
                      float* out);

}  // namespace m2
