// Products of one input with several weights in one launch.
#pragma once

#include <algorithm>
#include <span>

#include "cuda/weight_ring.cuh"
#include "ops/linear.h"

namespace m2::cuda {

struct LinearPart {
  const void* weight;  // [rows, K]
  const float* scale;
  float* output;  // [T, rows]
  int rows;
  int first_unit;
  bool accumulate;
};

/// The weights of a launch by their units of rows.
struct LinearParts {
  static constexpr int kMost = 4;

  LinearPart parts[kMost];
  int count;
  int units;

  [[nodiscard]] __device__ const LinearPart& of(int unit) const {
    int index = 0;
    while (index + 1 < count && unit >= parts[index + 1].first_unit) ++index;
    return parts[index];
  }
};

/// Whether products may share a launch: one input, weights stored alike that come by stages.
inline bool can_share(std::span<const LinearArgs> products) {
  if (products.empty() || products.size() > LinearParts::kMost) return false;
  const LinearArgs& first = products.front();
  return std::ranges::all_of(products, [&](const LinearArgs& args) {
    const WeightView& weight = args.weight;
    return fits_stream(weight) && args.input.data == first.input.data &&
           weight.dtype == first.weight.dtype && weight.cols == first.weight.cols &&
           weight.block_rows == first.weight.block_rows &&
           weight.block_cols == first.weight.block_cols;
  });
}

inline LinearParts linear_parts(std::span<const LinearArgs> products, int unit_rows) {
  LinearParts result = {.parts = {}, .count = static_cast<int>(products.size()), .units = 0};
  for (std::size_t i = 0; i < products.size(); ++i) {
    const LinearArgs& args = products[i];
    result.parts[i] = {.weight = args.weight.data,
                       .scale = args.weight.scale,
                       .output = args.output.as<float>(),
                       .rows = static_cast<int>(args.weight.rows),
                       .first_unit = result.units,
                       .accumulate = args.accumulate};
    result.units += static_cast<int>((args.weight.rows + unit_rows - 1) / unit_rows);
  }
  return result;
}

}  // namespace m2::cuda
