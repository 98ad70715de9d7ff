// The experts of up to 32 slots, and the tokens of each. A slot is a (token, choice) pair, token *
// K + choice; a warp has one in each lane, so that it sorts them without memory.
#pragma once

#include "cuda/bulk_copy.cuh"
#include "cuda/numeric.cuh"

namespace m2::cuda {

/// In a block's shared memory. Experts are in the order of the first slots that go to them: those
/// of the first token come first, in its order.
class SlotGroups {
 public:
  static constexpr int kMostSlots = 32;
  static constexpr int kMostTokens = 4;
  static constexpr int kBytes = 1024;

  /// `shared` [kBytes], aligned to 16 bytes; by all threads, then a barrier of the block.
  __device__ SlotGroups(char* shared, int num_tokens, int top_k)
      : memory_(reinterpret_cast<Memory*>(shared)), num_tokens_(num_tokens), top_k_(top_k) {
    const auto thread = static_cast<int>(threadIdx.x);
    if (thread < kMostSlots * kMostTokens) memory_->slots[thread] = -1;
    if (thread != 0) return;
    init_barrier(chosen(), num_tokens);
    init_barrier(grouped(), 1);
    fence_barriers();
  }

  [[nodiscard]] __device__ int num_slots() const { return num_tokens_ * top_k_; }

  /// By one warp for each token, whose experts its lanes have.
  __device__ void put(int token, std::int32_t id) const {
    if (lane() < top_k_) memory_->ids[token * top_k_ + lane()] = id;
    __syncwarp();
    if (lane() == 0) arrive(chosen());
  }
  /// By one warp.
  __device__ void group() const {
    await_phase(chosen(), 0);
    const std::int32_t id = memory_->ids[min(lane(), num_slots() - 1)];
    const bool used = lane() < num_slots();
    const int token = lane() / top_k_;
    // A token that names an expert twice has two groups of it.
    const unsigned before = (1U << lane()) - 1U;
    const unsigned own = before & ~((1U << (token * top_k_)) - 1U);
    const int rank = __popc(__match_any_sync(kAllLanes, used ? id : -1) & own);
    const unsigned same = __match_any_sync(kAllLanes, used ? id * kMostSlots + rank : -1);
    const int first = __ffs(static_cast<int>(same)) - 1;
    const unsigned firsts = __ballot_sync(kAllLanes, used && first == lane());
    const int group = __popc(firsts & ((1U << first) - 1U));
    if (used) {
      memory_->slots[group * kMostTokens + token] = static_cast<std::int8_t>(lane());
      if (first == lane()) memory_->experts[group] = id;
    }
    if (lane() == 0) memory_->count = __popc(firsts);
    __syncwarp();
    if (lane() == 0) arrive(grouped());
  }

  /// By all that use what follows.
  __device__ void await() const { await_phase(grouped(), 0); }
  [[nodiscard]] __device__ int count() const { return memory_->count; }
  [[nodiscard]] __device__ std::int32_t expert(int group) const { return memory_->experts[group]; }
  [[nodiscard]] __device__ std::int32_t expert_of_slot(int slot) const {
    return memory_->ids[slot];
  }
  /// -1: the token does not go to the group's expert, or there is no such group.
  [[nodiscard]] __device__ int slot(int group, int token) const {
    return memory_->slots[group * kMostTokens + token];
  }
  /// Of slots: for those that share them to write.
  [[nodiscard]] __device__ float* weights() const { return memory_->weights; }

 private:
  struct Memory {
    std::uint64_t barriers[2];
    std::int32_t count;
    std::int32_t ids[kMostSlots];
    std::int32_t experts[kMostSlots];  // of groups
    float weights[kMostSlots];
    std::int8_t slots[kMostSlots * kMostTokens];  // [groups, tokens]
  };
  static_assert(sizeof(Memory) <= kBytes);

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  [[nodiscard]] __device__ std::uint32_t chosen() const {
    return shared_address(memory_->barriers);
  }
  [[nodiscard]] __device__ std::uint32_t grouped() const { return chosen() + 8; }

  Memory* memory_;
  int num_tokens_;
  int top_k_;
};

}  // namespace m2::cuda
