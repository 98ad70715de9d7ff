// Which experts few tokens go to, listed by one warp of a block.
//
// A pair is a token with an expert that it goes to, a group an expert with up to four of its
// tokens. Groups come in the order of their first pairs; the pairs of a group follow each other.
#pragma once

#include "cuda/expert_groups.cuh"
#include "cuda/int4_tokens.cuh"

namespace m2::cuda {

/// In a block's shared memory.
class Int4FewTokensGroups {
 public:
  static constexpr int kMostSlots = 64;
  static constexpr int kMostTokens = 2 * kSetTokens;
  static constexpr int kBytes = 4 * (4 * kMostSlots + 4) + kMostSlots * 12;

  /// Of memory that put() and list() use.
  __host__ __device__ static constexpr int mask_bytes(int num_experts) {
    return (num_experts * 8 + 15) / 16 * 16;
  }

  /// `shared` [kBytes] and `masks` [mask_bytes(E)], aligned to 16 bytes.
  __device__ Int4FewTokensGroups(char* shared, char* masks)
      : masks_(reinterpret_cast<uint2*>(masks)),
        ids_(reinterpret_cast<int*>(shared)),
        firsts_(ids_ + kMostSlots),
        slots_(firsts_ + kMostSlots),
        tokens_(slots_ + kMostSlots),
        num_tiles_(tokens_ + kMostSlots),
        tiles_(reinterpret_cast<ExpertTile*>(num_tiles_ + 4)) {}

  /// Before put(), with a barrier of the block between them.
  __device__ void clear(int expert) const { masks_[expert] = make_uint2(0, 0); }

  /// The expert of slot t * K + j.
  __device__ void put(int slot, int id) const {
    ids_[slot] = id;
    atomicOr(slot < 32 ? &masks_[id].x : &masks_[id].y, 1U << (slot % 32));
  }
  [[nodiscard]] __device__ int id(int slot) const { return ids_[slot]; }

  /// By one warp, when all are put: of up to kMostTokens tokens, which have an expert once.
  __device__ void list(int num_slots, int top_k) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const std::uint64_t same[2] = {slots_like(lane, num_slots), slots_like(lane + 32, num_slots)};
    int within[2];
    int count[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int slot = lane + 32 * i;
      within[i] = __popcll(same[i] & ((std::uint64_t{1} << slot) - 1));
      const bool leads = slot < num_slots && within[i] % kSetTokens == 0;
      count[i] = leads ? min(kSetTokens, __popcll(same[i]) - within[i]) : 0;
    }
    // Pairs and, in the upper half of a word, groups before those of a lane.
    std::uint32_t ends[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      ends[i] = count[i] == 0 ? 0 : kTile + static_cast<std::uint32_t>(count[i]);
#pragma unroll
      for (int step = 1; step < 32; step *= 2) {
        const std::uint32_t other = __shfl_up_sync(kAllLanes, ends[i], step);
        if (lane >= step) ends[i] += other;
      }
    }
    ends[1] += __shfl_sync(kAllLanes, ends[0], 31);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (count[i] == 0) continue;
      const int slot = lane + 32 * i;
      const std::uint32_t before = ends[i] - kTile - static_cast<std::uint32_t>(count[i]);
      firsts_[slot] = static_cast<int>(before % kTile);
      tiles_[before / kTile] = {ids_[slot], firsts_[slot], count[i]};
    }
    if (lane == 31) *num_tiles_ = static_cast<int>(ends[1] / kTile);
    __syncwarp();
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int slot = lane + 32 * i;
      if (slot >= num_slots) continue;
      const int pair = firsts_[leader(same[i], within[i])] + within[i] % kSetTokens;
      slots_[pair] = slot;
      tokens_[pair] = slot / top_k;
    }
    __syncwarp();
  }

  [[nodiscard]] __device__ int num_tiles() const { return *num_tiles_; }
  [[nodiscard]] __device__ ExpertTile tile(int group) const { return tiles_[group]; }
  [[nodiscard]] __device__ int slot(int pair) const { return slots_[pair]; }
  [[nodiscard]] __device__ int token(int pair) const { return tokens_[pair]; }

 private:
  static constexpr std::uint32_t kTile = 1U << 16U;

  // A bit for each slot with the expert of this one.
  [[nodiscard]] __device__ std::uint64_t slots_like(int slot, int num_slots) const {
    if (slot >= num_slots) return 0;
    const uint2 mask = masks_[ids_[slot]];
    return std::uint64_t{mask.y} << 32U | mask.x;
  }
  // The slot with the first pair of the group of the one that `within` others come before.
  __device__ static int leader(std::uint64_t same, int within) {
    if (within >= kSetTokens) {
#pragma unroll
      for (int i = 0; i < kSetTokens; ++i) same &= same - 1;
    }
    return __ffsll(static_cast<long long>(same)) - 1;
  }

  uint2* masks_;    // [E]: a bit for each slot
  int* ids_;        // [T * K]
  int* firsts_;     // [T * K]: the first pair of the slot's group, if it leads one
  int* slots_;      // [T * K]: of the pairs
  int* tokens_;     // likewise
  int* num_tiles_;  // [1]
  ExpertTile* tiles_;
};

}  // namespace m2::cuda
