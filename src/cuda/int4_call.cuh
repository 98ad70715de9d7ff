// What the kernels of int4 experts share.
#pragma once

#include "cuda/block_groups.cuh"
#include "cuda/expert_halves.cuh"
#include "cuda/int4_stream.cuh"
#include "cuda/launch.cuh"
#include "cuda/marked_values.cuh"

namespace m2::cuda {

/// The matrices of an expert.
struct ExpertMatrices {
  const char* gate;
  const char* up;
  const char* down;
};

__device__ inline ExpertMatrices matrices_of(const ExpertPointers& expert) {
  return {static_cast<const char*>(expert.gate), static_cast<const char*>(expert.up),
          static_cast<const char*>(expert.down)};
}

/// How a launch uses a block's shared memory.
struct Int4Plan {
  int sets = 0;   // of tokens that a block holds; 0: not even one fits
  int slots = 0;  // of a ring
  // Of few tokens:
  int given = 0;       // of a hundred tiles of gate and up, those that blocks need not claim
  int down_tiles = 0;  // eights of rows in a stage
  int in_flight = 0;   // stages on their way
  int entries = 0;     // for inner values of a token with an expert
  int num_bytes = 0;
};

struct Int4Experts {
  const float* hidden_states;     // [T, H]
  const ExpertPointers* experts;  // [E]
  std::int32_t* topk_ids;         // [T, K]
  float* topk_weights;            // [T, K]
  RouterScores scores;            // of tokens whose experts are still to be chosen, or null
  GroupSizes sizes;
  Int4Shape gate;  // [I, H]
  Int4Shape down;  // [H, I]
  Activation activation;
  float* inner;   // [T * K, I]
  float* output;  // [T * K, H]; of few tokens: [T, H], to add to
  int top_k;
  UnitCounter* counters[2];  // of gate and up, where `done` blocks have ended, and of down
  MarkRound* round;          // of few tokens, with `inner`
  Int4Plan plan;
};

}  // namespace m2::cuda
