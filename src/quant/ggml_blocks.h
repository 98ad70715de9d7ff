// Decoding of single blocks, one function for each format; see ggml_format.h for the layouts.
#pragma once

#include <cstdint>
#include <cstring>

#include "m2/dtype.h"

namespace m2::ggml {

/// The f16 at any address as float32.
inline float load_half(const std::uint8_t* bytes) {
  f16 half;
  std::memcpy(&half, bytes, sizeof(half));
  return to_float(half);
}

/// Scale and min number `index` of the twelve bytes of Q4_K and Q5_K.
struct ScaleMin {
  std::uint8_t scale;
  std::uint8_t min;
};
inline ScaleMin unpack_scale_min(const std::uint8_t* packed, int index) {
  if (index < 4) {
    return {static_cast<std::uint8_t>(packed[index] & 63U),
            static_cast<std::uint8_t>(packed[index + 4] & 63U)};
  }
  const unsigned low = packed[index + 4];
  return {static_cast<std::uint8_t>((low & 15U) | (packed[index - 4] >> 6U << 4U)),
          static_cast<std::uint8_t>((low >> 4U) | (packed[index] >> 6U << 4U))};
}

/// The sixteen values of IQ4_NL and IQ4_XS.
inline constexpr std::int8_t kIq4Values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                               1,    13,   25,  38,  53,  69,  89,  113};

// Of 32 weights into out [32].
void decode_q8_0(const std::uint8_t* block, float* out);
void decode_q4_0(const std::uint8_t* block, float* out);
void decode_q4_1(const std::uint8_t* block, float* out);
void decode_q5_0(const std::uint8_t* block, float* out);
void decode_q5_1(const std::uint8_t* block, float* out);
void decode_iq4_nl(const std::uint8_t* block, float* out);

// Of 256 weights into out [256].
void decode_q2_k(const std::uint8_t* block, float* out);
void decode_q3_k(const std::uint8_t* block, float* out);
void decode_q4_k(const std::uint8_t* block, float* out);
void decode_q5_k(const std::uint8_t* block, float* out);
void decode_q6_k(const std::uint8_t* block, float* out);
void decode_iq4_xs(const std::uint8_t* block, float* out);

// The opposite, for finite numbers.
void encode_q8_0(const float* in, std::uint8_t* block);
void encode_q4_0(const float* in, std::uint8_t* block);
void encode_q4_k(const float* in, std::uint8_t* block);
void encode_q6_k(const float* in, std::uint8_t* block);

}  // namespace m2::ggml
