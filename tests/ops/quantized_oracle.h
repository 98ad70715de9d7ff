// Plain 8-bit activations and their exact products with weights in strips: what the integer kernels
// of every instruction set must give.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "cpu/cpu_backend.h"
#include "quant/weight_view.h"

namespace m2::test {

/// Up to 32 neighbouring activations: x[i] is about codes[i] * scale.
struct CodedGroup {
  std::array<int, 32> codes = {};
  float scale = 0.0F;
};

inline CodedGroup quantize_group(std::span<const float> values) {
  CodedGroup group;
  float largest = 0.0F;
  for (const float value : values) {
    if (!std::isfinite(value)) {
      group.scale = std::numeric_limits<float>::quiet_NaN();
      return group;
    }
    largest = std::max(largest, std::fabs(value));
  }
  if (largest < 1e-30F) return group;
  group.scale = largest / 127.0F;
  const float inverse = 127.0F / largest;
  for (std::size_t i = 0; i < values.size(); ++i) {
    group.codes[i] = static_cast<int>(std::nearbyint(values[i] * inverse));
  }
  return group;
}

inline std::vector<CodedGroup> quantize_row(const float* row, std::int64_t cols) {
  std::vector<CodedGroup> groups;
  for (std::int64_t begin = 0; begin < cols; begin += 32) {
    const auto count = static_cast<std::size_t>(std::min<std::int64_t>(32, cols - begin));
    groups.push_back(quantize_group({row + begin, count}));
  }
  return groups;
}

/// Roundings on the path of a sum over the groups of a row: every factor, product and addition, and
/// the addition to the output.
inline double group_roundings(std::int64_t cols) {
  return static_cast<double>((cols + 31) / 32) + 4.0;
}

/// The instruction sets of this machine whose multiply-add rounds once.
inline std::vector<std::string> targets_with_fused_products() {
  std::vector<std::string> targets;
  for (const auto& target : CpuBackend::supported_targets()) {
    if (target != "SCALAR" && target != "SSE4") targets.push_back(target);
  }
  return targets;
}

}  // namespace m2::test
