// Include only from isa/ files.
#pragma once

#include <hwy/highway.h>

#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace m2::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

inline void rotate(const float* cos, const float* sin, std::int64_t half, float* head) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t j = 0;
  for (; j + lanes <= half; j += lanes) {
    const auto low = hn::LoadU(d, head + j);
    const auto high = hn::LoadU(d, head + half + j);
    const auto c = hn::LoadU(d, cos + j);
    const auto s = hn::LoadU(d, sin + j);
    hn::StoreU(hn::NegMulAdd(high, s, hn::Mul(low, c)), d, head + j);
    hn::StoreU(hn::MulAdd(low, s, hn::Mul(high, c)), d, head + half + j);
  }
  for (; j < half; ++j) {
    const float low = head[j];
    const float high = head[half + j];
    head[j] = low * cos[j] - high * sin[j];
    head[half + j] = high * cos[j] + low * sin[j];
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
