// As ggml_blocks_32-inl.h, for blocks of 256 weights: they fill the groups 0 to 7.
#pragma once

#include <hwy/highway.h>

#include <cstdint>

#include "cpu/ggml_blocks_32-inl.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL  // Highway checks for it but does not tell the compiler
HWY_PUSH_ATTRIBUTES("avx512vnni,gfni")
#endif
namespace m2::cpu::HWY_NAMESPACE {

// Byte 0 and on of the words times the factors: scales and offsets of the groups of 16 from
// `first`.
template <int kByte = 0, class Out>
HWY_INLINE void put_q2_scales(VU32 scales, VU32 mins, V scale, V min, std::int64_t first,
                              Out& out) {
  const std::int64_t index = first + kByte;
  out.put_scale(index / 2, index % 2, hn::Mul(unsigned_byte<kByte>(scales), scale));
  out.put_offset(index / 2, index % 2, hn::Mul(unsigned_byte<kByte>(mins), min));
  if constexpr (kByte < 3) put_q2_scales<kByte + 1>(scales, mins, scale, min, first, out);
}

struct Q2KFormat {
  static constexpr std::int64_t kBlockCols = 256;
  static constexpr std::int64_t kBlockBytes = 84;
  using Coding = GgmlCoding<2, true, 3, 0>;
  template <class Out>
  HWY_INLINE static void unpack(const RowBlocks& rows, std::int64_t, Out& out) {
    VU32 packed[4];
    load_dwords(rows, 0, packed);
    const VU32 tail = load_dword<80, kBlockBytes>(rows);
    const V scale = low_half(tail);
    const V min = hn::Neg(high_half(tail));
    HWY_UNROLL(8)
    for (int i = 0; i < 4; ++i) {
      put_q2_scales(byte_field<0, 4>(packed[i]), byte_field<4, 4>(packed[i]), scale, min, 4 * i,
                    out);
    }
    HWY_UNROLL(8)
    for (int part = 0; part < 4; ++part) {  // of 16 bytes
      VU32 codes[4];
      load_dwords(rows, 16 + 16 * part, codes);
      HWY_UNROLL(8)
      for (int i = 0; i < 4; ++i) {
        const int group = part / 2 * 4;
        const int quad = part % 2 * 4 + i;
        out.put_quad(group, quad, byte_field<0, 2>(codes[i]));
        out.put_quad(group + 1, quad, byte_field<2, 2>(codes[i]));
        out.put_quad(group + 2, quad, byte_field<4, 2>(codes[i]));
        out.put_quad(group + 3, quad, byte_field<6, 2>(codes[i]));
      }
    }
  }
};

// Scales (byte - 32) of the groups of 16 from `first`.
template <int kByte = 0, class Out>
HWY_INLINE void put_q3_scales(VU32 scales, V scale, std::int64_t first, Out& out) {
  const std::int64_t index = first + kByte;
  const V number = hn::Sub(unsigned_byte<kByte>(scales), hn::Set(D(), 32.0F));
  out.put_scale(index / 2, index % 2, hn::Mul(number, scale));
  if constexpr (kByte < 3) put_q3_scales<kByte + 1>(scales, scale, first, out);
}

struct Q3KFormat {
  static constexpr std::int64_t kBlockCols = 256;
  static constexpr std::int64_t kBlockBytes = 110;
  using Coding = GgmlCoding<2, false, 7, 4>;

  // Two bits of `codes` and, above them, one of `planes`.
  template <int kGroup>
  HWY_INLINE static VU32 code(VU32 codes, VU32 planes) {
    return hn::Or(code_part<kGroup % 4 * 2, 2, 0, 3>(codes), code_part<kGroup, 1, 2, 3>(planes));
  }

  template <int kHalf, class Out>
  HWY_INLINE static void unpack_half(const RowBlocks& rows, Out& out) {
    HWY_UNROLL(8)
    for (int part = 0; part < 2; ++part) {
      VU32 planes[4];
      VU32 codes[4];
      load_dwords(rows, 16 * part, planes);
      load_dwords(rows, 32 + 32 * kHalf + 16 * part, codes);
      HWY_UNROLL(8)
      for (int i = 0; i < 4; ++i) {
        const int quad = 4 * part + i;
        out.put_quad(4 * kHalf, quad, code<4 * kHalf>(codes[i], planes[i]));
        out.put_quad(4 * kHalf + 1, quad, code<4 * kHalf + 1>(codes[i], planes[i]));
        out.put_quad(4 * kHalf + 2, quad, code<4 * kHalf + 2>(codes[i], planes[i]));
        out.put_quad(4 * kHalf + 3, quad, code<4 * kHalf + 3>(codes[i], planes[i]));
      }
    }
  }

