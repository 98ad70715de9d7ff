// Random values of fresh weights.
#pragma once

#include <cstdint>
#include <string_view>

#include "m2/tensor.h"

namespace m2 {

/// Fills `out` (f32, bf16 or f16) with normal(0, deviation). A number depends on the seed, the
/// tensor's name and its index alone: not on the order in which tensors are made.
void fill_normal(const TensorView& out, double deviation, std::uint64_t seed,
                 std::string_view name);

/// out[index] = value, rounded to `dtype`, a floating type of weights.
void store_float(void* out, DType dtype, std::int64_t index, float value);

}  // namespace m2
