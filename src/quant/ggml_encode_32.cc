// Encoding of Q8_0 and Q4_0. The arithmetic is that of the gguf package, so that the bytes are.
#include <algorithm>
#include <cmath>

#include "quant/ggml_blocks.h"

namespace m2::ggml {
namespace {

constexpr int kSize = 32;

void store_half(std::uint8_t* bytes, float value) {
  const f16 half = to_f16(value);
  std::memcpy(bytes, &half, sizeof(half));
}

// The value of the largest magnitude, the first of several.
float largest(const float* in) {
  return *std::max_element(in, in + kSize,
                           [](float a, float b) { return std::fabs(a) < std::fabs(b); });
}

float inverse(float scale) { return scale == 0 ? 0.0F : 1.0F / scale; }

}  // namespace

void encode_q8_0(const float* in, std::uint8_t* block) {
  const float scale = std::fabs(largest(in)) / 127.0F;
  const float factor = inverse(scale);
  store_half(block, scale);
  for (int i = 0; i < kSize; ++i) {
    block[2 + i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(std::round(in[i] * factor)));
  }
}

void encode_q4_0(const float* in, std::uint8_t* block) {
  const float scale = largest(in) / -8.0F;
  const float factor = inverse(scale);
  const auto code = [&](int i) {
    return static_cast<unsigned>(std::min(static_cast<int>(in[i] * factor + 8.5F), 15));
  };
  store_half(block, scale);
  for (int i = 0; i < kSize / 2; ++i) {
    block[2 + i] = static_cast<std::uint8_t>(code(i) | code(i + kSize / 2) << 4U);
  }
}

}  // namespace m2::ggml
