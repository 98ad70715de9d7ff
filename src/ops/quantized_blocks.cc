#include "ops/quantized_blocks.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace m2 {
namespace {

struct Group {
  float scale;
  float offset;
};

Group measure(std::span<const float> x, float largest_code) {
  float low = std::numeric_limits<float>::infinity();
  float high = -low;
  float damage = 0.0F;  // NaN after a NaN or an infinity
  for (const float value : x) {
    low = std::min(low, value);
    high = std::max(high, value);
    damage += value * 0.0F;
  }
  const float range = high - low + damage;
  if (!std::isfinite(range)) return {std::numeric_limits<float>::quiet_NaN(), 0.0F};
  return {range / largest_code, low};
}

unsigned code_of(float value, const Group& group, float largest_code) {
  if (!(group.scale > 0.0F)) return 0;
  const float code = std::nearbyint((value - group.offset) / group.scale);
  return static_cast<unsigned>(std::clamp(code, 0.0F, largest_code));
}

}  // namespace

void quantize_vector(std::span<const float> x, int bits, std::int64_t group_size,
                     std::uint8_t* codes, float* groups) {
  const auto width = static_cast<std::size_t>(group_size);
  const float largest_code = static_cast<float>((1 << bits) - 1);
  for (std::size_t begin = 0; begin < x.size(); begin += width, groups += 2) {
    const auto values = x.subspan(begin, width);
    const Group group = measure(values, largest_code);
    groups[0] = group.scale;
    groups[1] = group.offset;
    const auto code = [&](std::size_t i) { return code_of(values[i], group, largest_code); };
    if (bits == 8) {
      for (std::size_t i = 0; i < width; ++i) *codes++ = static_cast<std::uint8_t>(code(i));
      continue;
    }
    for (std::size_t j = 0; j < width / 2; ++j) {
      *codes++ = static_cast<std::uint8_t>(code(j + width / 2) << 4U | code(j));
    }
  }
}

void dequantize_vector(const std::uint8_t* codes, const float* groups, int bits,
                       std::int64_t group_size, std::span<float> x) {
  const auto width = static_cast<std::size_t>(group_size);
  for (std::size_t begin = 0; begin < x.size(); begin += width, groups += 2) {
    const auto values = x.subspan(begin, width);
    const auto decode = [&](unsigned code) {
      return static_cast<float>(code) * groups[0] + groups[1];
    };
    if (bits == 8) {
      for (float& value : values) value = decode(*codes++);
      continue;
    }
    for (std::size_t j = 0; j < width / 2; ++j) {
      const unsigned byte = *codes++;
      values[j] = decode(byte & 15U);
      values[j + width / 2] = decode(byte >> 4U);
    }
  }
}

}  // namespace m2
