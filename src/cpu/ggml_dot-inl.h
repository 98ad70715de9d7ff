// Dot products of quads of codes without sign (ggml_lanes-inl.h) with those of a token, in
// integers: exact, so that all instruction sets agree. Include only from isa/ files.
#pragma once

#include <hwy/highway.h>

#include <cstdint>

#include "cpu/ggml_lanes-inl.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL  // Highway checks for it but does not tell the compiler
HWY_PUSH_ATTRIBUTES("avx512vnni,gfni")
#endif
namespace m2::cpu::HWY_NAMESPACE {

// What the zero of the codes adds to a product with columns of that offset.
template <int kZero>
HWY_INLINE V32 zero_product(V32 offset) {
  if constexpr (kZero == 0) return hn::Zero(D32());
  if constexpr (kZero == 128) return offset;
  if constexpr (kZero == 32) return hn::ShiftRight<2>(offset);
  if constexpr (kZero == 16) return hn::ShiftRight<3>(offset);
  if constexpr (kZero == 8) return hn::ShiftRight<4>(offset);
  static_assert(kZero == 0 || kZero == 4 || kZero == 8 || kZero == 16 || kZero == 32 ||
                kZero == 128);
  return hn::ShiftRight<5>(offset);
}

#if HWY_TARGET == HWY_AVX3_DL

// A sum over up to eight quads of codes up to kMaxCode.
template <int kMaxCode>
struct QuadSum {
  __m512i sum;

  template <int kZero>
  HWY_INLINE void start(V32 offset) {
    sum = zero_product<kZero>(offset).raw;
  }
  HWY_INLINE void add(int, VU32 codes, std::int32_t x) {
    sum = _mm512_dpbusd_epi32(sum, codes.raw, _mm512_set1_epi32(x));
  }
  HWY_INLINE V32 finish() const { return V32{sum}; }
};

#elif HWY_ARCH_X86 && HWY_TARGET <= HWY_SSE4

// pmaddubsw sums pairs of products to 16 bits, which hold those of kRun quads.
template <int kMaxCode>
struct QuadSum {
  static constexpr int kRun = 32767 / (2 * 127 * kMaxCode);
  static_assert(kRun > 0);
  Bits sum;
  Bits words;

  template <int kZero>
  HWY_INLINE void start(V32 offset) {
    sum = zero_product<kZero>(offset).raw;
    words = set_bytes(0);
  }
  HWY_INLINE void add(int index, VU32 codes, std::int32_t x) {
    words = add_words(words, multiply_bytes(codes.raw, set_quads(x)));
    in_order(words);
    if constexpr (kRun < kQuads) {
      if ((index + 1) % kRun == 0) flush();
    }
  }
  HWY_INLINE V32 finish() const { return V32{add_ints(sum, multiply_words(words, set_words(1)))}; }

 private:
  HWY_INLINE void flush() {
    sum = add_ints(sum, multiply_words(words, set_words(1)));
    words = set_bytes(0);
  }
};

// Codes of eight bits as two of four.
template <>
struct QuadSum<255> {
  QuadSum<15> low;
  QuadSum<15> high;

  template <int kZero>
  HWY_INLINE void start(V32 offset) {
    low.start<kZero>(offset);
    high.start<0>(hn::Zero(D32()));
  }
  HWY_INLINE void add(int index, VU32 codes, std::int32_t x) {
    low.add(index, byte_field<0, 4>(codes), x);
    high.add(index, byte_field<4, 4>(codes), x);
  }
  HWY_INLINE V32 finish() const {
    static_assert(QuadSum<15>::kRun >= kQuads, "all of the products are in the words");
    return V32{add_ints(low.finish().raw, multiply_words(high.words, set_words(16)))};
  }
};

#else

// Of codes without a place for a sign: less 128, which is their zero.
template <int kMaxCode>
constexpr bool kSigned = kMaxCode > 127;

#if HWY_ARCH_ARM_A64

template <int kMaxCode>
struct QuadSum {
  int32x4_t sum;

  template <int kZero>
  HWY_INLINE void start(V32 offset) {
    static_assert(!kSigned<kMaxCode> || kZero == 128);
    sum = zero_product < kSigned<kMaxCode> ? 0 : kZero > (offset).raw;
  }
  HWY_INLINE void add(int, VU32 codes, std::int32_t x) {
    uint8x16_t bytes = vreinterpretq_u8_u32(codes.raw);
    if constexpr (kSigned<kMaxCode>) bytes = veorq_u8(bytes, vdupq_n_u8(128));
    const int8x16_t weights = vreinterpretq_s8_u8(bytes);
    const int8x16_t columns = vreinterpretq_s8_s32(vdupq_n_s32(x));
    const int16x8_t first = vmull_s8(vget_low_s8(weights), vget_low_s8(columns));
    const int16x8_t second = vmull_high_s8(weights, columns);
    sum = vpadalq_s16(sum, vpaddq_s16(first, second));
  }
  HWY_INLINE V32 finish() const { return V32{sum}; }
};

#else

template <int kMaxCode>
struct QuadSum {
  static_assert(kLanes == 1);
  std::int32_t sum;

  template <int kZero>
  HWY_INLINE void start(V32 offset) {
    sum = hn::GetLane(zero_product<kZero>(offset));
  }
  HWY_INLINE void add(int, VU32 codes, std::int32_t x) {
    const std::uint32_t packed = hn::GetLane(codes);
    std::int8_t columns[4];
    __builtin_memcpy(columns, &x, sizeof(x));
    for (int i = 0; i < 4; ++i) {
      sum += static_cast<std::int32_t>((packed >> (8 * i)) & 0xFFU) * columns[i];
    }
  }
  HWY_INLINE V32 finish() const { return hn::Set(D32(), sum); }
};

#endif
#endif

// The offset of the columns that have the scale number `part` of a group.
template <class Coding>
HWY_INLINE V32 offset_of(const QuantizedGroup& x, int part) {
  const D32 d32;
  if constexpr (Coding::kScales == 1) return hn::Set(d32, x.offset);
  const V32 first = hn::Set(d32, x.first_offset);
  return part == 0 ? first : hn::Sub(hn::Set(d32, x.offset), first);
}

// And the sum of their codes.
template <class Coding>
HWY_INLINE V sum_of(const QuantizedGroup& x, int part) {
  const D d;
  if constexpr (Coding::kScales == 1) return hn::Set(d, x.sum);
  return hn::Mul(hn::ConvertTo(d, offset_of<Coding>(x, part)), hn::Set(d, -1.0F / 128.0F));
}

// sum + the dot product times the weights' scale + their offset times the sum of the codes.
template <class Coding>
HWY_INLINE V add_dot(const QuadSum<Coding::kMaxCode>& dot, V scale, const V& offset,
                     const QuantizedGroup& x, int part, V sum) {
  sum = hn::MulAdd(hn::ConvertTo(D(), dot.finish()), scale, sum);
  if constexpr (Coding::kOffsets) sum = hn::MulAdd(offset, sum_of<Coding>(x, part), sum);
  return sum;
}

}  // namespace m2::cpu::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
HWY_POP_ATTRIBUTES
#endif
HWY_AFTER_NAMESPACE();
