// The block formats of GGUF files: every row is cut into blocks of 32 or 256 weights.
//
// A block holds the codes of its weights and the numbers that they are multiplied by. Blocks follow
// each other without gaps, row after row, so rows must be whole blocks. Layouts (d, m: f16):
//
//   Q8_0    32: d, 32 int8                       W = d q
//   Q4_0    32: d, 16 bytes of nibbles           W = d (q - 8); low nibbles are weights 0 .. 15
//   Q4_1    32: d, m, 16 bytes of nibbles        W = d q + m
//   Q5_0    32: d, 32 high bits, 16 bytes        W = d (q - 16)
//   Q5_1    32: d, m, 32 high bits, 16 bytes     W = d q + m
//   Q2_K   256: 16 x (scale, min) of 4 bits, 64 bytes of 2 bits, d, m      W = d s q - m n
//   Q3_K   256: 256 high bits, 64 bytes of 2 bits, 16 scales of 6 bits, d  W = d (s - 32) (q - 4)
//   Q4_K   256: d, m, 8 x (scale, min) of 6 bits, 128 bytes of nibbles     W = d s q - m n
//   Q5_K   256: as Q4_K with 256 high bits before the nibbles
//   Q6_K   256: 128 bytes of nibbles, 64 of 2 high bits, 16 int8 scales, d W = d s (q - 32)
//   IQ4_NL  32: d, 16 bytes of nibbles           W = d table[q]
//   IQ4_XS 256: d, 8 scales of 6 bits, 128 bytes of nibbles                W = d (s - 32) table[q]
#pragma once

#include <cstddef>
#include <cstdint>

#include "quant/block_format.h"

namespace m2 {

struct GgmlLayout {
  std::int64_t block_cols = 0;
  std::int64_t block_bytes = 0;

  [[nodiscard]] constexpr std::int64_t row_bytes(std::int64_t cols) const {
    return cols / block_cols * block_bytes;
  }
};

[[nodiscard]] bool is_ggml_format(BlockFormat format);

/// Throws kInternal unless it is a format of GGUF files.
[[nodiscard]] GgmlLayout ggml_layout(BlockFormat format);

/// One row of whole blocks as float32 into out [cols], bit for bit what the gguf package decodes.
void decode_ggml_row(BlockFormat format, const void* row, std::int64_t cols, float* out);

/// Q8_0, Q4_0, Q4_K and Q6_K can be encoded.
[[nodiscard]] bool can_encode_ggml(BlockFormat format);

/// One row [cols] f32 of whole blocks into row_bytes(cols). Q8_0 and Q4_0 give the bytes that the
/// gguf package gives; Q4_K and Q6_K search for scales of small weighted squared error. Throws
/// kInvalidArgument for values that are not finite or beyond the range of the scales.
void encode_ggml_row(BlockFormat format, const float* row, std::int64_t cols, std::byte* out);

}  // namespace m2
