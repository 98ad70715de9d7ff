// Include only from isa/ files.
#pragma once

#include <hwy/highway.h>

#include <cmath>
#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace m2::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

HWY_INLINE float sum_of_squares(const float* input, std::int64_t size) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto sum0 = hn::Zero(d);
  auto sum1 = hn::Zero(d);
  auto sum2 = hn::Zero(d);
  auto sum3 = hn::Zero(d);
  const auto add_square = [d](auto& sum, const float* at) HWY_ATTR {
    const auto value = hn::LoadU(d, at);
    sum = hn::MulAdd(value, value, sum);
  };
  std::int64_t i = 0;
  for (; i + 4 * lanes <= size; i += 4 * lanes) {
    add_square(sum0, input + i);
    add_square(sum1, input + i + lanes);
    add_square(sum2, input + i + 2 * lanes);
    add_square(sum3, input + i + 3 * lanes);
  }
  for (; i + lanes <= size; i += lanes) add_square(sum0, input + i);
  if (i < size) {
    HWY_ALIGN float rest[HWY_LANES(float)] = {};
    for (std::int64_t j = i; j < size; ++j) rest[j - i] = input[j];
    add_square(sum1, rest);
  }
  const auto total = hn::Add(hn::Add(sum0, sum1), hn::Add(sum2, sum3));
  return hn::GetLane(hn::SumOfLanes(d, total));
}

inline void rms_norm(const float* input, const float* weight, std::int64_t size, float eps,
                     float* output) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const float sum = sum_of_squares(input, size);
  const float factor = 1.0F / __builtin_sqrtf(sum / static_cast<float>(size) + eps);
  const auto factors = hn::Set(d, factor);
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto normalised = hn::Mul(hn::LoadU(d, input + i), factors);
    hn::StoreU(hn::Mul(hn::LoadU(d, weight + i), normalised), d, output + i);
  }
  for (; i < size; ++i) output[i] = weight[i] * (input[i] * factor);
}

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
