// Brings int4 weights into the order in which the kernels read them.
#pragma once

#include "cuda/context.h"
#include "quant/weight_view.h"

namespace m2::cuda {

/// Strips of the host's format to units (int4_layout.h) of as many bytes, both in device memory.
void repack_int4(const WeightView& weight, const void* strips, void* units, const Context& context);

}  // namespace m2::cuda
