// Fills memory with pseudo-random numbers, straight in the format of a weight: for measurements on
// models that are not there. Not an operation of the forward pass.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

#include "base/philox.h"
#include "m2/tensor.h"
#include "quant/weight_view.h"

namespace m2 {

enum class RandomElements : std::uint8_t {
  kF32,     // +-2^exponent * [1, 2)
  kF16,     // the same with an exponent up to three lower
  kBF16,    // the same
  kF8E4M3,  // every code but NaN
  kInt8,    // unsigned bytes q + 128 with q in [-127, 127]
  kInt4,    // pairs of nibbles q + 8 with q in [-7, 7]
};

/// What the bytes of a memory mean. In a strip format f16 scales follow the codes of every strip:
/// numbers 2^scale_exponent * [1, 2).
struct RandomPattern {
  RandomElements elements = RandomElements::kF32;
  int exponent = 0;
  std::int64_t strip_bytes = 0;  // codes and scales of a strip; 0: no strips
  std::int64_t code_bytes = 0;   // of a strip, a multiple of 16 as strip_bytes is
  int scale_exponent = 0;
};

struct RandomFillArgs {
  void* data = nullptr;  // aligned to 16 bytes
  std::int64_t num_bytes = 0;
  RandomPattern pattern;
  std::uint64_t seed = 0;
};

void check(const RandomFillArgs& args);

/// The pattern of the elements or strips of a weight whose numbers are about `deviation` large. The
/// numbers of F8_E4M3 count in units of its scales.
[[nodiscard]] RandomPattern random_pattern(const WeightView& weight, float deviation);
/// That of plain numbers, f32, f16 or bf16.
[[nodiscard]] RandomPattern random_pattern(DType dtype, float deviation);

/// The root of the mean square of random F8_E4M3 codes.
inline constexpr float kRandomF8Deviation = 102.0F;

namespace random_fill_detail {

// Sign, a mantissa, and an exponent field of 2^exponent or up to three binades below.
constexpr std::uint32_t halves(std::uint32_t word, int bias, int mantissa_bits, int exponent) {
  std::uint32_t result = 0;
  for (int shift = 0; shift < 32; shift += 16) {
    const std::uint32_t half = word >> shift & 0xFFFFU;
    const std::uint32_t mantissa = half & ((1U << mantissa_bits) - 1U);
    const auto field = static_cast<std::uint32_t>(exponent + bias) - (half >> 13U & 3U);
    result |= ((half & 0x8000U) | field << mantissa_bits | mantissa) << shift;
  }
  return result;
}

constexpr std::uint32_t bytes(std::uint32_t word, RandomElements elements) {
  std::uint32_t result = 0;
  for (int shift = 0; shift < 32; shift += 8) {
    std::uint32_t code = word >> shift & 0xFFU;
    if (elements == RandomElements::kF8E4M3 && (code & 0x7FU) == 0x7FU) code ^= 1U;
    if (elements == RandomElements::kInt8 && code == 0) code = 1U;
    result |= code << shift;
  }
  return result;
}

// Without -8 the numbers have no mean. A mean would be a direction that every product amplifies.
constexpr std::uint32_t nibbles(std::uint32_t word) {
  constexpr std::uint32_t kLowest = 0x11111111U;
  const std::uint32_t set = (word | word >> 1U | word >> 2U | word >> 3U) & kLowest;
  return word | (set ^ kLowest) << 3U;
}

// Two positive f16.
constexpr std::uint32_t scales(std::uint32_t word, int exponent) {
  const auto field = static_cast<std::uint32_t>(exponent + 15) << 10U;
  return (word & 0x03FF03FFU) | field | field << 16U;
}

constexpr std::uint32_t elements(std::uint32_t word, const RandomPattern& pattern) {
  switch (pattern.elements) {
    case RandomElements::kF32:
      return (word & 0x807FFFFFU) | static_cast<std::uint32_t>(pattern.exponent + 127) << 23U;
    case RandomElements::kF16:
      return halves(word, 15, 10, pattern.exponent);
    case RandomElements::kBF16:
      return halves(word, 127, 7, pattern.exponent);
    case RandomElements::kF8E4M3:
    case RandomElements::kInt8:
      return bytes(word, pattern.elements);
    case RandomElements::kInt4:
      return nibbles(word);
  }
  return word;
}

}  // namespace random_fill_detail

/// The bytes [16 * chunk, 16 * chunk + 16) of the memory, on any device.
constexpr std::array<std::uint32_t, 4> random_chunk(const RandomPattern& pattern,
                                                    std::uint64_t seed, std::int64_t chunk) {
  const auto counter = static_cast<std::uint64_t>(chunk);
  auto words = philox4x32(
      {static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32U), 0, 2},
      philox_key(seed));
  const bool is_scale =
      pattern.strip_bytes > 0 && 16 * chunk % pattern.strip_bytes >= pattern.code_bytes;
  for (std::uint32_t& word : words) {
    word = is_scale ? random_fill_detail::scales(word, pattern.scale_exponent)
                    : random_fill_detail::elements(word, pattern);
  }
  return words;
}

/// Writes one chunk of a fill to the host's memory; the last one may be cut short.
void write_random_chunk(const RandomFillArgs& args, std::int64_t chunk);

namespace reference {
/// Every chunk as random_chunk says.
void random_fill(const RandomFillArgs& args);
}  // namespace reference
}  // namespace m2
