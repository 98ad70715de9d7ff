// Turns blocks of GGUF's formats (quant/ggml_format.h) into vectors of float32. Include only from
// isa/ files.
//
// A format unpacks one block to int8 codes, one a weight, and a scale and perhaps an offset for
// every group of weights; then all formats go the same way, W = scale * code + offset.
#pragma once

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

#include "cpu/weight_decode-inl.h"

HWY_BEFORE_NAMESPACE();
namespace m2::cpu::HWY_NAMESPACE {

struct GgmlCodes {
  HWY_ALIGN std::int8_t codes[256];
  float scales[16];   // one a group
  float offsets[16];  // one a group, of formats that have offsets
};

using D8 = hn::CappedTag<std::uint8_t, 32>;
constexpr std::size_t kByteLanes = hn::MaxLanes(D8());

HWY_INLINE float half_at(const std::uint8_t* bytes) {
#if HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  std::uint16_t bits;
  __builtin_memcpy(&bits, bytes, sizeof(bits));
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)));
#else
  // As F16Format, in one lane.
  std::uint16_t half;
  __builtin_memcpy(&half, bytes, sizeof(half));
  const std::uint32_t rest = (half & 0x7FFFU) << 13U;
  float value;
  __builtin_memcpy(&value, &rest, sizeof(value));
  value *= 0x1p112F;
  std::uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof(bits));
  if ((half & 0x7C00U) == 0x7C00U) bits = rest | 0x7F800000U;
  bits |= (half & 0x8000U) << 16U;
  __builtin_memcpy(&value, &bits, sizeof(value));
  return value;
#endif
}

// out[i] = code(bytes i) for `count` bytes, a multiple of 16.
template <class Code>
HWY_INLINE void map_bytes(std::size_t count, std::int8_t* out, const Code& code) {
  const hn::CappedTag<std::uint8_t, 16> d16;
  std::size_t i = 0;
  for (; i + kByteLanes <= count; i += kByteLanes) {
    hn::StoreU(code(D8(), i), D8(), reinterpret_cast<std::uint8_t*>(out + i));
  }
  for (; i < count; i += hn::Lanes(d16)) {
    hn::StoreU(code(d16, i), d16, reinterpret_cast<std::uint8_t*>(out + i));
  }
}

// `bits` bits from bit `shift` on of every byte.
template <int kShift, int kBits, class Tag>
HWY_INLINE hn::Vec<Tag> field(Tag d, hn::Vec<Tag> bytes) {
  const auto mask = hn::Set(d, static_cast<std::uint8_t>((1U << kBits) - 1));
  if constexpr (kShift == 0) return hn::And(bytes, mask);
  return hn::And(hn::ShiftRight<kShift>(bytes), mask);
}

// Codes of 16 bytes of nibbles, the low ones first, less `zero`.
HWY_INLINE void unpack_nibbles_16(const std::uint8_t* bytes, std::uint8_t zero, std::int8_t* out) {
  map_bytes(16, out, [&](auto d, std::size_t i) HWY_ATTR {
    return hn::Sub(field<0, 4>(d, load_bytes(d, bytes + i)), hn::Set(d, zero));
  });
  map_bytes(16, out + 16, [&](auto d, std::size_t i) HWY_ATTR {
    return hn::Sub(field<4, 4>(d, load_bytes(d, bytes + i)), hn::Set(d, zero));
  });
}

struct Q80Format {
  static constexpr std::int64_t kBlockCols = 32;
  static constexpr std::int64_t kBlockBytes = 34;
  static constexpr std::int64_t kGroup = 32;
  static constexpr bool kOffsets = false;
  HWY_INLINE static const std::int8_t* unpack(const std::uint8_t* block, GgmlCodes& out) {
    out.scales[0] = half_at(block);
    return reinterpret_cast<const std::int8_t*>(block + 2);
  }
};