  template <class Out>
  HWY_INLINE static void unpack(const RowBlocks& rows, std::int64_t, Out& out) {
    VU32 packed[4];
    load_dwords(rows, 92, packed);
    const V scale = high_half(load_dword<106, kBlockBytes>(rows));
    const VU32 low = packed[1];
    const VU32 middle = packed[2];
    const VU32 high = packed[3];
    const auto join = [](VU32 four, VU32 two)
                          HWY_ATTR { return hn::Or(four, hn::ShiftLeft<4>(two)); };
    put_q3_scales(join(byte_field<0, 4>(low), byte_field<0, 2>(high)), scale, 0, out);
    put_q3_scales(join(byte_field<0, 4>(middle), byte_field<2, 2>(high)), scale, 4, out);
    put_q3_scales(join(byte_field<4, 4>(low), byte_field<4, 2>(high)), scale, 8, out);
    put_q3_scales(join(byte_field<4, 4>(middle), byte_field<6, 2>(high)), scale, 12, out);
    unpack_half<0>(rows, out);
    unpack_half<1>(rows, out);
  }
};

template <int kByte = 0, class Out>
HWY_INLINE void put_q4_scales(VU32 scales, VU32 mins, V scale, V min, std::int64_t group,
                              Out& out) {
  out.put_scale(group + kByte, 0, hn::Mul(unsigned_byte<kByte>(scales), scale));
  out.put_offset(group + kByte, 0, hn::Mul(unsigned_byte<kByte>(mins), min));
  if constexpr (kByte < 3) put_q4_scales<kByte + 1>(scales, mins, scale, min, group, out);
}

// The sixteen bytes that Q4_K and Q5_K begin with: eight scales and mins of six bits.
template <class Out>
HWY_INLINE void unpack_scale_mins(const RowBlocks& rows, Out& out) {
  VU32 head[4];
  load_dwords(rows, 0, head);
  const V scale = low_half(head[0]);
  const V min = hn::Neg(high_half(head[0]));
  const VU32 high2 = hn::Set(DU32(), 0x30303030U);
  const auto join = [&](VU32 four, VU32 two)
                        HWY_ATTR { return hn::Or(four, hn::And(hn::ShiftRight<2>(two), high2)); };
  put_q4_scales(byte_field<0, 6>(head[1]), byte_field<0, 6>(head[2]), scale, min, 0, out);
  put_q4_scales(join(byte_field<0, 4>(head[3]), head[1]), join(byte_field<4, 4>(head[3]), head[2]),
                scale, min, 4, out);
}

struct Q4KFormat {
  static constexpr std::int64_t kBlockCols = 256;
  static constexpr std::int64_t kBlockBytes = 144;
  using Coding = GgmlCoding<1, true, 15, 0>;
  template <class Out>
  HWY_INLINE static void unpack(const RowBlocks& rows, std::int64_t, Out& out) {
    unpack_scale_mins(rows, out);
    HWY_UNROLL(8)
    for (int part = 0; part < 8; ++part) {  // of 16 bytes
      VU32 codes[4];
      load_dwords(rows, 16 + 16 * part, codes);
      put_nibbles<0, 8>(codes, part / 2 * 2, part % 2 * 4, out);
      put_nibbles<4, 8>(codes, part / 2 * 2 + 1, part % 2 * 4, out);
    }
  }
};

struct Q5KFormat {
  static constexpr std::int64_t kBlockCols = 256;
  static constexpr std::int64_t kBlockBytes = 176;
  using Coding = GgmlCoding<1, true, 31, 0>;

  // The groups 2 * kPair and 2 * kPair + 1, half of the quads.
  template <int kPair = 0, class Out>
  HWY_INLINE static void unpack_pairs(const RowBlocks& rows, const VU32 (&high)[4], int half,
                                      Out& out) {
    VU32 codes[4];
    load_dwords(rows, 48 + 32 * kPair + 16 * half, codes);
    HWY_UNROLL(8)
    for (int i = 0; i < 4; ++i) {
      const VU32 first = code_part<2 * kPair, 1, 4, 8>(high[i]);
      const VU32 second = code_part<2 * kPair + 1, 1, 4, 8>(high[i]);
      out.put_quad(2 * kPair, 4 * half + i, hn::Or(byte_field<0, 4>(codes[i]), first));
      out.put_quad(2 * kPair + 1, 4 * half + i, hn::Or(byte_field<4, 4>(codes[i]), second));
    }
    if constexpr (kPair < 3) unpack_pairs<kPair + 1>(rows, high, half, out);
  }

