// Brings int8 weights into a form that the matrix units multiply.
#pragma once

#include "cuda/context.h"
#include "quant/weight_view.h"

namespace m2::cuda {

inline bool is_int8(const WeightView& weight) {
  return weight.block_format == BlockFormat::kInt8G32;
}

/// Strips of the host's format (quant/strip_format.h) to BF16 [rows, cols], both in device memory.
/// Rounding to 8 bits of mantissa takes the error of normally distributed weights from 0.535 to
/// 0.560 %.
void widen_int8(const WeightView& weight, const void* strips, void* values, const Context& context);

}  // namespace m2::cuda
