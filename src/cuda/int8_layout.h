// How int8 weights lie in device memory.
//
// A unit holds sixteen rows of 128 columns in the order in which lanes feed a 16-bit mma or wgmma:
// four times sixteen bytes for each lane, vector 2 * lower + half of lane l being row l / 4 + 8 *
// lower, columns 32 * (l % 4) + 16 * half and on, so that a lane needs one scale for each of its
// two rows; a code is q + 128. After the 2,048 codes follow the scales, f16, [16 rows, 4]. Units
// follow each other along the columns, then come the next sixteen rows; the last ones may be padded
// with scales of zero.
#pragma once

#include <cstdint>

#include "quant/weight_view.h"

#ifdef __CUDACC__
#define M2_HOST_DEVICE __host__ __device__
#else
#define M2_HOST_DEVICE
#endif

namespace m2::cuda {

constexpr int kInt8Rows = 16;
constexpr int kInt8Columns = 128;
constexpr int kInt8CodeBytes = kInt8Rows * kInt8Columns;
constexpr int kInt8UnitBytes = kInt8CodeBytes + kInt8Rows * kInt8Columns / 32 * 2;

inline bool is_int8(const WeightView& weight) {
  return weight.block_format == BlockFormat::kInt8G32;
}
/// Whether a matrix of the format can be cut into units.
inline bool fits_int8(const WeightView& weight) { return weight.cols % kInt8Columns == 0; }

/// Where the unit of a row and a column begins.
M2_HOST_DEVICE inline std::int64_t int8_unit(std::int64_t row, std::int64_t col,
                                             std::int64_t cols) {
  return (row / kInt8Rows * (cols / kInt8Columns) + col / kInt8Columns) * kInt8UnitBytes;
}
/// Places of a code and of its scale in the unit.
M2_HOST_DEVICE inline int int8_code_at(std::int64_t row, std::int64_t col) {
  const auto r = static_cast<int>(row % kInt8Rows);
  const auto c = static_cast<int>(col % kInt8Columns);
  return ((r / 8 * 2 + c % 32 / 16) * 32 + r % 8 * 4 + c / 32) * 16 + c % 16;
}
M2_HOST_DEVICE inline int int8_scale_at(std::int64_t row, std::int64_t col) {
  return kInt8CodeBytes + static_cast<int>(row % kInt8Rows * 4 + col % kInt8Columns / 32) * 2;
}

}  // namespace m2::cuda
