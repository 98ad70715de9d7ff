// How the formats of GGUF files (quant/ggml_format.h) with blocks of 32 weights unpack, L rows at a
// time. Include only from isa/ files.
//
// unpack(rows, group, out) hands one block of every row to out, as the group of 32 columns `group`:
//   out.put_quad(group, quad, codes), for the quads of a group (or, where it has two scales, of
//   each half of it) in ascending order; out.put_scale(group, part, scale); and, where the format
//   has offsets, out.put_offset(group, part, offset).
#pragma once

#include <hwy/highway.h>

#include <cstdint>

#include "cpu/ggml_lanes-inl.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL  // Highway checks for it but does not tell the compiler
HWY_PUSH_ATTRIBUTES("avx512vnni,gfni")
#endif
namespace m2::cpu::HWY_NAMESPACE {

// What the products of a format depend on, after unpacking: W = scale * (code - zero) + offset.
template <int kScalesOfGroup, bool kWithOffsets, int kLargestCode, int kZeroCode>
struct UnpackedNumbers {
  static constexpr int kScales = kScalesOfGroup;  // of 32 columns
  static constexpr bool kOffsets = kWithOffsets;
  static constexpr int kMaxCode = kLargestCode;
  static constexpr int kZero = kZeroCode;
};

#if HWY_TARGET == HWY_AVX3_DL
// Dot products take eight bits as easily as four, and a zero of 128 needs no arithmetic with the
// tokens' offsets; code_part makes it.
template <int kScales, bool kOffsets, int kMaxCode, int kZero>
using GgmlCoding = UnpackedNumbers<kScales, kOffsets, 255, kZero == 0 ? 0 : 128>;
#else
template <int kScales, bool kOffsets, int kMaxCode, int kZero>
using GgmlCoding = UnpackedNumbers<kScales, kOffsets, kMaxCode, kZero>;
#endif

// Of kWidth 4 the nibbles are codes with a zero of 8.
template <int kShift, int kWidth, class Out>
HWY_INLINE void put_nibbles(const VU32 (&dwords)[4], std::int64_t group, std::int64_t quad,
                            Out& out) {
  HWY_UNROLL(8)
  for (int i = 0; i < 4; ++i) {
    out.put_quad(group, quad + i, code_part<kShift, 4, 0, kWidth>(dwords[i]));
  }
}

struct Q80Format {
  static constexpr std::int64_t kBlockCols = 32;
  static constexpr std::int64_t kBlockBytes = 34;
  using Coding = GgmlCoding<1, false, 255, 128>;
  template <class Out>
  HWY_INLINE static void unpack(const RowBlocks& rows, std::int64_t group, Out& out) {
    VU32 codes[4];
    out.put_scale(group, 0, low_half(load_dword<0, kBlockBytes>(rows)));
    const VU32 zero = hn::Set(DU32(), 0x80808080U);
    HWY_UNROLL(8)
    for (int half = 0; half < 2; ++half) {
      load_dwords(rows, 2 + 16 * half, codes);
      HWY_UNROLL(8)
      for (int i = 0; i < 4; ++i) out.put_quad(group, 4 * half + i, hn::Xor(codes[i], zero));
    }
  }
};

struct Q40Format {
  static constexpr std::int64_t kBlockCols = 32;
  static constexpr std::int64_t kBlockBytes = 18;
  using Coding = GgmlCoding<1, false, 15, 8>;
  template <class Out>
  HWY_INLINE static void unpack(const RowBlocks& rows, std::int64_t group, Out& out) {
    VU32 codes[4];
    load_dwords(rows, 2, codes);
    out.put_scale(group, 0, low_half(load_dword<0, kBlockBytes>(rows)));
    put_nibbles<0, 4>(codes, group, 0, out);
    put_nibbles<4, 4>(codes, group, 4, out);
  }
};

struct Q41Format {
  static constexpr std::int64_t kBlockCols = 32;
  static constexpr std::int64_t kBlockBytes = 20;
  using Coding = GgmlCoding<1, true, 15, 0>;
  template <class Out>
  HWY_INLINE static void unpack(const RowBlocks& rows, std::int64_t group, Out& out) {
    const VU32 head = load_dword<0, kBlockBytes>(rows);
    VU32 codes[4];
    load_dwords(rows, 4, codes);
    out.put_scale(group, 0, low_half(head));
    out.put_offset(group, 0, high_half(head));
    put_nibbles<0, 8>(codes, group, 0, out);
    put_nibbles<4, 8>(codes, group, 4, out);
  }
};

// Bits 4 * kQuad and on of `bits`, one to bit 4 of every byte: of a code of kWidth bits.
template <int kQuad, int kWidth>
HWY_INLINE VU32 fifth_bits(VU32 bits) {
#if HWY_TARGET == HWY_AVX3_DL
  // Every byte gets the eight bits from its own on: of the rows that a pair of lanes holds.
  constexpr std::uint64_t kFirst = 0x2322212003020100 + 0x0101010101010101 * (4 * kQuad);
  const __m512i first = _mm512_set1_epi64(static_cast<long long>(kFirst));
  return code_part<0, 1, 4, kWidth>(VU32{_mm512_multishift_epi64_epi8(first, bits.raw)});
#else
  const DU32 d;
  if constexpr (kQuad > 0) bits = hn::ShiftRight<4 * kQuad>(bits);
  const VU32 four = hn::And(bits, hn::Set(d, 15U));
  // Bit i comes to bits i, i + 7, i + 14, i + 21, of which 8 i is one and no other of the lowest.
  const VU32 spread = hn::Mul(four, hn::Set(d, 0x00204081U));
  return hn::ShiftLeft<4>(hn::And(spread, hn::Set(d, 0x01010101U)));
#endif
}

// Of kWidth 5 the codes have a zero of 16.
template <int kQuad, int kWidth, class Out>
HWY_INLINE void put_five_bits(const VU32 (&nibbles)[4], VU32 bits, std::int64_t group, Out& out) {
  const VU32 low = byte_field<kQuad / 4 * 4, 4>(nibbles[kQuad % 4]);
  out.put_quad(group, kQuad, hn::Or(low, fifth_bits<kQuad, kWidth>(bits)));
  if constexpr (kQuad < 7) put_five_bits<kQuad + 1, kWidth>(nibbles, bits, group, out);
}

struct Q50Format {
  static constexpr std::int64_t kBlockCols = 32;
  static constexpr std::int64_t kBlockBytes = 22;
  using Coding = GgmlCoding<1, false, 31, 16>;
  template <class Out>
  HWY_INLINE static void unpack(const RowBlocks& rows, std::int64_t group, Out& out) {
    VU32 codes[4];
    load_dwords(rows, 6, codes);
    out.put_scale(group, 0, low_half(load_dword<0, kBlockBytes>(rows)));
    put_five_bits<0, 5>(codes, load_dword<2, kBlockBytes>(rows), group, out);
  }
};

struct Q51Format {
  static constexpr std::int64_t kBlockCols = 32;
  static constexpr std::int64_t kBlockBytes = 24;
  using Coding = GgmlCoding<1, true, 31, 0>;
  template <class Out>
  HWY_INLINE static void unpack(const RowBlocks& rows, std::int64_t group, Out& out) {
    VU32 head[4];
    VU32 codes[4];
    load_dwords(rows, 0, head);
    load_dwords(rows, 8, codes);
    out.put_scale(group, 0, low_half(head[0]));
    out.put_offset(group, 0, high_half(head[0]));
    put_five_bits<0, 8>(codes, head[1], group, out);
  }
};

// The values of IQ4_NL and IQ4_XS, with 128 added.
struct Iq4Codes {
  HWY_ALIGN std::uint8_t codes[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                      129, 141, 153, 166, 181, 197, 217, 241};
};
inline constexpr Iq4Codes kIq4Codes;

HWY_INLINE VU32 look_up_iq4(VU32 nibbles) {
#if HWY_TARGET == HWY_SCALAR
  const std::uint32_t packed = hn::GetLane(nibbles);
  std::uint32_t result = 0;
  for (unsigned shift = 0; shift < 32; shift += 8) {
    result |= std::uint32_t{kIq4Codes.codes[(packed >> shift) & 15U]} << shift;
  }
  return hn::Set(DU32(), result);
#else
  const hn::Repartition<std::uint8_t, DU32> d8;
  const auto table = hn::LoadDup128(d8, kIq4Codes.codes);
  return hn::BitCast(DU32(), hn::TableLookupBytes(table, hn::BitCast(d8, nibbles)));
#endif
}

template <class Out>
HWY_INLINE void put_iq4(const VU32 (&dwords)[4], std::int64_t group, Out& out) {
  HWY_UNROLL(8)
  for (int i = 0; i < 4; ++i) {
    out.put_quad(group, i, look_up_iq4(byte_field<0, 4>(dwords[i])));
    out.put_quad(group, 4 + i, look_up_iq4(byte_field<4, 4>(dwords[i])));
  }
}

struct Iq4NlFormat {
  static constexpr std::int64_t kBlockCols = 32;
  static constexpr std::int64_t kBlockBytes = 18;
  using Coding = GgmlCoding<1, false, 255, 128>;
  template <class Out>
  HWY_INLINE static void unpack(const RowBlocks& rows, std::int64_t group, Out& out) {
    VU32 codes[4];
    load_dwords(rows, 2, codes);
    out.put_scale(group, 0, low_half(load_dword<0, kBlockBytes>(rows)));
    put_iq4(codes, group, out);
  }
};

}  // namespace m2::cpu::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
HWY_POP_ATTRIBUTES
#endif
HWY_AFTER_NAMESPACE();
