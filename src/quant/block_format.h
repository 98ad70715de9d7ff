// Matrix formats in which groups of weights share a scale: names, sizes and geometry.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace m2 {

/// How the bytes of a matrix are laid out, where they are not plain elements of a dtype.
///
/// kInt8G32, kInt4G32, kInt4G128 are strip formats (strip_format.h): symmetric integers, one f16
/// scale for every 32 or 128 columns of a row. The others are those of GGUF files
/// (ggml_format.h).
enum class BlockFormat : std::uint8_t {
  kNone,
  kInt8G32,
  kInt4G32,
  kInt4G128,
  kQ8_0,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ2_K,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kIQ4_XS,
};

/// "int8_g32", "q4_k" and so on: the names in files and options; "none" for kNone.
std::string_view block_format_name(BlockFormat format);
/// Of all formats but kNone.
std::optional<BlockFormat> block_format_from_name(std::string_view name);
/// Every format but kNone.
std::span<const BlockFormat> block_formats();

/// Whether rows of `cols` weights can be stored: those of GGUF's formats must be whole blocks.
bool block_format_fits(BlockFormat format, std::int64_t cols);

/// Bytes of a matrix [rows, cols], padding included. Throws kInternal for kNone and for columns
/// that do not fit.
std::int64_t block_matrix_bytes(BlockFormat format, std::int64_t rows, std::int64_t cols);

}  // namespace m2
