// What the warps of the experts' kernel (expert_stream.cuh) share.
#pragma once

#include "cuda/expert_groups.cuh"
#include "cuda/expert_stages.cuh"
#include "cuda/unit_counter.h"

namespace m2::cuda {

template <typename Shape>
struct ExpertStream {
  const float* hidden_states;     // [T, H]
  const ExpertPointers* experts;  // [E]
  int num_experts;
  ExpertGroupsView groups;
  Shape gate;  // [I, H]
  Shape down;  // [H, I]
  Activation activation;
  float* inner;   // [T * K, I]
  float* output;  // [T * K, H]
  int top_k;
  int num_slots;  // of the ring
  int slot_bytes;
  UnitCounter* gate_up_counter;  // done: blocks whose inner values are written
  UnitCounter* down_counter;

  __device__ int gate_up_row_units() const { return gate.rows / kTileOfRows; }
  __device__ int gate_up_units() const { return groups.count() * gate_up_row_units(); }
  __device__ int down_row_units() const { return down.rows / (2 * kTileOfRows); }
  __device__ int down_units() const { return groups.count() * down_row_units(); }
  /// Blocks claim few chunks: with each they load the tokens of another expert.
  __device__ static UnitShares shares(UnitCounter* counter) {
    return {.claimed = &counter->claimed, .chunk = 4, .own = 0.9F};
  }
};

}  // namespace m2::cuda
