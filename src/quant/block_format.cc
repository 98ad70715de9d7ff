#include "quant/block_format.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "quant/ggml_format.h"
#include "quant/strip_format.h"

namespace m2 {
namespace {

struct Named {
  BlockFormat format;
  std::string_view name;
};

constexpr std::array kNames = {
    Named{BlockFormat::kInt8G32, "int8_g32"},   Named{BlockFormat::kInt4G32, "int4_g32"},
    Named{BlockFormat::kInt4G128, "int4_g128"}, Named{BlockFormat::kQ8_0, "q8_0"},
    Named{BlockFormat::kQ4_0, "q4_0"},          Named{BlockFormat::kQ4_1, "q4_1"},
    Named{BlockFormat::kQ5_0, "q5_0"},          Named{BlockFormat::kQ5_1, "q5_1"},
    Named{BlockFormat::kQ2_K, "q2_k"},          Named{BlockFormat::kQ3_K, "q3_k"},
    Named{BlockFormat::kQ4_K, "q4_k"},          Named{BlockFormat::kQ5_K, "q5_k"},
    Named{BlockFormat::kQ6_K, "q6_k"},          Named{BlockFormat::kIQ4_NL, "iq4_nl"},
    Named{BlockFormat::kIQ4_XS, "iq4_xs"}};
constexpr std::array kFormats = {
    BlockFormat::kInt8G32, BlockFormat::kInt4G32, BlockFormat::kInt4G128, BlockFormat::kQ8_0,
    BlockFormat::kQ4_0,    BlockFormat::kQ4_1,    BlockFormat::kQ5_0,     BlockFormat::kQ5_1,
    BlockFormat::kQ2_K,    BlockFormat::kQ3_K,    BlockFormat::kQ4_K,     BlockFormat::kQ5_K,
    BlockFormat::kQ6_K,    BlockFormat::kIQ4_NL,  BlockFormat::kIQ4_XS};
static_assert(kNames.size() == kFormats.size());

}  // namespace

std::string_view block_format_name(BlockFormat format) {
  const auto* found = std::ranges::find(kNames, format, &Named::format);
  return found == kNames.end() ? "none" : found->name;
}

std::optional<BlockFormat> block_format_from_name(std::string_view name) {
  const auto* found = std::ranges::find(kNames, name, &Named::name);
  if (found == kNames.end()) return std::nullopt;
  return found->format;
}

std::span<const BlockFormat> block_formats() { return kFormats; }

bool block_format_fits(BlockFormat format, std::int64_t cols) {
  return !is_ggml_format(format) || cols % ggml_layout(format).block_cols == 0;
}

std::int64_t block_matrix_bytes(BlockFormat format, std::int64_t rows, std::int64_t cols) {
  M2_CHECK(block_format_fits(format, cols), block_format_name(format), ": rows of ", cols,
           " weights are no whole blocks");
  if (is_ggml_format(format)) return rows * ggml_layout(format).row_bytes(cols);
  return strip_layout(format, cols).matrix_bytes(rows);
}

}  // namespace m2
