// Counters for the launches over row_ring.cuh.
#pragma once

#include "cuda/context.h"
#include "cuda/row_ring.cuh"

namespace m2::cuda {

/// A counter that no launch nearby has.
inline UnitCounter* next_counter(Context& context) {
  constexpr std::size_t kCounters = 256;  // far more than launches can overlap
  auto* counters = context.unit_counters.get_zeroed<UnitCounter>(kCounters, context.stream);
  return counters + context.num_unit_launches++ % kCounters;
}

}  // namespace m2::cuda
