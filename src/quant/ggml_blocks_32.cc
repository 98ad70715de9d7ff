// Blocks of 32 weights: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, IQ4_NL.
#include "quant/ggml_blocks.h"

namespace m2::ggml {
namespace {

constexpr int kSize = 32;

// Weight `index` of 16 bytes: the low nibbles come first.
unsigned nibble(const std::uint8_t* codes, int index) {
  return index < kSize / 2 ? codes[index] & 15U : codes[index - kSize / 2] >> 4U;
}

unsigned five_bits(const std::uint8_t* high, const std::uint8_t* codes, int index) {
  const unsigned bit = (high[index / 8] >> static_cast<unsigned>(index % 8)) & 1U;
  return nibble(codes, index) | (bit << 4U);
}

}  // namespace

void decode_q8_0(const std::uint8_t* block, float* out) {
  const float scale = load_half(block);
  for (int i = 0; i < kSize; ++i) {
    out[i] = static_cast<float>(static_cast<std::int8_t>(block[2 + i])) * scale;
  }
}

void decode_q4_0(const std::uint8_t* block, float* out) {
  const float scale = load_half(block);
  for (int i = 0; i < kSize; ++i) {
    out[i] = scale * static_cast<float>(static_cast<int>(nibble(block + 2, i)) - 8);
  }
}

void decode_q4_1(const std::uint8_t* block, float* out) {
  const float scale = load_half(block);
  const float offset = load_half(block + 2);
  for (int i = 0; i < kSize; ++i) {
    out[i] = scale * static_cast<float>(nibble(block + 4, i)) + offset;
  }
}

void decode_q5_0(const std::uint8_t* block, float* out) {
  const float scale = load_half(block);
  for (int i = 0; i < kSize; ++i) {
    out[i] = scale * static_cast<float>(static_cast<int>(five_bits(block + 2, block + 6, i)) - 16);
  }
}

void decode_q5_1(const std::uint8_t* block, float* out) {
  const float scale = load_half(block);
  const float offset = load_half(block + 2);
  for (int i = 0; i < kSize; ++i) {
    out[i] = scale * static_cast<float>(five_bits(block + 4, block + 8, i)) + offset;
  }
}

void decode_iq4_nl(const std::uint8_t* block, float* out) {
  const float scale = load_half(block);
  for (int i = 0; i < kSize; ++i) {
    out[i] = scale * static_cast<float>(kIq4Values[nibble(block + 2, i)]);
  }
}

}  // namespace m2::ggml