struct Q40Format {
  static constexpr std::int64_t kBlockCols = 32;
  static constexpr std::int64_t kBlockBytes = 18;
  static constexpr std::int64_t kGroup = 32;
  static constexpr bool kOffsets = false;
  HWY_INLINE static const std::int8_t* unpack(const std::uint8_t* block, GgmlCodes& out) {
    out.scales[0] = half_at(block);
    unpack_nibbles_16(block + 2, 8, out.codes);
    return out.codes;
  }
};

struct Q41Format {
  static constexpr std::int64_t kBlockCols = 32;
  static constexpr std::int64_t kBlockBytes = 20;
  static constexpr std::int64_t kGroup = 32;
  static constexpr bool kOffsets = true;
  HWY_INLINE static const std::int8_t* unpack(const std::uint8_t* block, GgmlCodes& out) {
    out.scales[0] = half_at(block);
    out.offsets[0] = half_at(block + 2);
    unpack_nibbles_16(block + 4, 0, out.codes);
    return out.codes;
  }
};

// Sets bit 4 of the codes whose bit is set, eight at a time.
HWY_INLINE void set_fifth_bits(const std::uint8_t* bits, std::int8_t* codes) {
  constexpr std::uint64_t kSeven = 0x7F7F7F7F7F7F7F7FU;
  for (int i = 0; i < 4; ++i) {
    // Byte j keeps its bit j only, then any bit becomes the highest one.
    const std::uint64_t one = (bits[i] * 0x0101010101010101U) & 0x8040201008040201U;
    const std::uint64_t high = (((one & kSeven) + kSeven) | one) & ~kSeven;
    std::uint64_t eight;
    __builtin_memcpy(&eight, codes + 8 * i, sizeof(eight));
    eight |= high >> 3U;
    __builtin_memcpy(codes + 8 * i, &eight, sizeof(eight));
  }
}

struct Q50Format {
  static constexpr std::int64_t kBlockCols = 32;
  static constexpr std::int64_t kBlockBytes = 22;
  static constexpr std::int64_t kGroup = 32;
  static constexpr bool kOffsets = true;
  HWY_INLINE static const std::int8_t* unpack(const std::uint8_t* block, GgmlCodes& out) {
    out.scales[0] = half_at(block);
    out.offsets[0] = -16.0F * out.scales[0];
    unpack_nibbles_16(block + 6, 0, out.codes);
    set_fifth_bits(block + 2, out.codes);
    return out.codes;
  }
};

struct Q51Format {
  static constexpr std::int64_t kBlockCols = 32;
  static constexpr std::int64_t kBlockBytes = 24;
  static constexpr std::int64_t kGroup = 32;
  static constexpr bool kOffsets = true;
  HWY_INLINE static const std::int8_t* unpack(const std::uint8_t* block, GgmlCodes& out) {
    out.scales[0] = half_at(block);
    out.offsets[0] = half_at(block + 2);
    unpack_nibbles_16(block + 8, 0, out.codes);
    set_fifth_bits(block + 4, out.codes);
    return out.codes;
  }
};

HWY_INLINE void unpack_two_bits(const std::uint8_t* bytes, std::int8_t* out) {
  for (int half = 0; half < 2; ++half) {
    const std::uint8_t* in = bytes + half * 32;
    std::int8_t* to = out + half * 128;
    const auto load = [&](auto d, std::size_t i) HWY_ATTR { return load_bytes(d, in + i); };
    map_bytes(32, to, [&](auto d, std::size_t i) HWY_ATTR { return field<0, 2>(d, load(d, i)); });
    map_bytes(32, to + 32,
              [&](auto d, std::size_t i) HWY_ATTR { return field<2, 2>(d, load(d, i)); });
    map_bytes(32, to + 64,
              [&](auto d, std::size_t i) HWY_ATTR { return field<4, 2>(d, load(d, i)); });
    map_bytes(32, to + 96,
              [&](auto d, std::size_t i) HWY_ATTR { return field<6, 2>(d, load(d, i)); });
  }
}

