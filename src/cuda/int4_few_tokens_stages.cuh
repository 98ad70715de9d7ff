// Stages of few tokens' int4 experts, and what a block's warps tell each other of them.
//
// A group is an expert with up to four of its tokens, a pair one of these tokens with the expert;
// the pairs of a group follow each other.
#pragma once

#include "cuda/int4_one_token_stages.cuh"

namespace m2::cuda {

/// What a stage holds.
struct Int4FewTokensStage {
  StageKind kind;
  int group;
  int first;  // of gate and up: the tile, -1 without weights; of down: the first of the block's
              // eights of rows
  int done;   // of gate and up: so many groups have no other tile in this block after it
};

/// What a block's warps tell each other of groups and pairs. Inner values of a pair lie in one of a
/// few entries, at least four for each stage of the ring: so the pair before in an entry was ready
/// when anybody waits for the next, and no barrier is two phases behind.
class PairBarriers {
 public:
  __host__ __device__ static int num_bytes(int groups, int entries) {
    return (8 * (groups + 2 * entries) + 127) / 128 * 128;
  }

  /// `shared` [num_bytes(groups, entries)], aligned to 8 bytes; then a barrier of the block.
  /// `readers` give an entry back.
  __device__ PairBarriers(const char* shared, int groups, int entries, int readers)
      : written_(shared_address(shared)), ready_(written_ + 8 * groups), entries_(entries) {
    const auto threads = static_cast<int>(blockDim.x);
    const auto thread = static_cast<int>(threadIdx.x);
    for (int i = thread; i < groups; i += threads) init_barrier(written(i), 1);
    for (int i = thread; i < entries; i += threads) {
      init_barrier(ready(i), 1);
      init_barrier(free(i), readers);
    }
    fence_barriers();
  }

  [[nodiscard]] __device__ int entry(int pair) const { return pair % entries_; }

  /// The block has written its inner values of the group.
  __device__ void set_written(int group) const { arrive(written(group)); }
  __device__ void await_written(int group) const { await_phase(written(group), 0); }
  /// Everybody's inner values of the pair are in its entry.
  __device__ void set_ready(int pair) const { arrive(ready(entry(pair))); }
  __device__ void await_ready(int pair) const {
    await_phase(ready(entry(pair)), pair / entries_ % 2);
  }
  /// Nobody reads the pair's entry any more.
  __device__ void set_free(int pair) const { arrive(free(entry(pair))); }
  /// Until the pair may have its entry.
  __device__ void await_free(int pair) const {
    await_phase(free(entry(pair)), pair / entries_ % 2 ^ 1);
  }

 private:
  [[nodiscard]] __device__ std::uint32_t written(int group) const { return written_ + group * 8; }
  [[nodiscard]] __device__ std::uint32_t ready(int entry) const { return ready_ + entry * 16; }
  [[nodiscard]] __device__ std::uint32_t free(int entry) const { return ready(entry) + 8; }

  std::uint32_t written_;
  std::uint32_t ready_;
  int entries_;
};

}  // namespace m2::cuda
