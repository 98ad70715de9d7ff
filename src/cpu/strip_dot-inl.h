// Dot products of 32 columns of a vector of rows with those of a token, in integers: exact, so that
// all instruction sets agree. Include only from isa/ files.
//
// A vector of L rows takes 4 L bytes of a line of codes (quant/strip_format.h): four columns of
// every row, a quad, with 8-bit codes; two quads with 4-bit codes.
#pragma once

#include <hwy/highway.h>

#include <cstdint>

#include "cpu/quantized_rows.h"
#include "cpu/weight_decode-inl.h"
#include "quant/strip_format.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL  // Highway checks for it but does not tell the compiler
HWY_PUSH_ATTRIBUTES("avx512vnni,gfni")
#endif
// Whether codes of eight bits become words for many tokens.
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_SSE4 && HWY_TARGET != HWY_AVX3_DL
#define M2_WORD_CODES 1
#else
#define M2_WORD_CODES 0
#endif

namespace m2::cpu::HWY_NAMESPACE {

/// What a line holds for each row. Dot<codes> are products with the columns of a token, a quad at a
/// time; where it kRunsOn, its sums may go on over several groups, with the sum of their offsets.
enum class Codes {
  kBytes,       // a quad of codes q + 128
  kNibbles,     // two quads of codes q + 8, the first in the low halves of the bytes
  kSmallBytes,  // a quad of codes q + 8
  kWords,       // q of 16 bits: the even columns of a quad and, in a second line, the odd ones
};

using D32 = hn::RebindToSigned<D>;
using V32 = hn::Vec<D32>;

constexpr std::int64_t kRowVector = static_cast<std::int64_t>(kLanes);
constexpr std::int64_t kVectorBytes = 4 * kRowVector;
constexpr std::int64_t kQuads = kQuantizedCols / 4;  // of a group

template <Codes kCodes>
constexpr std::int64_t kCodeQuads = kCodes == Codes::kNibbles ? 2 : 1;  // of a line

// The columns of a token for kWords.
struct WordQuad {
  const std::int8_t* even;
  const std::int8_t* odd;
};

HWY_INLINE std::int32_t load_quad(const std::int8_t* codes) {
  std::int32_t quad;
  __builtin_memcpy(&quad, codes, sizeof(quad));
  return quad;
}

// What codes with 128 or 8 added are too large by: the offset, or a sixteenth of it.
template <Codes kCodes>
HWY_INLINE V32 zero_point(std::int32_t offset) {
  const V32 all = hn::Set(D32(), offset);
  return kCodes == Codes::kBytes ? all : hn::ShiftRight<4>(all);
}

#if HWY_TARGET == HWY_AVX3_DL

// What codes of many tokens become.
template <Codes kCodes>
constexpr Codes kWideCodes = kCodes;

// The low nibbles of all bytes, or the high ones, as bytes with 120 more, in one instruction: of
// the four bits of q + 8, the highest, turned over, is that of q + 128 and all bits between.
template <bool kHigh>
HWY_INLINE __m512i spread_nibbles(__m512i codes) {
  constexpr long long kRows = kHigh ? 0x1020408080808080 : 0x0102040808080808;
  return _mm512_gf2p8affine_epi64_epi8(codes, _mm512_set1_epi64(kRows), 0x78);
}

// vpdpbusd multiplies and sums the four columns of 16 rows.
template <Codes kCodes>
struct Dot {
  static constexpr bool kRunsOn = true;
  static constexpr std::int64_t kLineQuads = kCodeQuads<kCodes>;
  static constexpr std::int64_t kLines = 1;
  struct Weights {
    __m512i quads[kLineQuads];
  };
  __m512i sum;

  HWY_INLINE void start(std::int32_t offset) { sum = _mm512_set1_epi32(offset); }

  HWY_INLINE static Weights load(const std::uint8_t* line) {
    const __m512i codes = _mm512_loadu_si512(line);
    if constexpr (kCodes == Codes::kNibbles) {
      return {spread_nibbles<false>(codes), spread_nibbles<true>(codes)};
    } else {
      return {codes};
    }
  }

