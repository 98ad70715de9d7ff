// Between gate-up and down of the experts, where both are one kernel.
#pragma once

#include "cuda/numeric.cuh"
#include "cuda/unit_counter.h"

namespace m2::cuda {

/// By one thread of every block, after what the block has written: until all blocks have come here.
__device__ inline void meet_blocks(UnitCounter* gate_up) {
  __threadfence();
  atomicAdd(&gate_up->done, 1);
  const volatile int* done = &gate_up->done;
  while (*done < static_cast<int>(gridDim.x)) {
  }
  __threadfence();
}
/// By one thread of every block, at its end: the last one leaves the counters as they were.
__device__ inline void leave_counters(UnitCounter* gate_up, UnitCounter* down) {
  if (atomicAdd(&down->done, 1) != static_cast<int>(gridDim.x) - 1) return;
  *gate_up = {0, 0};
  *down = {0, 0};
}

// Out of the way of the instructions that most layers need.
__device__ __noinline__ inline float other_activation(Activation activation, float x) {
  return device_activate(activation, x);
}
__device__ inline float quick_activate(Activation activation, float x) {
  return activation == Activation::kSilu ? x * sigmoid(x) : other_activation(activation, x);
}

}  // namespace m2::cuda