  template <class Out>
  HWY_INLINE static void unpack(const RowBlocks& rows, std::int64_t, Out& out) {
    unpack_scale_mins(rows, out);
    HWY_UNROLL(8)
    for (int half = 0; half < 2; ++half) {
      VU32 high[4];
      load_dwords(rows, 16 + 16 * half, high);
      unpack_pairs(rows, high, half, out);
    }
  }
};

template <int kByte = 0, class Out>
HWY_INLINE void put_q6_scales(VU32 scales, V scale, std::int64_t first, Out& out) {
  const std::int64_t index = first + kByte;
  out.put_scale(index / 2, index % 2, hn::Mul(signed_byte<kByte>(scales), scale));
  if constexpr (kByte < 3) put_q6_scales<kByte + 1>(scales, scale, first, out);
}

struct Q6KFormat {
  static constexpr std::int64_t kBlockCols = 256;
  static constexpr std::int64_t kBlockBytes = 210;
  using Coding = GgmlCoding<2, false, 63, 32>;

  // Four bits of `low` and, above them, two of `high`.
  template <int kLow, int kHigh>
  HWY_INLINE static VU32 code(VU32 low, VU32 high) {
    return hn::Or(code_part<kLow, 4, 0, 6>(low), code_part<kHigh, 2, 4, 6>(high));
  }

  template <class Out>
  HWY_INLINE static void unpack(const RowBlocks& rows, std::int64_t, Out& out) {
    VU32 packed[4];
    load_dwords(rows, 192, packed);
    const V scale = high_half(load_dword<206, kBlockBytes>(rows));
    HWY_UNROLL(8)
    for (int i = 0; i < 4; ++i) put_q6_scales(packed[i], scale, 4 * i, out);
    HWY_UNROLL(8)
    for (int part = 0; part < 4; ++part) {  // 16 bytes of two high bits
      VU32 first[4];
      VU32 second[4];
      VU32 high[4];
      load_dwords(rows, part / 2 * 64 + part % 2 * 16, first);
      load_dwords(rows, part / 2 * 64 + 32 + part % 2 * 16, second);
      load_dwords(rows, 128 + part * 16, high);
      HWY_UNROLL(8)
      for (int i = 0; i < 4; ++i) {
        const int group = part / 2 * 4;
        const int quad = part % 2 * 4 + i;
        out.put_quad(group, quad, code<0, 0>(first[i], high[i]));
        out.put_quad(group + 1, quad, code<0, 2>(second[i], high[i]));
        out.put_quad(group + 2, quad, code<4, 4>(first[i], high[i]));
        out.put_quad(group + 3, quad, code<4, 6>(second[i], high[i]));
      }
    }
  }
};

struct Iq4XsFormat {
  static constexpr std::int64_t kBlockCols = 256;
  static constexpr std::int64_t kBlockBytes = 136;
  using Coding = GgmlCoding<1, false, 255, 128>;

  template <int kGroup = 0, class Out>
  HWY_INLINE static void unpack_groups(const RowBlocks& rows, VU32 high, VU32 low, V scale,
                                       Out& out) {
    const DU32 d;
    VU32 four = low;
    if constexpr (kGroup > 0) four = hn::ShiftRight<4 * kGroup>(four);
    four = hn::And(four, hn::Set(d, 15U));
    const VU32 two = hn::And(hn::ShiftRight<16 + 2 * kGroup>(high), hn::Set(d, 3U));
    const VU32 six = hn::Or(four, hn::ShiftLeft<4>(two));
    const V number = hn::ConvertTo(D(), hn::Sub(hn::BitCast(D32(), six), hn::Set(D32(), 32)));
    out.put_scale(kGroup, 0, hn::Mul(number, scale));
    VU32 codes[4];
    load_dwords(rows, 8 + 16 * kGroup, codes);
    put_iq4(codes, kGroup, out);
    if constexpr (kGroup < 7) unpack_groups<kGroup + 1>(rows, high, low, scale, out);
  }

  template <class Out>
  HWY_INLINE static void unpack(const RowBlocks& rows, std::int64_t, Out& out) {
    VU32 head[4];
    load_dwords(rows, 0, head);
    unpack_groups(rows, head[0], head[1], low_half(head[0]), out);
  }
};

}  // namespace m2::cpu::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
HWY_POP_ATTRIBUTES
#endif
HWY_AFTER_NAMESPACE();