  HWY_INLINE void add(const Weights& weights, std::int64_t quad, const std::int8_t* x) {
    sum =
        _mm512_dpbusd_epi32(sum, weights.quads[quad % kLineQuads], _mm512_set1_epi32(load_quad(x)));
  }

  HWY_INLINE V32 finish(std::int32_t) const { return V32{sum}; }
};

#elif M2_WORD_CODES

template <Codes kCodes>
constexpr Codes kWideCodes = kCodes == Codes::kBytes ? Codes::kWords : Codes::kSmallBytes;
constexpr int kWideBias = 0;

#if HWY_TARGET <= HWY_AVX3
using Bits = __m512i;
HWY_INLINE Bits load_bits(const std::uint8_t* bytes) { return _mm512_loadu_si512(bytes); }
HWY_INLINE Bits set_bytes(int value) { return _mm512_set1_epi8(static_cast<char>(value)); }
HWY_INLINE Bits set_words(int value) { return _mm512_set1_epi16(static_cast<short>(value)); }
HWY_INLINE Bits set_quads(std::int32_t quad) { return _mm512_set1_epi32(quad); }
HWY_INLINE Bits low_nibbles(Bits bits) { return _mm512_and_si512(bits, set_bytes(15)); }
HWY_INLINE Bits shifted_right(Bits bits) { return _mm512_srli_epi16(bits, 4); }
HWY_INLINE Bits add_words(Bits a, Bits b) { return _mm512_add_epi16(a, b); }
HWY_INLINE Bits add_ints(Bits a, Bits b) { return _mm512_add_epi32(a, b); }
HWY_INLINE Bits multiply_bytes(Bits a, Bits b) { return _mm512_maddubs_epi16(a, b); }
HWY_INLINE Bits multiply_words(Bits a, Bits b) { return _mm512_madd_epi16(a, b); }
#elif HWY_TARGET == HWY_AVX2
using Bits = __m256i;
HWY_INLINE Bits load_bits(const std::uint8_t* bytes) {
  return _mm256_loadu_si256(reinterpret_cast<const Bits*>(bytes));
}
HWY_INLINE Bits set_bytes(int value) { return _mm256_set1_epi8(static_cast<char>(value)); }
HWY_INLINE Bits set_words(int value) { return _mm256_set1_epi16(static_cast<short>(value)); }
HWY_INLINE Bits set_quads(std::int32_t quad) { return _mm256_set1_epi32(quad); }
HWY_INLINE Bits low_nibbles(Bits bits) { return _mm256_and_si256(bits, set_bytes(15)); }
HWY_INLINE Bits shifted_right(Bits bits) { return _mm256_srli_epi16(bits, 4); }
HWY_INLINE Bits add_words(Bits a, Bits b) { return _mm256_add_epi16(a, b); }
HWY_INLINE Bits add_ints(Bits a, Bits b) { return _mm256_add_epi32(a, b); }
HWY_INLINE Bits multiply_bytes(Bits a, Bits b) { return _mm256_maddubs_epi16(a, b); }
HWY_INLINE Bits multiply_words(Bits a, Bits b) { return _mm256_madd_epi16(a, b); }
#else
using Bits = __m128i;
HWY_INLINE Bits load_bits(const std::uint8_t* bytes) {
  return _mm_loadu_si128(reinterpret_cast<const Bits*>(bytes));
}
HWY_INLINE Bits set_bytes(int value) { return _mm_set1_epi8(static_cast<char>(value)); }
HWY_INLINE Bits set_words(int value) { return _mm_set1_epi16(static_cast<short>(value)); }
HWY_INLINE Bits set_quads(std::int32_t quad) { return _mm_set1_epi32(quad); }
HWY_INLINE Bits low_nibbles(Bits bits) { return _mm_and_si128(bits, set_bytes(15)); }
HWY_INLINE Bits shifted_right(Bits bits) { return _mm_srli_epi16(bits, 4); }
HWY_INLINE Bits add_words(Bits a, Bits b) { return _mm_add_epi16(a, b); }
HWY_INLINE Bits add_ints(Bits a, Bits b) { return _mm_add_epi32(a, b); }
HWY_INLINE Bits multiply_bytes(Bits a, Bits b) { return _mm_maddubs_epi16(a, b); }
HWY_INLINE Bits multiply_words(Bits a, Bits b) { return _mm_madd_epi16(a, b); }
#endif

// Sums shall grow one product after the other: left alone, the compiler makes all products of a
// loop first, more than registers can hold, and adds them up as a tree.
HWY_INLINE void in_order(Bits& sum) { __asm__("" : "+v"(sum)); }

// pmaddubsw sums pairs of products to 16 bits. Nibbles of codes leave room for the eight quads of a
// group, 8 * 2 * 15 * 127 < 2^15, so an 8-bit code is taken as two of them.
template <Codes kCodes>
struct Dot {
  static constexpr bool kRunsOn = false;
  static constexpr std::int64_t kLineQuads = kCodeQuads<kCodes>;
  static constexpr std::int64_t kLines = 1;
  static constexpr int kParts = kCodes == Codes::kSmallBytes ? 1 : 2;
  static constexpr int kSums = kCodes == Codes::kBytes ? 2 : 1;
  struct Weights {
    Bits parts[kParts];
  };
  Bits sums[kSums];