struct Q2KFormat {
  static constexpr std::int64_t kBlockCols = 256;
  static constexpr std::int64_t kBlockBytes = 84;
  static constexpr std::int64_t kGroup = 16;
  static constexpr bool kOffsets = true;
  HWY_INLINE static const std::int8_t* unpack(const std::uint8_t* block, GgmlCodes& out) {
    const float scale = half_at(block + 80);
    const float min = half_at(block + 82);
    for (int i = 0; i < 16; ++i) {
      out.scales[i] = scale * static_cast<float>(block[i] & 15);
      out.offsets[i] = -min * static_cast<float>(block[i] >> 4);
    }
    unpack_two_bits(block + 16, out.codes);
    return out.codes;
  }
};

// The bit of a plane of 32 bytes belongs to weight 32 * bit + byte: adds `value` where it is set,
// less `zero` everywhere.
HWY_INLINE void add_bit_planes(const std::uint8_t* planes, std::uint8_t value, std::uint8_t zero,
                               std::int8_t* codes) {
  for (int plane = 0; plane < 8; ++plane) {
    auto* group = reinterpret_cast<std::uint8_t*>(codes + plane * 32);
    const auto mask = static_cast<std::uint8_t>(1U << static_cast<unsigned>(plane));
    map_bytes(32, codes + plane * 32, [&](auto d, std::size_t i) HWY_ATTR {
      const auto bit = hn::Set(d, mask);
      const auto set = hn::Eq(hn::And(load_bytes(d, planes + i), bit), bit);
      const auto added = hn::IfThenElseZero(set, hn::Set(d, value));
      return hn::Sub(hn::Add(load_bytes(d, group + i), added), hn::Set(d, zero));
    });
  }
}

struct Q3KFormat {
  static constexpr std::int64_t kBlockCols = 256;
  static constexpr std::int64_t kBlockBytes = 110;
  static constexpr std::int64_t kGroup = 16;
  static constexpr bool kOffsets = false;
  HWY_INLINE static const std::int8_t* unpack(const std::uint8_t* block, GgmlCodes& out) {
    const float scale = half_at(block + 108);
    const std::uint8_t* packed = block + 96;
    for (int i = 0; i < 16; ++i) {
      const int low = i < 8 ? packed[i] & 15 : packed[i - 8] >> 4;
      const int high = (packed[8 + i % 4] >> (i / 4 * 2)) & 3;
      out.scales[i] = scale * static_cast<float>((low | high << 4) - 32);
    }
    unpack_two_bits(block + 32, out.codes);
    add_bit_planes(block, 4, 4, out.codes);
    return out.codes;
  }
};

// Eight scales and mins of six bits, as bytes in two words.
HWY_INLINE void unpack_scale_mins(const std::uint8_t* block, GgmlCodes& out) {
  std::uint32_t words[3];
  __builtin_memcpy(words, block + 4, sizeof(words));
  constexpr std::uint32_t kLow4 = 0x0F0F0F0FU;
  constexpr std::uint32_t kHigh2 = 0x30303030U;
  constexpr std::uint32_t kLow6 = 0x3F3F3F3FU;
  const std::uint32_t packed[4] = {
      words[0] & kLow6, (words[2] & kLow4) | ((words[0] >> 2U) & kHigh2), words[1] & kLow6,
      ((words[2] >> 4U) & kLow4) | ((words[1] >> 2U) & kHigh2)};
  std::uint8_t bytes[16];
  __builtin_memcpy(bytes, packed, sizeof(bytes));
  const hn::CappedTag<float, 8> d8;
  const auto scale = hn::Set(d8, half_at(block));
  const auto min = hn::Set(d8, -half_at(block + 2));
  const hn::Rebind<std::uint8_t, decltype(d8)> du8;
  const hn::Rebind<std::int32_t, decltype(d8)> di32;
  for (std::size_t i = 0; i < 8; i += hn::Lanes(d8)) {
    const auto scales = hn::ConvertTo(d8, hn::PromoteTo(di32, load_bytes(du8, bytes + i)));
    const auto mins = hn::ConvertTo(d8, hn::PromoteTo(di32, load_bytes(du8, bytes + 8 + i)));
    hn::StoreU(hn::Mul(scales, scale), d8, out.scales + i);
    hn::StoreU(hn::Mul(mins, min), d8, out.offsets + i);
  }
}

