#include "quant/block_format.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "quant/strip_format.h"

namespace m2 {
namespace {

struct Named {
  BlockFormat format;
  std::string_view name;
};

constexpr std::array kNames = {Named{BlockFormat::kInt8G32, "int8_g32"},
                               Named{BlockFormat::kInt4G32, "int4_g32"},
                               Named{BlockFormat::kInt4G128, "int4_g128"}};
constexpr std::array kFormats = {BlockFormat::kInt8G32, BlockFormat::kInt4G32,
                                 BlockFormat::kInt4G128};
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

std::int64_t block_matrix_bytes(BlockFormat format, std::int64_t rows, std::int64_t cols) {
  return strip_layout(format, cols).matrix_bytes(rows);
}

}  // namespace m2
