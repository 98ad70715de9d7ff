// What the kernels of int4 experts share.
#pragma once

#include "cuda/int4_groups.cuh"
#include "cuda/int4_stream.cuh"
#include "cuda/unit_counter.h"

namespace m2::cuda {

/// How a launch uses a block's shared memory.
struct Int4Plan {
  int sets = 0;   // of tokens that a block holds; 0: not even one fits
  int slots = 0;  // of a ring
  int num_bytes = 0;
};

struct Int4Experts {
  const float* hidden_states;     // [T, H]
  const ExpertPointers* experts;  // [E]
  const std::int32_t* topk_ids;   // [T, K]
  const float* topk_weights;      // [T, K]
  GroupSizes sizes;
  Int4Shape gate;  // [I, H]
  Int4Shape down;  // [H, I]
  Activation activation;
  float* inner;   // [T * K, I]
  float* output;  // [T * K, H]; of one token: [H], to add to
  int top_k;
  UnitCounter* counters[2];  // of gate and up, where `done` blocks have ended, and of down
  Int4Plan plan;
};

/// By one thread of every block, after what the block has written: until all blocks have come here.
__device__ inline void meet_blocks(const Int4Experts& args) {
  __threadfence();
  atomicAdd(&args.counters[0]->done, 1);
  const volatile int* done = &args.counters[0]->done;
  while (*done < static_cast<int>(gridDim.x)) {
  }
  __threadfence();
}
/// By one thread of every block, at its end: leaves the counters as they were.
__device__ inline void leave_counters(const Int4Experts& args) {
  if (atomicAdd(&args.counters[1]->done, 1) != static_cast<int>(gridDim.x) - 1) return;
  *args.counters[0] = {0, 0};
  *args.counters[1] = {0, 0};
}

// Out of the way of the instructions that most layers need.
__device__ __noinline__ inline float other_activation(Activation activation, float x) {
  return device_activate(activation, x);
}
__device__ inline float quick_activate(Activation activation, float x) {
  return activation == Activation::kSilu ? x * sigmoid(x) : other_activation(activation, x);
}

}  // namespace m2::cuda
