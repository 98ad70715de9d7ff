// Counters by which the blocks of a launch share units of work.
#pragma once

#include "cuda/context.h"

namespace m2::cuda {

/// What the blocks of a launch share: zero before and after. Launches that may overlap have
/// different ones.
struct UnitCounter {
  int claimed;
  int done;  // blocks
};

/// Counters side by side that no launch nearby has.
template <std::size_t kCount>
UnitCounter* next_counters(Context& context) {
  constexpr std::size_t kCounters = 4096;  // far more than launches can overlap
  static_assert(kCounters % kCount == 0);
  auto* counters = context.unit_counters.get_zeroed<UnitCounter>(kCounters, context.stream);
  const std::size_t first = (context.num_unit_launches + kCount - 1) / kCount * kCount;
  context.num_unit_launches = first + kCount;
  return counters + first % kCounters;
}
inline UnitCounter* next_counter(Context& context) { return next_counters<1>(context); }

}  // namespace m2::cuda
