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

/// A counter that no launch nearby has.
inline UnitCounter* next_counter(Context& context) {
  constexpr std::size_t kCounters = 256;  // far more than launches can overlap
  auto* counters = context.unit_counters.get_zeroed<UnitCounter>(kCounters, context.stream);
  return counters + context.num_unit_launches++ % kCounters;
}

}  // namespace m2::cuda
