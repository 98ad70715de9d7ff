// Include only from isa/ files.
#pragma once

#include <hwy/highway.h>

#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace m2::cpu::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Reads rows of 4 KiB, eight at a time and the next eight prefetched: the way in which linear reads
// a weight, and faster than one stream from front to back.
inline float read_memory(const float* input, std::int64_t size) {
  constexpr std::int64_t kRows = 8;
  constexpr std::int64_t kCols = 1024;
  constexpr std::int64_t kLine = 16;  // floats of a cache line
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto total = hn::Zero(d);
  for (const float* end = input + size; input + kRows * kCols <= end; input += kRows * kCols) {
    for (std::int64_t col = 0; col < kCols; col += kLine) {
      HWY_UNROLL(8)
      for (std::int64_t row = 0; row < kRows; ++row) {
        const float* line = input + row * kCols + col;
        __builtin_prefetch(line + kRows * kCols, 0, 2);
        for (std::int64_t i = 0; i < kLine; i += lanes) {
          total = hn::Add(total, hn::LoadU(d, line + i));
        }
      }
    }
  }
  return hn::GetLane(hn::SumOfLanes(d, total));
}

}  // namespace m2::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
