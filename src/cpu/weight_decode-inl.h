// Turns the bytes of a weight into vectors of float32. Include only from isa/ files.
//
// A format decodes one unit at a time: kVectors vectors of L lanes from kVectors * L elements. The
// product of a row is a sum over elements, so a format may hand them out in another order than that
// of memory; pack_unit then puts the activations into the same order.
#pragma once

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "m2/dtype.h"

HWY_BEFORE_NAMESPACE();
namespace m2::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using D = hn::ScalableTag<float>;
using V = hn::Vec<D>;
constexpr std::size_t kLanes = hn::MaxLanes(D());

// Loads from any address: the bytes of a file have no alignment.
template <class Tag>
HWY_INLINE hn::Vec<Tag> load_bytes(Tag tag, const std::uint8_t* bytes) {
  using T = hn::TFromD<Tag>;
#if HWY_TARGET == HWY_SCALAR
  T value;
  __builtin_memcpy(&value, bytes, sizeof(T));
  return hn::Set(tag, value);
#else
  return hn::LoadU(tag, reinterpret_cast<const T*>(bytes));
#endif
}

// Into the second-level cache; an address past the end of the weight does no harm.
HWY_INLINE void prefetch(const std::uint8_t* bytes) { __builtin_prefetch(bytes, 0, 2); }

// What most formats share: natural order, no factor, NaN decoded as such.
struct PlainFormat {
  static constexpr float kFactor = 1.0F;  // the activations are multiplied by it
  static constexpr bool kScaled = false;  // block scales; they too go into the activations
  HWY_INLINE bool saw_nan() const { return false; }
};

struct F32Format : PlainFormat {
  static constexpr std::size_t kVectors = 1;
  static constexpr std::size_t kBytes = 4;
  HWY_INLINE void decode(const std::uint8_t* bytes, V* out) { out[0] = load_bytes(D(), bytes); }
};

struct BF16Format : PlainFormat {
  static constexpr std::size_t kVectors = 1;
  static constexpr std::size_t kBytes = 2;
  HWY_INLINE void decode(const std::uint8_t* bytes, V* out) {
    const hn::RebindToUnsigned<D> du32;
    const hn::Rebind<std::uint16_t, D> du16;
    out[0] = hn::BitCast(D(), hn::ShiftLeft<16>(hn::PromoteTo(du32, load_bytes(du16, bytes))));
  }
};

#if (HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2) || HWY_ARCH_ARM_A64
#define M2_HAVE_F16_CONVERSION 1
#else
#define M2_HAVE_F16_CONVERSION 0
#endif

#if !M2_HAVE_F16_CONVERSION
// Of f16 in the lower halves of the lanes. Exponent and mantissa go to the places of float32; the
// product corrects the bias and makes subnormals normal. Infinity and NaN get their exponent back.
HWY_INLINE V half_bits_to_float(hn::Vec<hn::RebindToUnsigned<D>> bits) {
  const hn::RebindToUnsigned<D> du32;
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du32, 0x8000U)));
  const auto rest = hn::ShiftLeft<13>(hn::And(bits, hn::Set(du32, 0x7FFFU)));
  const auto finite = hn::Mul(hn::BitCast(D(), rest), hn::Set(D(), 0x1p112F));
  const auto special = hn::BitCast(D(), hn::Or(rest, hn::Set(du32, 0x7F800000U)));
  const auto is_special =
      hn::RebindMask(D(), hn::Eq(hn::And(bits, hn::Set(du32, 0x7C00U)), hn::Set(du32, 0x7C00U)));
  return hn::Or(hn::BitCast(D(), sign), hn::IfThenElse(is_special, special, finite));
}
#endif

struct F16Format : PlainFormat {
  static constexpr std::size_t kVectors = 1;
  static constexpr std::size_t kBytes = 2;
  HWY_INLINE void decode(const std::uint8_t* bytes, V* out) {
    const hn::Rebind<std::uint16_t, D> du16;
    const auto half = load_bytes(du16, bytes);
#if M2_HAVE_F16_CONVERSION
    const hn::Rebind<hwy::float16_t, D> df16;
    out[0] = hn::PromoteTo(D(), hn::BitCast(df16, half));
#else
    out[0] = half_bits_to_float(hn::PromoteTo(hn::RebindToUnsigned<D>(), half));
#endif
  }
};

