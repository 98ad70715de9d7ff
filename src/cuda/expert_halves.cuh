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

/// What others wrote before the value that is read is visible after it. (A fence after the reading
/// in its place stops the copies of the multiprocessor: H200, one token's experts in F8, 32.0 to
/// 34.7 instead of 31.2 to 32.1 us.)
__device__ inline int read_acquiring(const int* from) {
  int value;
  asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(value) : "l"(from) : "memory");
  return value;
}

/// Meetings of all blocks, one for each part of their work, which all do in the same order. Nobody
/// has to stand still: a block says when it has done a part, and waits when it needs all of it.
class Meetings {
 public:
  static constexpr int kMost = 4;
  // Who waits must not stand in the way of who claims: each counter has lines of its own.
  static constexpr int kApart = 16;
  static constexpr int kCounters = 128;
  static_assert(kCounters >= (1 + kMost) * kApart);

  /// `counters` [kCounters]: next_counters().
  __device__ explicit Meetings(UnitCounter* counters) : counters_(counters) {}

  /// By one thread of every block, for each part, after what the block's other threads have written
  /// and a barrier with them. With copies of weights on their way it takes a microsecond or two.
  __device__ void arrive(int part) const {
    __threadfence();
    atomicAdd(&counters_[kApart * (1 + part)].done, 1);
  }
  /// By any thread: until all blocks have arrived. What they wrote is visible to it, and after a
  /// barrier to others.
  __device__ void wait(int part) const {
    const int* counter = &counters_[kApart * (1 + part)].done;
    while (read_acquiring(counter) < static_cast<int>(gridDim.x)) __nanosleep(kPause);
  }
  /// By one thread of every block, when nobody of it waits or claims any more: the last one leaves
  /// the counters as they were.
  __device__ void leave() const {
    if (atomicAdd(&counters_[0].done, 1) != static_cast<int>(gridDim.x) - 1) return;
    for (int i = 0; i <= kMost; ++i) counters_[kApart * i] = {0, 0};
  }
  /// For units of work that blocks claim: zero before and after.
  [[nodiscard]] __device__ int* claimed() const { return &counters_[0].claimed; }

 private:
  static constexpr unsigned kPause = 100;  // ns

  UnitCounter* counters_;
};

// Out of the way of the instructions that most layers need.
__device__ __noinline__ inline float other_activation(Activation activation, float x) {
  return device_activate(activation, x);
}
__device__ inline float quick_activate(Activation activation, float x) {
  return activation == Activation::kSilu ? x * sigmoid(x) : other_activation(activation, x);
}

}  // namespace m2::cuda