  HWY_INLINE void start(std::int32_t) {
    for (int i = 0; i < kSums; ++i) sums[i] = set_bytes(0);
  }

  HWY_INLINE static Weights load(const std::uint8_t* line) {
    const Bits codes = load_bits(line);
    if constexpr (kCodes == Codes::kSmallBytes) {
      return {codes};
    } else {
      return {low_nibbles(codes), low_nibbles(shifted_right(codes))};
    }
  }

  HWY_INLINE void add(const Weights& weights, std::int64_t quad, const std::int8_t* x) {
    const Bits columns = set_quads(load_quad(x));
    if constexpr (kCodes == Codes::kBytes) {
      sums[0] = add_words(sums[0], multiply_bytes(weights.parts[0], columns));
      sums[1] = add_words(sums[1], multiply_bytes(weights.parts[1], columns));
    } else {
      sums[0] = add_words(sums[0], multiply_bytes(weights.parts[quad % kLineQuads], columns));
    }
    for (Bits& words : sums) in_order(words);
  }

  HWY_INLINE V32 finish(std::int32_t offset) const {
    Bits total = add_ints(zero_point<kCodes>(offset).raw, multiply_words(sums[0], set_words(1)));
    if constexpr (kCodes == Codes::kBytes) {
      total = add_ints(total, multiply_words(sums[1], set_words(16)));
    }
    return V32{total};
  }
};

// pmaddwd takes words whose sums have room in 32 bits.
template <>
struct Dot<Codes::kWords> {
  static constexpr bool kRunsOn = true;
  static constexpr std::int64_t kLineQuads = 1;
  static constexpr std::int64_t kLines = 2;
  struct Weights {
    Bits even;
    Bits odd;
  };
  Bits sum;

