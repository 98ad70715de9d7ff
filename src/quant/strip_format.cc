#include "quant/strip_format.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/error.h"
#include "m2/dtype.h"

namespace m2 {
namespace {

constexpr std::int64_t kMostGroup = 128;

}  // namespace

bool is_strip_format(BlockFormat format) {
  return format == BlockFormat::kInt8G32 || format == BlockFormat::kInt4G32 ||
         format == BlockFormat::kInt4G128;
}

StripLayout strip_layout(BlockFormat format, std::int64_t cols) {
  M2_CHECK(is_strip_format(format), "block format ", block_format_name(format), " has no strips");
  StripLayout layout = {.bits = format == BlockFormat::kInt8G32 ? 8 : 4,
                        .group_size = format == BlockFormat::kInt4G128 ? 128 : 32};
  layout.num_groups = (cols + layout.group_size - 1) / layout.group_size;
  return layout;
}

void decode_strip_row(BlockFormat format, const void* matrix, std::int64_t row, std::int64_t cols,
                      float* out) {
  const StripLayout layout = strip_layout(format, cols);
  const std::int64_t in_strip = row % kStripRows;
  const auto* codes = static_cast<const std::uint8_t*>(matrix) +
                      row / kStripRows * layout.strip_bytes() + 4 * in_strip;
  const std::uint8_t* scales = codes - 4 * in_strip + layout.code_bytes() + 2 * in_strip;
  for (std::int64_t begin = 0; begin < cols; begin += layout.group_size) {
    f16 stored;
    std::memcpy(&stored, scales + begin / layout.group_size * kStripRows * 2, sizeof(stored));
    const float scale = to_float(stored);
    std::array<float, kMostGroup> group;
    // Eight columns at a time: a line of 4-bit codes or two of 8-bit ones.
    for (std::int64_t i = 0; i < layout.group_size; i += 8) {
      const std::uint8_t* line = codes + (begin + i) / layout.line_cols() * kStripLine;
      float* values = group.data() + i;
      for (std::int64_t j = 0; j < 4; ++j) {
        const bool bytes = layout.bits == 8;
        const int low = bytes ? line[j] - 128 : (line[j] & 15) - 8;
        const int high = bytes ? line[kStripLine + j] - 128 : (line[j] >> 4) - 8;
        values[j] = static_cast<float>(low) * scale;
        values[4 + j] = static_cast<float>(high) * scale;
      }
    }
    std::copy_n(group.data(), std::min(layout.group_size, cols - begin), out + begin);
  }
}

}  // namespace m2
