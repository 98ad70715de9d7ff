// Include only from isa/ files.
#pragma once

#include <hwy/highway.h>

#include <cstdint>

#if HWY_ARCH_X86
#include <immintrin.h>
#endif

HWY_BEFORE_NAMESPACE();
namespace m2::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Sums of their own, enough to hide the latency of an instruction on two ports. They stay in
// registers as long as nothing in the loop may look at memory.
constexpr int kPeakSums = 12;

// Multiply-adds of registers alone. Returns how many multiplications and additions it made.
inline std::int64_t peak_f32(std::int64_t rounds, float* sink) {
  const hn::ScalableTag<float> d;
  auto factor = hn::Set(d, 0.5F);
  hn::Vec<decltype(d)> sums[kPeakSums];
  for (auto& sum : sums) sum = factor;
  for (std::int64_t round = 0; round < rounds; ++round) {
    HWY_UNROLL(12)
    for (auto& sum : sums) sum = hn::MulAdd(sum, factor, factor);
  }
  for (const auto& sum : sums) *sink += hn::GetLane(sum);
  return 2 * rounds * kPeakSums * static_cast<std::int64_t>(hn::Lanes(d));
}

#if HWY_TARGET <= HWY_AVX3_DL && HWY_ARCH_X86
#define M2_PEAK_TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

M2_PEAK_TARGET inline std::int64_t peak_int8(std::int64_t rounds, std::int32_t* sink) {
  __m512i sums[kPeakSums];
  for (auto& sum : sums) sum = _mm512_set1_epi32(1);
  const __m512i factor = _mm512_set1_epi8(static_cast<char>(rounds & 3));
  for (std::int64_t round = 0; round < rounds; ++round) {
    HWY_UNROLL(12)
    for (auto& sum : sums) sum = _mm512_dpbusd_epi32(sum, factor, factor);
  }
  for (const auto& sum : sums) *sink += _mm_cvtsi128_si32(_mm512_castsi512_si128(sum));
  return 2 * rounds * kPeakSums * 64;
}

#undef M2_PEAK_TARGET
#elif HWY_TARGET <= HWY_AVX2 && HWY_ARCH_X86
// Three instructions make one dot product of four bytes; 256 bits whatever the machine has.
inline std::int64_t peak_int8(std::int64_t rounds, std::int32_t* sink) {
  __m256i sums[kPeakSums];
  for (auto& sum : sums) sum = _mm256_set1_epi32(1);
  __m256i factor = _mm256_set1_epi8(static_cast<char>(rounds & 3));
  const __m256i ones = _mm256_set1_epi16(1);
  for (std::int64_t round = 0; round < rounds; ++round) {
    HWY_UNROLL(12)
    for (auto& sum : sums) {
      asm volatile("" : "+x"(factor));  // or the products would be made once
      const __m256i pairs = _mm256_maddubs_epi16(factor, factor);
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
  }
  for (const auto& sum : sums) *sink += _mm_cvtsi128_si32(_mm256_castsi256_si128(sum));
  return 2 * rounds * kPeakSums * 32;
}
#else
// Where bytes have no products of their own.
inline std::int64_t peak_int8(std::int64_t rounds, std::int32_t* sink) {
  float sum = 0.0F;
  const std::int64_t made = peak_f32(rounds, &sum);
  *sink += static_cast<std::int32_t>(sum);
  return made;
}
#endif

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