  HWY_INLINE void start(std::int32_t) { sum = set_bytes(0); }
  HWY_INLINE static Weights load(const std::uint8_t* lines) {
    return {load_bits(lines), load_bits(lines + kStripLine)};
  }
  HWY_INLINE void add(const Weights& weights, std::int64_t, WordQuad x) {
    sum = add_ints(sum, multiply_words(weights.even, set_quads(load_quad(x.even))));
    in_order(sum);
    sum = add_ints(sum, multiply_words(weights.odd, set_quads(load_quad(x.odd))));
    in_order(sum);
  }
  HWY_INLINE V32 finish(std::int32_t) const { return V32{sum}; }
};

// Signed bytes as words: the even ones, then, `odd` bytes further, the odd ones.
HWY_INLINE void store_words(hn::Vec<hn::Repartition<std::int8_t, D32> > bytes, std::int64_t odd,
                            std::uint8_t* to) {
  const hn::Repartition<std::int16_t, D32> d16;
  const auto words = hn::BitCast(d16, bytes);
  hn::StoreU(hn::ShiftRight<8>(hn::ShiftLeft<8>(words)), d16, reinterpret_cast<std::int16_t*>(to));
  hn::StoreU(hn::ShiftRight<8>(words), d16, reinterpret_cast<std::int16_t*>(to + odd));
}

#elif HWY_ARCH_ARM_A64

template <Codes kCodes>
constexpr Codes kWideCodes = Codes::kBytes;
constexpr int kWideBias = 120;

// Signed weights, products of 16 bits, their pairs summed to 32.
template <Codes kCodes>
struct Dot {
  static constexpr bool kRunsOn = true;
  static constexpr std::int64_t kLineQuads = kCodeQuads<kCodes>;
  static constexpr std::int64_t kLines = 1;
  struct Weights {
    int8x16_t quads[kLineQuads];
  };
  int32x4_t sum;

  HWY_INLINE void start(std::int32_t) { sum = vdupq_n_s32(0); }

  HWY_INLINE static Weights load(const std::uint8_t* line) {
    const uint8x16_t codes = vld1q_u8(line);
    const int8x16_t eight = vdupq_n_s8(8);
    if constexpr (kCodes == Codes::kNibbles) {
      const uint8x16_t low = vandq_u8(codes, vdupq_n_u8(15));
      return {vsubq_s8(vreinterpretq_s8_u8(low), eight),
              vsubq_s8(vreinterpretq_s8_u8(vshrq_n_u8(codes, 4)), eight)};
    } else {
      return {vreinterpretq_s8_u8(veorq_u8(codes, vdupq_n_u8(128)))};
    }
  }

  HWY_INLINE void add(const Weights& weights, std::int64_t quad, const std::int8_t* x) {
    const int8x16_t columns = vreinterpretq_s8_s32(vdupq_n_s32(load_quad(x)));
    const int16x8_t low =
        vmull_s8(vget_low_s8(weights.quads[quad % kLineQuads]), vget_low_s8(columns));
    const int16x8_t high = vmull_high_s8(weights.quads[quad % kLineQuads], columns);
    sum = vpadalq_s16(sum, vpaddq_s16(low, high));
  }

  HWY_INLINE V32 finish(std::int32_t) const { return V32{sum}; }
};

#else

template <Codes kCodes>
constexpr Codes kWideCodes = Codes::kBytes;
constexpr int kWideBias = 120;

// One row at a time, without vectors.
template <Codes kCodes>
struct Dot {
  static constexpr bool kRunsOn = true;
  static constexpr std::int64_t kLineQuads = kCodeQuads<kCodes>;
  static constexpr std::int64_t kLines = 1;
  static_assert(kLanes == 1);
  static constexpr int kZero = kCodes == Codes::kBytes ? 128 : 8;
  struct Weights {
    std::int8_t quads[kLineQuads][4];
  };
  std::int32_t sum;

  HWY_INLINE void start(std::int32_t) { sum = 0; }

  HWY_INLINE static Weights load(const std::uint8_t* line) {
    Weights weights;
    for (int i = 0; i < 4; ++i) {
      const int code = kCodes == Codes::kNibbles ? line[i] & 15 : line[i];
      weights.quads[0][i] = static_cast<std::int8_t>(code - kZero);
      if constexpr (kCodes == Codes::kNibbles) {
        weights.quads[1][i] = static_cast<std::int8_t>((line[i] >> 4) - kZero);
      }
    }
    return weights;
  }

  HWY_INLINE void add(const Weights& weights, std::int64_t quad, const std::int8_t* x) {
    for (int i = 0; i < 4; ++i) sum += weights.quads[quad % kLineQuads][i] * x[i];
  }

  HWY_INLINE V32 finish(std::int32_t) const { return hn::Set(D32(), sum); }
};

#endif

}  // namespace m2::cpu::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
HWY_POP_ATTRIBUTES
#endif
HWY_AFTER_NAMESPACE();
