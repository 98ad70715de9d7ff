// Blocks of GGUF's formats (quant/ggml_format.h), the same one of L rows at once: a vector holds a
// number of every row, or four codes of every row, a quad. Include only from isa/ files.
#pragma once

#include <hwy/highway.h>

#include <cstdint>

#include "cpu/strip_dot-inl.h"

HWY_BEFORE_NAMESPACE();
#if HWY_TARGET == HWY_AVX3_DL  // Highway checks for it but does not tell the compiler
HWY_PUSH_ATTRIBUTES("avx512vnni,gfni")
#endif
namespace m2::cpu::HWY_NAMESPACE {

using DU32 = hn::RebindToUnsigned<D>;
using VU32 = hn::Vec<DU32>;

// The same block of L rows that lie `stride` bytes apart.
class RowBlocks {
 public:
  HWY_INLINE RowBlocks(const std::uint8_t* first, std::int64_t stride) {
    HWY_UNROLL(4)
    for (std::int64_t i = 0; i < kFours; ++i) {
      fours_[i] = first + 4 * i * stride;
      hide(fours_[i]);
    }
    HWY_UNROLL(4)
    for (std::int64_t i = 0; i < 4; ++i) {
      steps_[i] = i * stride;
      hide(steps_[i]);
    }
  }
  HWY_INLINE void advance(std::int64_t bytes) {
    for (std::int64_t i = 0; i < kFours; ++i) fours_[i] += bytes;
  }
#if HWY_TARGET <= HWY_AVX3
  // Bytes [offset, offset + 4) of every row. The instruction asks the ports for loads, which are
  // idle while the others multiply.
  HWY_INLINE VU32 gather(std::int64_t offset) const {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i step = _mm512_set1_epi32(static_cast<std::int32_t>(steps_[1]));
    return VU32{_mm512_i32gather_epi32(_mm512_mullo_epi32(lanes, step), fours_[0] + offset, 1)};
  }
#endif
  // Byte `offset` of row 4 * four + step.
  HWY_INLINE const std::uint8_t* at(int four, int step, std::int64_t offset) const {
    return fours_[four] + steps_[step] + offset;
  }

 private:
  static constexpr std::int64_t kFours = kLanes < 4 ? 1 : kRowVector / 4;

  // Every address shall be one of few pointers, plus one of few numbers, plus a constant: left
  // alone, the compiler keeps dozens of sums of them and runs out of registers.
  template <class T>
  HWY_INLINE static void hide(T& value) {
    __asm__("" : "+r"(value));
  }

