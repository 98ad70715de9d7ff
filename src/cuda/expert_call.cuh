// What the warps of the experts' kernel (expert_stream.cuh) share.
#pragma once

#include "cuda/block_groups.cuh"
#include "cuda/expert_stages.cuh"
#include "cuda/unit_counter.h"

namespace m2::cuda {

template <typename Shape>
struct ExpertStream {
  const float* hidden_states;     // [T, H]
  const ExpertPointers* experts;  // [E]
  GroupSizes sizes;
  RouterScores scores;     // of tokens whose experts are still to be chosen, or null
  std::int32_t* topk_ids;  // [T, K]
  float* topk_weights;     // [T, K]
  Shape gate;              // [I, H]
  Shape down;              // [H, I]
  Activation activation;
  float* inner;   // [T * K, I]
  float* output;  // [T * K, H]
  int top_k;
  int num_slots;  // of the ring
  int slot_bytes;
  UnitCounter* gate_up_counter;  // done: blocks whose inner values are written
  UnitCounter* down_counter;

  __device__ int gate_up_row_units() const { return gate.rows / kTileOfRows; }
  __device__ int down_row_units() const { return down.rows / (2 * kTileOfRows); }
  /// Blocks claim few chunks: with each they load the tokens of another expert.
  __device__ static UnitShares shares(UnitCounter* counter) {
    return {.claimed = &counter->claimed, .chunk = 4, .own = 0.9F};
  }
};

}  // namespace m2::cuda
