// How int4 weights lie in device memory.
//
// A unit holds eight rows of 128 columns in the order in which lanes feed a 16-bit mma or wgmma:
// lane l has row l / 4 and four words; word w has the eight columns from 32 w + 8 (l % 4) on, so
// that the words w of four lanes are a group of 32. Columns 2 i and 2 i + 1 of them are in nibbles
// i and i + 4; a nibble is q + 8. After the words follow the unit's scales, f16, [8 rows, 128 /
// group]. The units of eight rows follow each other along the columns, then come the next eight
// rows.
#pragma once

#include <type_traits>

#include "quant/weight_view.h"

namespace m2::cuda {

constexpr int kUnitRows = 8;
constexpr int kUnitColumns = 128;
constexpr int kUnitWordBytes = kUnitRows * kUnitColumns / 2;

template <int kGroup>
constexpr int kUnitBytes = kUnitWordBytes + kUnitColumns / kGroup* kUnitRows * 2;

inline bool is_int4(const WeightView& weight) {
  return weight.block_format == BlockFormat::kInt4G128 ||
         weight.block_format == BlockFormat::kInt4G32;
}
inline int int4_group(const WeightView& weight) {
  return weight.block_format == BlockFormat::kInt4G128 ? 128 : 32;
}
/// Calls body(integral_constant of the group's size).
template <typename Body>
void for_int4_group(const WeightView& weight, const Body& body) {
  if (int4_group(weight) == 128) return body(std::integral_constant<int, 128>());
  body(std::integral_constant<int, 32>());
}

}  // namespace m2::cuda