// 64 codes in each 32 bytes: low nibbles, then high ones.
HWY_INLINE void unpack_nibbles_256(const std::uint8_t* bytes, std::int8_t* out) {
  for (int group = 0; group < 4; ++group) {
    const std::uint8_t* in = bytes + group * 32;
    map_bytes(32, out + group * 64, [&](auto d, std::size_t i) HWY_ATTR {
      return field<0, 4>(d, load_bytes(d, in + i));
    });
    map_bytes(32, out + group * 64 + 32, [&](auto d, std::size_t i) HWY_ATTR {
      return field<4, 4>(d, load_bytes(d, in + i));
    });
  }
}

struct Q4KFormat {
  static constexpr std::int64_t kBlockCols = 256;
  static constexpr std::int64_t kBlockBytes = 144;
  static constexpr std::int64_t kGroup = 32;
  static constexpr bool kOffsets = true;
  HWY_INLINE static const std::int8_t* unpack(const std::uint8_t* block, GgmlCodes& out) {
    unpack_scale_mins(block, out);
    unpack_nibbles_256(block + 16, out.codes);
    return out.codes;
  }
};

struct Q5KFormat {
  static constexpr std::int64_t kBlockCols = 256;
  static constexpr std::int64_t kBlockBytes = 176;
  static constexpr std::int64_t kGroup = 32;
  static constexpr bool kOffsets = true;
  HWY_INLINE static const std::int8_t* unpack(const std::uint8_t* block, GgmlCodes& out) {
    unpack_scale_mins(block, out);
    unpack_nibbles_256(block + 48, out.codes);
    add_bit_planes(block + 16, 16, 0, out.codes);
    return out.codes;
  }
};

// 32 codes: nibbles from bit kLow of `low`, two more bits from bit kHigh of `high`.
template <int kLow, int kHigh>
HWY_INLINE void unpack_six_bits(const std::uint8_t* low, const std::uint8_t* high,
                                std::int8_t* out) {
  map_bytes(32, out, [&](auto d, std::size_t i) HWY_ATTR {
    const auto two = hn::ShiftLeft<4>(field<kHigh, 2>(d, load_bytes(d, high + i)));
    const auto code = hn::Or(field<kLow, 4>(d, load_bytes(d, low + i)), two);
    return hn::Sub(code, hn::Set(d, std::uint8_t{32}));
  });
}

struct Q6KFormat {
  static constexpr std::int64_t kBlockCols = 256;
  static constexpr std::int64_t kBlockBytes = 210;
  static constexpr std::int64_t kGroup = 16;
  static constexpr bool kOffsets = false;
  HWY_INLINE static const std::int8_t* unpack(const std::uint8_t* block, GgmlCodes& out) {
    const D d;
    const hn::Rebind<std::int8_t, D> di8;
    const hn::Rebind<std::int32_t, D> di32;
    const V scale = hn::Set(d, half_at(block + 208));
    for (std::size_t i = 0; i < 16; i += kLanes) {
      const auto group = load_bytes(di8, block + 192 + i);
      hn::StoreU(hn::Mul(hn::ConvertTo(d, hn::PromoteTo(di32, group)), scale), d, out.scales + i);
    }
    for (int half = 0; half < 2; ++half) {
      const std::uint8_t* low = block + half * 64;
      const std::uint8_t* high = block + 128 + half * 32;
      std::int8_t* to = out.codes + half * 128;
      unpack_six_bits<0, 0>(low, high, to);
      unpack_six_bits<0, 2>(low + 32, high, to + 32);
      unpack_six_bits<4, 4>(low, high, to + 64);
      unpack_six_bits<4, 6>(low + 32, high, to + 96);
    }
    return out.codes;
  }
};

