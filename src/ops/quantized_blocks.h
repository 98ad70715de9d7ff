// Blocks of the KV cache whose numbers take 8 or 4 bits each.
#pragma once

#include <cstdint>
#include <span>

#include "m2/tensor.h"

namespace m2 {

/// Block numbers from here on mean quantised blocks, counted from 0 again.
constexpr std::int32_t kFirstQuantizedBlock = std::int32_t{1} << 30;

/// G numbers along D share a scale and an offset: x = code * scale + offset. With 4 bits, byte j of
/// the G / 2 of a group has element j in its lower and element j + G / 2 in its upper half, so that
/// both halves decode to whole vectors.
struct QuantizedBlocksView {
  TensorView keys;          // [P', Nkv, B, D * bits / 8] u8
  TensorView values;        // the same
  TensorView key_groups;    // [P', Nkv, B, D / G, 2] f32: scale, offset
  TensorView value_groups;  // the same
  int bits = 8;
  std::int64_t group_size = 64;  // G

  [[nodiscard]] bool present() const { return keys.present(); }
};

/// Codes and groups of one vector [D]. The offset is its group's smallest number; the largest has
/// the largest code, so that no number is off by more than half of the scale (and roundings). A
/// NaN, an infinity or a range beyond float32 makes the whole group NaN. `codes` [D * bits / 8],
/// `groups` [D / G * 2]; G is even with 4 bits.
void quantize_vector(std::span<const float> x, int bits, std::int64_t group_size,
                     std::uint8_t* codes, float* groups);
/// What they stand for, `x` [D].
void dequantize_vector(const std::uint8_t* codes, const float* groups, int bits,
                       std::int64_t group_size, std::span<float> x);

}  // namespace m2