#if HWY_TARGET == HWY_AVX3_DL

// The two bytes of the bf16 that equals a code, by its lower seven bits; the sign is added.
struct F8Tables {
  alignas(64) std::uint8_t high[128];
  alignas(64) std::uint8_t low[128];
};

constexpr F8Tables make_f8_tables() {
  F8Tables tables{};
  for (unsigned code = 0; code < 128; ++code) {
    unsigned exponent = code >> 3U;
    unsigned mantissa = code & 7U;
    unsigned bits = ((exponent + 120U) << 7U) | (mantissa << 4U);
    if (code == 127) bits = 0x7FC0U;
    if (exponent == 0) {  // m * 2^-9: shift the leading one into place
      unsigned biased = 121;
      while (mantissa != 0 && (mantissa & 8U) == 0) {
        mantissa <<= 1U;
        --biased;
      }
      bits = mantissa == 0 ? 0 : (biased << 7U) | ((mantissa & 7U) << 4U);
    }
    tables.high[code] = static_cast<std::uint8_t>(bits >> 8U);
    tables.low[code] = static_cast<std::uint8_t>(bits & 0xFFU);
  }
  return tables;
}

inline constexpr F8Tables kF8Tables = make_f8_tables();

// 64 codes by two table look-ups: the 7-bit code indexes 128 bytes (vpermi2b).
struct F8Format {
  static constexpr std::size_t kVectors = 4;
  static constexpr std::size_t kBytes = 1;
  static constexpr float kFactor = 1.0F;
  static constexpr bool kScaled = true;

  __m512i high0;
  __m512i high1;
  __m512i low0;
  __m512i low1;

  // Constructors are written out because implicit ones do not get the instruction set.
  HWY_INLINE F8Format()
      : high0(_mm512_load_si512(kF8Tables.high)),
        high1(_mm512_load_si512(kF8Tables.high + 64)),
        low0(_mm512_load_si512(kF8Tables.low)),
        low1(_mm512_load_si512(kF8Tables.low + 64)) {}

  HWY_INLINE bool saw_nan() const { return false; }

  HWY_INLINE void decode(const std::uint8_t* bytes, V* out) {
    const __m512i codes = _mm512_loadu_si512(bytes);
    const __m512i low = _mm512_permutex2var_epi8(low0, codes, low1);
    // table | (code & 0x80)
    const __m512i high = _mm512_ternarylogic_epi32(_mm512_permutex2var_epi8(high0, codes, high1),
                                                   codes, _mm512_set1_epi8(-128), 0xF8);
    const __m512i first = _mm512_unpacklo_epi8(low, high);
    const __m512i second = _mm512_unpackhi_epi8(low, high);
    const __m512i odd = _mm512_set1_epi32(static_cast<int>(0xFFFF0000U));
    out[0] = V{_mm512_castsi512_ps(_mm512_slli_epi32(first, 16))};
    out[1] = V{_mm512_castsi512_ps(_mm512_and_si512(first, odd))};
    out[2] = V{_mm512_castsi512_ps(_mm512_slli_epi32(second, 16))};
    out[3] = V{_mm512_castsi512_ps(_mm512_and_si512(second, odd))};
  }