struct Iq4Values {
  HWY_ALIGN std::int8_t values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
};
inline constexpr Iq4Values kIq4Codes;

// As unpack_nibbles_16, with the values of a table.
HWY_INLINE void unpack_iq4_16(const std::uint8_t* bytes, std::int8_t* out) {
#if HWY_TARGET == HWY_SCALAR
  for (int i = 0; i < 16; ++i) {
    out[i] = kIq4Codes.values[bytes[i] & 15];
    out[i + 16] = kIq4Codes.values[bytes[i] >> 4];
  }
#else
  const hn::Full128<std::uint8_t> d;
  const auto table = hn::LoadU(d, reinterpret_cast<const std::uint8_t*>(kIq4Codes.values));
  const auto packed = load_bytes(d, bytes);
  auto* to = reinterpret_cast<std::uint8_t*>(out);
  hn::StoreU(hn::TableLookupBytes(table, field<0, 4>(d, packed)), d, to);
  hn::StoreU(hn::TableLookupBytes(table, field<4, 4>(d, packed)), d, to + 16);
#endif
}

struct Iq4NlFormat {
  static constexpr std::int64_t kBlockCols = 32;
  static constexpr std::int64_t kBlockBytes = 18;
  static constexpr std::int64_t kGroup = 32;
  static constexpr bool kOffsets = false;
  HWY_INLINE static const std::int8_t* unpack(const std::uint8_t* block, GgmlCodes& out) {
    out.scales[0] = half_at(block);
    unpack_iq4_16(block + 2, out.codes);
    return out.codes;
  }
};

struct Iq4XsFormat {
  static constexpr std::int64_t kBlockCols = 256;
  static constexpr std::int64_t kBlockBytes = 136;
  static constexpr std::int64_t kGroup = 32;
  static constexpr bool kOffsets = false;
  HWY_INLINE static const std::int8_t* unpack(const std::uint8_t* block, GgmlCodes& out) {
    const float scale = half_at(block);
    const int high_bits = block[2] | block[3] << 8;
    for (int group = 0; group < 8; ++group) {
      const int low = (block[4 + group / 2] >> (group % 2 * 4)) & 15;
      const int high = (high_bits >> (group * 2)) & 3;
      out.scales[group] = scale * static_cast<float>((low | high << 4) - 32);
      unpack_iq4_16(block + 8 + group * 16, out.codes + group * 32);
    }
    return out.codes;
  }
};

// Calls take(column, vector) for the weights of a block, in order.
template <class F, class Take>
HWY_INLINE void decode_block(const std::uint8_t* block, const Take& take) {
  const D d;
  const hn::Rebind<std::int8_t, D> di8;
  const hn::Rebind<std::int32_t, D> di32;
  GgmlCodes buffer;
  const std::int8_t* codes = F::unpack(block, buffer);
  HWY_UNROLL(16)
  for (std::int64_t group = 0; group < F::kBlockCols / F::kGroup; ++group) {
    const V scale = hn::Set(d, buffer.scales[group]);
    V offset = hn::Zero(d);
    if constexpr (F::kOffsets) offset = hn::Set(d, buffer.offsets[group]);
    HWY_UNROLL(8)
    for (std::int64_t i = 0; i < F::kGroup; i += static_cast<std::int64_t>(kLanes)) {
      const std::int64_t col = group * F::kGroup + i;
      const auto code = load_bytes(di8, reinterpret_cast<const std::uint8_t*>(codes) + col);
      const V value = hn::ConvertTo(d, hn::PromoteTo(di32, code));
      if constexpr (F::kOffsets) {
        take(col, hn::MulAdd(value, scale, offset));
      } else {
        take(col, hn::Mul(value, scale));
      }
    }
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
