// Include only from isa/ files.
#pragma once

#include <hwy/highway.h>

#include <cmath>
#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace m2::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Sum of term(v) over all elements; term maps a vector to a vector and zeros to zeros.
template <class Term>
HWY_INLINE float sum_terms(const float* input, std::int64_t size, Term term) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto sum0 = hn::Zero(d);
  auto sum1 = hn::Zero(d);
  auto sum2 = hn::Zero(d);
  auto sum3 = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + 4 * lanes <= size; i += 4 * lanes) {
    sum0 = term(hn::LoadU(d, input + i), sum0);
    sum1 = term(hn::LoadU(d, input + i + lanes), sum1);
    sum2 = term(hn::LoadU(d, input + i + 2 * lanes), sum2);
    sum3 = term(hn::LoadU(d, input + i + 3 * lanes), sum3);
  }
  for (; i + lanes <= size; i += lanes) sum0 = term(hn::LoadU(d, input + i), sum0);
  if (i < size) {
    HWY_ALIGN float rest[HWY_LANES(float)] = {};
    for (std::int64_t j = i; j < size; ++j) rest[j - i] = input[j];
    sum1 = term(hn::Load(d, rest), sum1);
  }
  const auto total = hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3));
  return hn::GetLane(hn::SumOfLanes(d, total));
}

inline void rms_norm(const float* input, const float* weight, std::int64_t size, float eps,
                     float* output) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const float sum =
      sum_terms(input, size, [](auto v, auto acc) HWY_ATTR { return hn::MulAdd(v, v, acc); });
  const float factor = 1.0F / __builtin_sqrtf(sum / static_cast<float>(size) + eps);
  const auto factors = hn::Set(d, factor);
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto normalised = hn::Mul(hn::LoadU(d, input + i), factors);
    hn::StoreU(hn::Mul(hn::LoadU(d, weight + i), normalised), d, output + i);
  }
  for (; i < size; ++i) output[i] = weight[i] * (input[i] * factor);
}

inline float sum(const float* input, std::int64_t size) {
  return sum_terms(input, size, [](auto v, auto acc) HWY_ATTR { return hn::Add(v, acc); });
}

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