  // Lane j of quarter q of the four vectors is element 16 q + 2 j + {0, 1, 8, 9}: order the lanes
  // of every input vector, then transpose the 4 x 4 quarters.
  HWY_INLINE static void pack_unit(const float* in, std::size_t stride, float* out) {
    const __m512i order = _mm512_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15);
    const __m512 p0 = _mm512_permutexvar_ps(order, _mm512_load_ps(in));
    const __m512 p1 = _mm512_permutexvar_ps(order, _mm512_load_ps(in + 16));
    const __m512 p2 = _mm512_permutexvar_ps(order, _mm512_load_ps(in + 32));
    const __m512 p3 = _mm512_permutexvar_ps(order, _mm512_load_ps(in + 48));
    const __m512 p01_low = _mm512_shuffle_f32x4(p0, p1, 0x44);
    const __m512 p01_high = _mm512_shuffle_f32x4(p0, p1, 0xEE);
    const __m512 p23_low = _mm512_shuffle_f32x4(p2, p3, 0x44);
    const __m512 p23_high = _mm512_shuffle_f32x4(p2, p3, 0xEE);
    _mm512_store_ps(out, _mm512_shuffle_f32x4(p01_low, p23_low, 0x88));
    _mm512_store_ps(out + stride, _mm512_shuffle_f32x4(p01_low, p23_low, 0xDD));
    _mm512_store_ps(out + 2 * stride, _mm512_shuffle_f32x4(p01_high, p23_high, 0x88));
    _mm512_store_ps(out + 3 * stride, _mm512_shuffle_f32x4(p01_high, p23_high, 0xDD));
  }
};

#elif M2_HAVE_F16_CONVERSION

// Code << 7 is the float16 of value * 2^-8, subnormals included; the factor corrects it. The code
// of NaN becomes a number there, so NaNs are noted aside: a row that has one gives NaN.
struct F8Format {
  static constexpr std::size_t kVectors = 2;
  static constexpr std::size_t kBytes = 1;
  static constexpr float kFactor = 256.0F;
  static constexpr bool kScaled = true;

  using D16 = hn::Repartition<std::int16_t, D>;
  using DU8 = hn::Rebind<std::uint8_t, D16>;
  hn::Vec<DU8> largest;

  // Written out because an implicit constructor does not get the instruction set.
  HWY_INLINE F8Format() : largest(hn::Zero(DU8())) {}

  HWY_INLINE bool saw_nan() const {
    return !hn::AllFalse(DU8(), hn::Eq(largest, hn::Set(DU8(), 0xFF)));
  }

  HWY_INLINE void decode(const std::uint8_t* bytes, V* out) {
    const hn::Rebind<std::int8_t, D16> di8;
    const hn::Half<D16> d16_half;
    const hn::Rebind<hwy::float16_t, D> df16;
    const auto codes = load_bytes(DU8(), bytes);
    largest = hn::Max(largest, hn::Or(codes, hn::Set(DU8(), 0x80)));
    const auto wide = hn::ShiftLeft<7>(hn::PromoteTo(D16(), hn::BitCast(di8, codes)));
    const auto half = hn::And(wide, hn::Set(D16(), std::int16_t{-0x4001}));
    out[0] = hn::PromoteTo(D(), hn::BitCast(df16, hn::LowerHalf(d16_half, half)));
    out[1] = hn::PromoteTo(D(), hn::BitCast(df16, hn::UpperHalf(d16_half, half)));
  }
};

#else

// Exponent and mantissa in the places of float32; the product with 2^120 corrects the bias and
// makes subnormals normal.
struct F8Format {
  static constexpr std::size_t kVectors = 1;
  static constexpr std::size_t kBytes = 1;
  static constexpr float kFactor = 1.0F;
  static constexpr bool kScaled = true;

  HWY_INLINE bool saw_nan() const { return false; }

  HWY_INLINE void decode(const std::uint8_t* bytes, V* out) {
    const hn::RebindToUnsigned<D> du32;
    const hn::Rebind<std::uint8_t, D> du8;
    const auto codes = hn::PromoteTo(du32, load_bytes(du8, bytes));
    const auto sign = hn::ShiftLeft<24>(hn::And(codes, hn::Set(du32, 0x80U)));
    const auto code = hn::And(codes, hn::Set(du32, 0x7FU));
    const auto value = hn::Mul(hn::BitCast(D(), hn::ShiftLeft<20>(code)), hn::Set(D(), 0x1p120F));
    const auto nan = hn::VecFromMask(du32, hn::Eq(code, hn::Set(du32, 0x7FU)));
    out[0] = hn::Or(value, hn::BitCast(D(), hn::Or(sign, nan)));
  }
};

#endif

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
