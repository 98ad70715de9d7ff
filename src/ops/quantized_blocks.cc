#include "ops/quantized_blocks.h"

#include <algorithm>
#include <cmath>

namespace m2 {

void quantize_vector(std::span<const float> x, int bits, std::int64_t group_size,
                     std::uint8_t* codes, float* groups) {
  const auto width = static_cast<std::size_t>(group_size);
  const float largest_code = static_cast<float>((1 << bits) - 1);
  std::fill_n(codes, x.size() * static_cast<std::size_t>(bits) / 8, std::uint8_t{0});
  for (std::size_t begin = 0; begin < x.size(); begin += width, groups += 2) {
    const auto [low, high] = std::ranges::minmax(x.subspan(begin, width));
    const float scale = (high - low) / largest_code;
    groups[0] = scale;
    groups[1] = low;
    if (scale == 0.0F) continue;
    for (std::size_t i = begin; i < begin + width; ++i) {
      const float code = std::clamp(std::nearbyint((x[i] - low) / scale), 0.0F, largest_code);
      const auto value = static_cast<unsigned>(code);
      if (bits == 8) {
        codes[i] = static_cast<std::uint8_t>(value);
      } else {
        codes[i / 2] = static_cast<std::uint8_t>(codes[i / 2] | value << (i % 2 * 4));
      }
    }
  }
}

void dequantize_vector(const std::uint8_t* codes, const float* groups, int bits,
                       std::int64_t group_size, std::span<float> x) {
  const auto width = static_cast<std::size_t>(group_size);
  for (std::size_t begin = 0; begin < x.size(); begin += width, groups += 2) {
    const float scale = groups[0];
    const float offset = groups[1];
    if (bits == 8) {
      for (std::size_t i = begin; i < begin + width; ++i) {
        x[i] = static_cast<float>(codes[i]) * scale + offset;
      }
      continue;
    }
    for (std::size_t i = begin; i < begin + width; ++i) {
      const int code = codes[i / 2] >> (i % 2 * 4) & 15;
      x[i] = static_cast<float>(code) * scale + offset;
    }
  }
}

}  // namespace m2
