// Blocks of the KV cache whose numbers take 8 or 4 bits each.
#pragma once

#include <cstdint>
#include <span>

#include "m2/tensor.h"

namespace m2 {

/// Block numbers from here on mean quantised blocks, counted from 0 again.
constexpr std::int32_t kFirstQuantizedBlock = std::int32_t{1} << 30;

/// G numbers along D share a scale and an offset: x = code * scale + offset. With 4 bits the lower
/// half of a byte is the even element.
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
/// the largest code. `codes` [D * bits / 8], `groups` [D / G * 2].
void quantize_vector(std::span<const float> x, int bits, std::int64_t group_size,
                     std::uint8_t* codes, float* groups);
/// What they stand for, `x` [D].
void dequantize_vector(const std::uint8_t* codes, const float* groups, int bits,
                       std::int64_t group_size, std::span<float> x);

}  // namespace m2
