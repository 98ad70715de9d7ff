// Plain 8-bit activations and their exact products with weights in block formats: what the integer
// kernels of every instruction set must give.
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
#include "ops/op_cases.h"
#include "quant/weight_view.h"

namespace m2::test {

/// Up to 32 neighbouring activations: x[i] is about codes[i] * scale, scale for 128 of them.
struct CodedGroup {
  std::array<int, 32> codes = {};
  float scale = 0.0F;
};

/// Up to 128 columns.
inline std::vector<CodedGroup> quantize_block(std::span<const float> values) {
  std::vector<CodedGroup> groups((values.size() + 31) / 32);
  float largest = 0.0F;
  for (const float value : values) {
    if (!std::isfinite(value)) {
      for (auto& group : groups) group.scale = std::numeric_limits<float>::quiet_NaN();
      return groups;
    }
    largest = std::max(largest, std::fabs(value));
  }
  if (largest < 1e-30F) return groups;
  const float inverse = 127.0F / largest;
  for (auto& group : groups) group.scale = largest / 127.0F;
  for (std::size_t i = 0; i < values.size(); ++i) {
    groups[i / 32].codes[i % 32] = static_cast<int>(std::nearbyint(values[i] * inverse));
  }
  return groups;
}

inline std::vector<CodedGroup> quantize_row(const float* row, std::int64_t cols) {
  std::vector<CodedGroup> groups;
  for (std::int64_t begin = 0; begin < cols; begin += 128) {
    const auto count = static_cast<std::size_t>(std::min<std::int64_t>(128, cols - begin));
    const auto block = quantize_block({row + begin, count});
    groups.insert(groups.end(), block.begin(), block.end());
  }
  return groups;
}

/// Roundings on the path of a sum over the groups of a row: every factor, product and addition, and
/// the addition to the output.
inline double group_roundings(std::int64_t cols) {
  return static_cast<double>((cols + 31) / 32) + 4.0;
}

/// The elements of a product [T, N].
struct Product {
  std::vector<double> values;
  std::vector<double> tolerance;
};

/// Sums of the exact products of the activations' codes, in float64, added to `initial` [T, N] or
/// to zero.
inline Product coded_product(const Tensor& input, const WeightView& weight, const Tensor& initial,
                             bool accumulate) {
  const auto weights = decode(weight);
  const double unit = group_roundings(weight.cols) * kUnitRoundoff;
  Product product;
  for (std::int64_t t = 0; t < input.shape()[0]; ++t) {
    const auto groups = quantize_row(input.as<float>() + t * weight.cols, weight.cols);
    for (std::int64_t n = 0; n < weight.rows; ++n) {
      const double* row = weights.data() + n * weight.cols;
      const double start = accumulate ? double{initial.as<float>()[t * weight.rows + n]} : 0.0;
      double sum = 0.0;
      double magnitude = std::fabs(start);
      for (std::int64_t k = 0; k < weight.cols; ++k) {
        const CodedGroup& group = groups[static_cast<std::size_t>(k / 32)];
        const double term = group.codes[static_cast<std::size_t>(k % 32)] * row[k] * group.scale;
        sum += term;
        magnitude += std::fabs(term);
      }
      product.values.push_back(start + sum);
      product.tolerance.push_back(unit * magnitude);
    }
  }
  return product;
}

/// The plain product, and how far rounding of the activations may take it: half a step of its group
/// for every column.
inline Product plain_product(const Tensor& input, const WeightView& weight) {
  const auto weights = decode(weight);
  const double unit = group_roundings(weight.cols) * kUnitRoundoff;
  Product product;
  for (std::int64_t t = 0; t < input.shape()[0]; ++t) {
    const float* row = input.as<float>() + t * weight.cols;
    const auto groups = quantize_row(row, weight.cols);
    for (std::int64_t n = 0; n < weight.rows; ++n) {
      double sum = 0.0;
      double tolerance = 0.0;
      for (std::int64_t k = 0; k < weight.cols; ++k) {
        const double w = weights[static_cast<std::size_t>(n * weight.cols + k)];
        const double half_step = (0.5 + 1e-4) * groups[static_cast<std::size_t>(k / 32)].scale;
        sum += w * row[k];
        tolerance += std::fabs(w) * (half_step + unit * (std::fabs(row[k]) + half_step));
      }
      product.values.push_back(sum);
      product.tolerance.push_back(tolerance);
    }
  }
  return product;
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
