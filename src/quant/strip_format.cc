#include "quant/strip_format.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <span>

#include "base/error.h"
#include "m2/dtype.h"

namespace m2 {
namespace {

constexpr std::int64_t kMostGroup = 128;

// What a group of a row becomes.
struct Group {
  f16 scale = {0};
  std::array<std::int8_t, kMostGroup> q = {};
};

// Where the code of (row, column) of a strip lies; 4 bits: in the low or the high nibble.
struct CodePlace {
  std::int64_t byte;
  int shift;
};

CodePlace code_place(std::int64_t bits, std::int64_t row, std::int64_t col) {
  if (bits == 8) return {col / 4 * kStripLine + 4 * row + col % 4, 0};
  return {col / 8 * kStripLine + 4 * row + col % 4, col % 8 < 4 ? 0 : 4};
}

float largest_magnitude(std::span<const float> values) {
  float largest = 0.0F;
  for (const float value : values) largest = std::max(largest, std::fabs(value));
  return largest;
}

void round_group(std::span<const float> values, float scale, int least, int most, Group& group) {
  const float inverse = scale == 0.0F ? 0.0F : 1.0F / scale;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const float q = std::nearbyint(values[i] * inverse);
    group.q[i] = static_cast<std::int8_t>(
        std::clamp(q, static_cast<float>(least), static_cast<float>(most)));
  }
}

Group encode_group8(std::span<const float> values) {
  Group group = {.scale = to_f16(largest_magnitude(values) / 127.0F)};
  round_group(values, to_float(group.scale), -127, 127, group);
  return group;
}

double squared_error(std::span<const float> values, const Group& group) {
  const double scale = to_float(group.scale);
  double sum = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double error = double{values[i]} - scale * group.q[i];
    sum += error * error;
  }
  return sum;
}

// The largest value is put at -8 or near it, with either sign of the scale: the range of codes is
// not symmetric. Clipping it a little often lowers the error of all the others by more.
Group encode_group4(std::span<const float> values) {
  const float largest = largest_magnitude(values);
  Group best;
  double least_error = std::numeric_limits<double>::infinity();
  constexpr int kSteps = 16;
  for (int i = 0; i < kSteps; ++i) {
    const float levels = 6.0F + 0.2F * static_cast<float>(i);  // 6 .. 9
    for (const float sign : {1.0F, -1.0F}) {
      Group group = {.scale = to_f16(sign * largest / levels)};
      round_group(values, to_float(group.scale), -8, 7, group);
      const double error = squared_error(values, group);
      if (error < least_error) {
        least_error = error;
        best = group;
      }
    }
  }
  return best;
}

void store_group(const StripLayout& layout, const Group& group, std::int64_t row,
                 std::int64_t index, std::byte* strip) {
  const int zero = layout.bits == 8 ? 128 : 8;
  for (std::int64_t i = 0; i < layout.group_size; ++i) {
    const CodePlace place = code_place(layout.bits, row, index * layout.group_size + i);
    const int code = group.q[static_cast<std::size_t>(i)] + zero;
    strip[place.byte] |= static_cast<std::byte>(code << place.shift);
  }
  std::memcpy(strip + layout.code_bytes() + (index * kStripRows + row) * 2, &group.scale, 2);
}

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

void encode_strip(BlockFormat format, const float* rows, std::int64_t num_rows, std::int64_t cols,
                  std::byte* strip) {
  const StripLayout layout = strip_layout(format, cols);
  M2_CHECK(num_rows >= 0 && num_rows <= kStripRows, "a strip of ", num_rows, " rows");
  std::memset(strip, 0, static_cast<std::size_t>(layout.strip_bytes()));
  const float limit = to_float(f16{0x7BFF}) * (layout.bits == 8 ? 127.0F : 6.0F);
  for (std::int64_t row = 0; row < kStripRows; ++row) {
    for (std::int64_t index = 0; index < layout.num_groups; ++index) {
      const std::int64_t begin = index * layout.group_size;
      Group group;
      if (row < num_rows) {
        const std::span values(rows + row * cols + begin,
                               static_cast<std::size_t>(std::min(layout.group_size, cols - begin)));
        for (const float value : values) {
          M2_REQUIRE(ErrorCode::kInvalidArgument, std::fabs(value) <= limit, "row ", row,
                     ": expected values within ", limit, ", got ", value);
        }
        group = layout.bits == 8 ? encode_group8(values) : encode_group4(values);
      }
      store_group(layout, group, row, index, strip);
    }
  }
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
