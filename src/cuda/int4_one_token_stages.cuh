// Stages of one token's int4 experts, and what a block's warps tell each other of its choices.
#pragma once

#include "cuda/one_token_ring.cuh"

namespace m2::cuda {

enum class StageKind : int { kGateUp, kDown, kRowsEnd, kEnd };

/// What a stage holds.
struct OneTokenStage {
  StageKind kind;
  int index;  // of gate and up: the tile, -1 without weights; of down: the choice; of the rows'
              // end: the team that had the first choice
  int done;   // of gate and up: so many choices have no other tile in this block after it
  int last;   // of gate and up or of all
};

/// What a block's warps tell each other of a token's choices, once.
class ChoiceBarriers {
 public:
  static constexpr int kMaxChoices = 32;
  static constexpr int kBytes = 2 * kMaxChoices * 8;

  /// `shared` [kBytes], aligned to 8 bytes; then a barrier of the block. `helpers` bring each
  /// choice.
  __device__ ChoiceBarriers(const char* shared, int count, int helpers)
      : barriers_(shared_address(shared)) {
    if (threadIdx.x != 0) return;
    for (int choice = 0; choice < count; ++choice) {
      init_barrier(ready(choice), helpers);
      init_barrier(written(choice), 1);
    }
    fence_barriers();
  }

  /// The block has written its inner values of the choice.
  __device__ void set_written(int choice) const { arrive(written(choice)); }
  __device__ void await_written(int choice) const { await_phase(written(choice), 0); }
  /// Everybody's are there as operands.
  __device__ void add_ready(int choice) const { arrive(ready(choice)); }
  __device__ void await_ready(int choice) const { await_phase(ready(choice), 0); }

 private:
  [[nodiscard]] __device__ std::uint32_t ready(int choice) const { return barriers_ + choice * 16; }
  [[nodiscard]] __device__ std::uint32_t written(int choice) const { return ready(choice) + 8; }

  std::uint32_t barriers_;
};

}  // namespace m2::cuda
