// Blocks of 256 weights: Q2_K to Q6_K and IQ4_XS.
#include "quant/ggml_blocks.h"

namespace m2::ggml {
namespace {

constexpr int kSize = 256;

// The low two bits of Q2_K and Q3_K: 32 bytes hold 128 weights, 32 in each pair of bits.
unsigned two_bits(const std::uint8_t* codes, int index) {
  const int in_half = index % 128;
  const auto shift = static_cast<unsigned>(in_half / 32 * 2);
  return (codes[index / 128 * 32 + in_half % 32] >> shift) & 3U;
}

// Q4_K, Q5_K, IQ4 of 256 and 64 weights each 32 bytes: low nibbles, then high ones.
unsigned nibble_64(const std::uint8_t* codes, int index) {
  const unsigned byte = codes[index / 64 * 32 + index % 32];
  return index % 64 < 32 ? byte & 15U : byte >> 4U;
}

// Sixteen scales of six bits: eight bytes with the low four bits of two, four bytes with the high
// two bits of four.
int q3_scale(const std::uint8_t* packed, int index) {
  const unsigned low = index < 8 ? packed[index] & 15U : packed[index - 8] >> 4U;
  const unsigned high = (packed[8 + index % 4] >> static_cast<unsigned>(index / 4 * 2)) & 3U;
  return static_cast<int>(low | (high << 4U)) - 32;
}

unsigned q6_code(const std::uint8_t* block, int index) {
  const int half = index / 128;
  const int in_half = index % 128;
  const unsigned low_byte = block[half * 64 + in_half % 64];
  const unsigned low = in_half < 64 ? low_byte & 15U : low_byte >> 4U;
  const unsigned high =
      (block[128 + half * 32 + in_half % 32] >> static_cast<unsigned>(in_half / 32 * 2)) & 3U;
  return low | (high << 4U);
}

}  // namespace

void decode_q2_k(const std::uint8_t* block, float* out) {
  const float scale = load_half(block + 80);
  const float min = load_half(block + 82);
  for (int i = 0; i < kSize; ++i) {
    const unsigned packed = block[i / 16];
    const float group_scale = scale * static_cast<float>(packed & 15U);
    const float group_min = min * static_cast<float>(packed >> 4U);
    out[i] = group_scale * static_cast<float>(two_bits(block + 16, i)) - group_min;
  }
}

void decode_q3_k(const std::uint8_t* block, float* out) {
  const float scale = load_half(block + 108);
  for (int i = 0; i < kSize; ++i) {
    // The mask of a weight that keeps its offset is 0.
    const unsigned mask = (block[i % 32] >> static_cast<unsigned>(i / 32)) & 1U;
    const int code = static_cast<int>(two_bits(block + 32, i)) - (mask != 0 ? 0 : 4);
    const float group_scale = scale * static_cast<float>(q3_scale(block + 96, i / 16));
    out[i] = group_scale * static_cast<float>(code);
  }
}

void decode_q4_k(const std::uint8_t* block, float* out) {
  const float scale = load_half(block);
  const float min = load_half(block + 2);
  for (int i = 0; i < kSize; ++i) {
    const ScaleMin group = unpack_scale_min(block + 4, i / 32);
    const float group_scale = scale * static_cast<float>(group.scale);
    const float group_min = min * static_cast<float>(group.min);
    out[i] = group_scale * static_cast<float>(nibble_64(block + 16, i)) - group_min;
  }
}

void decode_q5_k(const std::uint8_t* block, float* out) {
  const float scale = load_half(block);
  const float min = load_half(block + 2);
  for (int i = 0; i < kSize; ++i) {
    const ScaleMin group = unpack_scale_min(block + 4, i / 32);
    const unsigned high = (block[16 + i % 32] >> static_cast<unsigned>(i / 32)) & 1U;
    const float group_scale = scale * static_cast<float>(group.scale);
    const float group_min = min * static_cast<float>(group.min);
    out[i] = group_scale * static_cast<float>(nibble_64(block + 48, i) | (high << 4U)) - group_min;
  }
}

void decode_q6_k(const std::uint8_t* block, float* out) {
  const float scale = load_half(block + 208);
  for (int i = 0; i < kSize; ++i) {
    const auto group = static_cast<std::int8_t>(block[192 + i / 16]);
    const float group_scale = scale * static_cast<float>(group);
    out[i] = group_scale * static_cast<float>(static_cast<int>(q6_code(block, i)) - 32);
  }
}

void decode_iq4_xs(const std::uint8_t* block, float* out) {
  const float scale = load_half(block);
  const unsigned high_bits = block[2] | static_cast<unsigned>(block[3]) << 8U;
  for (int i = 0; i < kSize; ++i) {
    const int group = i / 32;
    const unsigned low = (block[4 + group / 2] >> static_cast<unsigned>(group % 2 * 4)) & 15U;
    const unsigned high = (high_bits >> static_cast<unsigned>(group * 2)) & 3U;
    const float group_scale = scale * static_cast<float>(static_cast<int>(low | high << 4U) - 32);
    const unsigned byte = block[8 + group * 16 + i % 16];
    const unsigned code = i % 32 < 16 ? byte & 15U : byte >> 4U;
    out[i] = group_scale * static_cast<float>(kIq4Values[code]);
  }
}

}  // namespace m2::ggml
