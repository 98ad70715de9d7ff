// How weights of every storage come to lie in device memory.
#pragma once

#include "cuda/weight_store.h"
#include "ops/backend.h"

namespace m2::cuda {

/// Queues a weight's way to the device and tells how it will lie there: plain elements as they are,
/// blocks in their placed_format(), in units (int4_layout.h, int8_layout.h), or as BF16.
[[nodiscard]] WeightView place_weight(const WeightView& host, MatrixUse use, WeightStore& store,
                                      Owners& owners);

/// Memory of a store that belongs to the owners.
[[nodiscard]] void* reserve(WeightStore& store, std::int64_t num_bytes, Owners& owners);

}  // namespace m2::cuda