  const std::uint8_t* fours_[kFours];  // of the rows 0, 4, 8 and so on
  std::int64_t steps_[4];
};

#if HWY_TARGET == HWY_SCALAR

// dwords[i] = bytes [offset + 4 i, offset + 4 i + 4) of every row.
HWY_INLINE void load_dwords(const RowBlocks& rows, std::int64_t offset, VU32 (&dwords)[4]) {
  for (int i = 0; i < 4; ++i) dwords[i] = load_bytes(DU32(), rows.at(0, 0, offset + 4 * i));
}

#else

// Sixteen bytes of the rows step, step + 4, step + 8 and so on, each in its block of 128 bits.
HWY_INLINE VU32 load_every_fourth(const RowBlocks& rows, int step, std::int64_t offset) {
  const hn::Full128<std::uint32_t> d128;
#if HWY_TARGET <= HWY_AVX3
  // Insertions from memory are blends: two a cycle, where shuffles are one.
  const auto load = [&](int four)
                        HWY_ATTR { return load_bytes(d128, rows.at(four, step, offset)).raw; };
  __m512i all = _mm512_castsi128_si512(load(0));
  all = _mm512_inserti32x4(all, load(1), 1);
  all = _mm512_inserti32x4(all, load(2), 2);
  return VU32{_mm512_inserti32x4(all, load(3), 3)};
#elif HWY_TARGET == HWY_AVX2
  return hn::Combine(DU32(), load_bytes(d128, rows.at(1, step, offset)),
                     load_bytes(d128, rows.at(0, step, offset)));
#else
  return load_bytes(d128, rows.at(0, step, offset));
#endif
}

// dwords[i] = bytes [offset + 4 i, offset + 4 i + 4) of every row.
HWY_INLINE void load_dwords(const RowBlocks& rows, std::int64_t offset, VU32 (&dwords)[4]) {
  const DU32 d;
  const hn::Repartition<std::uint64_t, DU32> d64;
  const VU32 a = load_every_fourth(rows, 0, offset);
  const VU32 b = load_every_fourth(rows, 1, offset);
  const VU32 c = load_every_fourth(rows, 2, offset);
  const VU32 e = load_every_fourth(rows, 3, offset);
  const auto low_ab = hn::BitCast(d64, hn::InterleaveLower(d, a, b));
  const auto low_ce = hn::BitCast(d64, hn::InterleaveLower(d, c, e));
  const auto high_ab = hn::BitCast(d64, hn::InterleaveUpper(d, a, b));
  const auto high_ce = hn::BitCast(d64, hn::InterleaveUpper(d, c, e));
  dwords[0] = hn::BitCast(d, hn::InterleaveLower(d64, low_ab, low_ce));
  dwords[1] = hn::BitCast(d, hn::InterleaveUpper(d64, low_ab, low_ce));
  dwords[2] = hn::BitCast(d, hn::InterleaveLower(d64, high_ab, high_ce));
  dwords[3] = hn::BitCast(d, hn::InterleaveUpper(d64, high_ab, high_ce));
}

#endif

// Bytes [kOffset, kOffset + 4) of every row, of blocks of kBlockBytes.
template <std::int64_t kOffset, std::int64_t kBlockBytes>
HWY_INLINE VU32 load_dword(const RowBlocks& rows) {
#if HWY_TARGET <= HWY_AVX3
  return rows.gather(kOffset);
#else
  constexpr std::int64_t kIndex = kOffset + 16 <= kBlockBytes ? 0 : 3;
  VU32 dwords[4];
  load_dwords(rows, kOffset - 4 * kIndex, dwords);
  return dwords[kIndex];
#endif
}

// The f16 in the lower halves of the lanes; what is above must be 0.
HWY_INLINE V from_half(VU32 bits) {
#if M2_HAVE_F16_CONVERSION
  const hn::Rebind<std::uint16_t, D> du16;
  const hn::Rebind<hwy::float16_t, D> df16;
  return hn::PromoteTo(D(), hn::BitCast(df16, hn::TruncateTo(du16, bits)));
#else
  return half_bits_to_float(bits);
#endif
}
HWY_INLINE V low_half(VU32 dword) { return from_half(hn::And(dword, hn::Set(DU32(), 0xFFFFU))); }
HWY_INLINE V high_half(VU32 dword) { return from_half(hn::ShiftRight<16>(dword)); }

#if HWY_TARGET == HWY_AVX3_DL

// For vgf2p8affineqb: bits from kFrom on come to bit kAt of a code of kWidth bits. Where they are
// its highest, the code gets another zero, 128 for 2^(kWidth - 1), in passing: the highest bit goes
// to bit 7 and, turned over, to those between.
template <int kFrom, int kBits, int kAt, int kWidth>
struct BitMoves {
  static constexpr bool kTop = kAt + kBits == kWidth;
  static constexpr std::uint64_t rows() {
    std::uint64_t result = 0;
    for (int to = kAt; to < 8; ++to) {
      const int last = kBits - 1;
      const int bit = to - kAt < last ? to - kAt : last;
      if (to - kAt > last && !kTop) break;
      result |= (std::uint64_t{1} << (kFrom + bit)) << (8 * (7 - to));
    }
    return result;
  }
  static constexpr int kTurned = kTop ? 0x7F & ~((1 << (kWidth - 1)) - 1) : 0;
};

template <int kFrom, int kBits, int kAt, int kWidth>
HWY_INLINE VU32 code_part(VU32 bytes) {
  using Moves = BitMoves<kFrom, kBits, kAt, kWidth>;
  const __m512i rows = _mm512_set1_epi64(static_cast<long long>(Moves::rows()));
  return VU32{_mm512_gf2p8affine_epi64_epi8(bytes.raw, rows, Moves::kTurned)};
}

// `bits` bits of every byte, from bit `shift` on.
template <int kShift, int kBits>
HWY_INLINE VU32 byte_field(VU32 bytes) {
  return code_part<kShift, kBits, 0, 8>(bytes);
}

#else

// `bits` bits of every byte, from bit `shift` on.
template <int kShift, int kBits>
HWY_INLINE VU32 byte_field(VU32 bytes) {
  const VU32 mask = hn::Set(DU32(), 0x01010101U * ((1U << kBits) - 1));
  if constexpr (kShift == 0) return hn::And(bytes, mask);
  return hn::And(hn::ShiftRight<kShift>(bytes), mask);
}

// Bits from kFrom on at bit kAt of a code of kWidth bits.
template <int kFrom, int kBits, int kAt, int kWidth>
HWY_INLINE VU32 code_part(VU32 bytes) {
  return hn::ShiftLeft<kAt>(byte_field<kFrom, kBits>(bytes));
}

#endif

// Byte `index` of every lane as a number.
template <int kIndex>
HWY_INLINE V unsigned_byte(VU32 dword) {
  VU32 byte = dword;
  if constexpr (kIndex > 0) byte = hn::ShiftRight<8 * kIndex>(byte);
  if constexpr (kIndex < 3) byte = hn::And(byte, hn::Set(DU32(), 0xFFU));
  return hn::ConvertTo(D(), hn::BitCast(D32(), byte));
}
template <int kIndex>
HWY_INLINE V signed_byte(VU32 dword) {
  VU32 byte = dword;
  if constexpr (kIndex < 3) byte = hn::ShiftLeft<24 - 8 * kIndex>(byte);
  return hn::ConvertTo(D(), hn::ShiftRight<24>(hn::BitCast(D32(), byte)));
}

// Goes through the blocks of up to L rows from front to back. Rows that are not there repeat the
// last one.
template <class F>
class RowCursor {
 public:
  HWY_INLINE RowCursor(const std::uint8_t* first, std::int64_t row_bytes, std::int64_t num_rows,
                       std::uint8_t* copy)
      : bytes_(first),
        row_bytes_(row_bytes),
        num_rows_(num_rows),
        copy_(copy),
        blocks_(is_whole() ? first : copy, is_whole() ? row_bytes : F::kBlockBytes) {}

  template <class Out>
  HWY_INLINE void unpack(std::int64_t group, Out& out) {
    if (HWY_UNLIKELY(!is_whole())) copy_block();
    F::unpack(blocks_, group, out);
    if (HWY_LIKELY(is_whole())) blocks_.advance(F::kBlockBytes);
  }

 private:
  HWY_INLINE bool is_whole() const { return num_rows_ >= kRowVector; }
  HWY_INLINE void copy_block() {
    for (std::int64_t r = 0; r < kRowVector; ++r) {
      const std::int64_t row = r < num_rows_ ? r : num_rows_ - 1;
      __builtin_memcpy(copy_ + r * F::kBlockBytes, bytes_ + row * row_bytes_, F::kBlockBytes);
    }
    bytes_ += F::kBlockBytes;
  }

  const std::uint8_t* bytes_;
  std::int64_t row_bytes_;
  std::int64_t num_rows_;
  std::uint8_t* copy_;  // [kRowVector, kBlockBytes]
  RowBlocks blocks_;
};

}  // namespace m2::cpu::HWY_NAMESPACE
#if HWY_TARGET == HWY_AVX3_DL
HWY_POP_ATTRIBUTES
#endif
HWY_AFTER_NAMESPACE();
