// Include only from isa/ files.
#pragma once

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <cmath>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace m2::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

inline void silu_mul(const float* up, std::int64_t size, float* gate) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto one = hn::Set(d, 1.0F);
  // Exp is only defined up to 88; beyond that the sigmoid is below the smallest normal number.
  const auto limit = hn::Set(d, 88.0F);
  const auto silu = [&](auto x) HWY_ATTR {
    const auto exp = hn::Exp(d, hn::Min(hn::Neg(x), limit));
    return hn::Mul(x, hn::Div(one, hn::Add(one, exp)));
  };
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    const auto value = hn::Mul(silu(hn::LoadU(d, gate + i)), hn::LoadU(d, up + i));
    hn::StoreU(value, d, gate + i);
  }
  if (i == size) return;
  HWY_ALIGN float rest[HWY_LANES(float)] = {};
  for (std::int64_t j = i; j < size; ++j) rest[j - i] = gate[j];
  hn::Store(silu(hn::Load(d, rest)), d, rest);
  for (std::int64_t j = i; j < size; ++j) gate[j] = rest[j - i] * up[j];
}

// An element gets the same fused operation wherever it lies: how many elements a task has depends
// on the number of threads, which must not show in the result.
inline void add_scaled(float factor, const float* input, std::int64_t size, float* output) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto factors = hn::Set(d, factor);
  std::int64_t i = 0;
  for (; i + lanes <= size; i += lanes) {
    hn::StoreU(hn::MulAdd(factors, hn::LoadU(d, input + i), hn::LoadU(d, output + i)), d,
               output + i);
  }
  if (i == size) return;
  HWY_ALIGN float rest_input[HWY_LANES(float)] = {};
  HWY_ALIGN float rest_output[HWY_LANES(float)] = {};
  for (std::int64_t j = i; j < size; ++j) {
    rest_input[j - i] = input[j];
    rest_output[j - i] = output[j];
  }
  hn::Store(hn::MulAdd(factors, hn::Load(d, rest_input), hn::Load(d, rest_output)), d, rest_output);
  for (std::int64_t j = i; j < size; ++j) output[j] = rest_output[j - i];
}

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
