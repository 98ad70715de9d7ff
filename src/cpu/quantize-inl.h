// Activations to 8 bits. Include only from isa/ files.
//
// Every instruction set makes the same codes and scales: no operation here is fused or reordered.
#pragma once

#include <hwy/highway.h>

#include <cstdint>
#include <limits>

#include "cpu/quantized_rows.h"

HWY_BEFORE_NAMESPACE();
namespace m2::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Below this the inverse of the scale would not be finite.
constexpr float kLeastMagnitude = 1e-30F;

HWY_INLINE float largest_magnitude(const float* values) {
  const hn::ScalableTag<std::int32_t> d32;
  const hn::ScalableTag<float> d;
  // The bits of positive floats order as integers, infinities and NaN last.
  auto largest = hn::Zero(d32);
  for (std::int64_t i = 0; i < kScaleCols; i += static_cast<std::int64_t>(hn::Lanes(d))) {
    largest = hn::Max(largest, hn::BitCast(d32, hn::Abs(hn::LoadU(d, values + i))));
  }
  return hn::GetLane(hn::BitCast(d, hn::MaxOfLanes(d32, largest)));
}

HWY_INLINE void quantize_group(const float* values, float inverse, QuantizedGroup& group) {
  const hn::ScalableTag<float> d;
  const hn::RebindToSigned<decltype(d)> d32;
  const hn::Rebind<std::int8_t, decltype(d)> d8;
  constexpr std::int64_t kHalf = kQuantizedCols / 2;
  std::int32_t offsets[2];
  for (std::int64_t half = 0; half < 2; ++half) {
    auto sum = hn::Zero(d32);
    for (std::int64_t i = 0; i < kHalf; i += static_cast<std::int64_t>(hn::Lanes(d))) {
      const std::int64_t col = half * kHalf + i;
      const auto codes = hn::NearestInt(hn::Mul(hn::LoadU(d, values + col), hn::Set(d, inverse)));
      sum = hn::Add(sum, codes);
      hn::StoreU(hn::DemoteTo(d8, codes), d8, group.codes + col);
    }
    offsets[half] = -128 * hn::GetLane(hn::SumOfLanes(d32, sum));
  }
  group.first_offset = offsets[0];
  group.offset = offsets[0] + offsets[1];
  group.sum = static_cast<float>(group.offset / -128);
}

// The groups that share a scale.
HWY_INLINE void quantize_block(const float* values, QuantizedGroup* groups) {
  const float largest = largest_magnitude(values);
  const bool finite = largest <= std::numeric_limits<float>::max();
  const bool coded = finite && largest >= kLeastMagnitude;
  const float scale = coded    ? largest / 127.0F
                      : finite ? 0.0F
                               : std::numeric_limits<float>::quiet_NaN();
  for (std::int64_t i = 0; i < kScaleGroups; ++i) {
    groups[i].scale = scale;
    if (coded) {
      quantize_group(values + i * kQuantizedCols, 127.0F / largest, groups[i]);
    } else {
      __builtin_memset(groups[i].codes, 0, sizeof(groups[i].codes));
      groups[i].offset = groups[i].first_offset = 0;
      groups[i].sum = 0.0F;
    }
  }
}

// input [cols] into groups [num_groups], whole multiples of 128 columns; what is beyond cols counts
// as zero.
inline void quantize(const float* input, std::int64_t cols, std::int64_t num_groups,
                     QuantizedGroup* groups) {
  for (std::int64_t index = 0; index < num_groups; index += kScaleGroups) {
    const std::int64_t begin = index * kQuantizedCols;
    if (begin + kScaleCols <= cols) {
      quantize_block(input + begin, groups + index);
      continue;
    }
    HWY_ALIGN float rest[kScaleCols] = {};
    for (std::int64_t col = begin; col < cols; ++col) rest[col - begin] = input[col];
    quantize_block(rest, groups + index);
  }
}

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
