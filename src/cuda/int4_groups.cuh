// The experts of a few tokens, sorted inside a block: every block makes the same list.
#pragma once

#include "cuda/expert_groups.cuh"
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"

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

/// How many there are of what a launch sorts.
struct GroupSizes {
  int num_experts;
  int num_slots;  // T * K
  int tokens_per_tile;

  [[nodiscard]] __host__ __device__ int max_tiles() const {
    return (num_slots < num_experts ? num_slots : num_experts) + num_slots / tokens_per_tile;
  }
};

/// In a block's shared memory.
class BlockGroups {
 public:
  __host__ __device__ static int num_bytes(const GroupSizes& sizes) {
    const int ints = 1 + 3 * sizes.num_experts + 3 * sizes.num_slots + 3 * sizes.max_tiles();
    const int bytes = sizes.num_experts * static_cast<int>(sizeof(ExpertMatrices)) + ints * 4;
    return (bytes + 15) / 16 * 16;
  }

  /// `shared` [num_bytes(sizes)], aligned to 8 bytes.
  __device__ BlockGroups(char* shared, const GroupSizes& sizes)
      : sizes_(sizes),
        experts_(reinterpret_cast<ExpertMatrices*>(shared)),
        num_tiles_(reinterpret_cast<int*>(experts_ + sizes.num_experts)),
        counts_(num_tiles_ + 1),
        first_slots_(counts_ + sizes.num_experts),
        first_tiles_(first_slots_ + sizes.num_experts),
        ids_(first_tiles_ + sizes.num_experts),
        ranks_(ids_ + sizes.num_slots),
        sorted_slots_(ranks_ + sizes.num_slots),
        tiles_(reinterpret_cast<ExpertTile*>(sorted_slots_ + sizes.num_slots)) {}

  /// Before the kernels before are awaited; by all threads.
  __device__ void load(const ExpertPointers* experts) {
    for (int e = thread(); e < sizes_.num_experts; e += num_threads()) {
      experts_[e] = matrices_of(experts[e]);
      counts_[e] = 0;
    }
  }

  /// By all threads, with barriers of the block.
  __device__ void sort(const std::int32_t* topk_ids) {
    for (int i = thread(); i < sizes_.num_slots; i += num_threads()) ids_[i] = topk_ids[i];
    __syncthreads();
    if (thread() < 32) {
      rank_slots();
      add_up();
    }
    __syncthreads();
    list_tiles();
    __syncthreads();
  }

  [[nodiscard]] __device__ int num_tiles() const { return *num_tiles_; }
  [[nodiscard]] __device__ ExpertTile tile(int i) const { return tiles_[i]; }
  [[nodiscard]] __device__ int slot(int i) const { return sorted_slots_[i]; }
  [[nodiscard]] __device__ const ExpertMatrices& expert_of_tile(int i) const {
    return experts_[tiles_[i].expert];
  }

 private:
  __device__ static int thread() { return static_cast<int>(threadIdx.x); }
  __device__ static int num_threads() { return static_cast<int>(blockDim.x); }

  // Each slot's place among those of its expert, in order; by one warp.
  __device__ void rank_slots() {
    for (int first = 0; first < sizes_.num_slots; first += 32) {
      const int slot = first + thread();
      const int expert = slot < sizes_.num_slots ? ids_[slot] : -1;
      const unsigned same = __match_any_sync(kAllLanes, expert);
      const int before = expert < 0 ? 0 : counts_[expert];
      const int rank = __popc(same & ((1U << thread()) - 1U));
      __syncwarp();
      if (expert >= 0) {
        ranks_[slot] = before + rank;
        if (rank == 0) counts_[expert] = before + __popc(same);
      }
      __syncwarp();
    }
  }

  // Where each expert's slots and tiles begin; by one warp, whose lanes have neighbouring experts.
  __device__ void add_up() {
    const int own = (sizes_.num_experts + 31) / 32;
    const int first = thread() * own;
    const int end = min(first + own, sizes_.num_experts);
    int slots = 0;
    int tiles = 0;
    for (int e = first; e < end; ++e) {
      slots += counts_[e];
      tiles += tiles_of(e);
    }
    const int slot_end = inclusive_sum(slots);
    const int tile_end = inclusive_sum(tiles);
    slots = slot_end - slots;
    tiles = tile_end - tiles;
    for (int e = first; e < end; ++e) {
      first_slots_[e] = slots;
      first_tiles_[e] = tiles;
      slots += counts_[e];
      tiles += tiles_of(e);
    }
    if (thread() == 31) *num_tiles_ = tile_end;
  }

  __device__ void list_tiles() {
    for (int e = thread(); e < sizes_.num_experts; e += num_threads()) {
      ExpertTile* to = tiles_ + first_tiles_[e];
      for (int done = 0; done < counts_[e]; done += sizes_.tokens_per_tile) {
        *to++ = {e, first_slots_[e] + done, min(sizes_.tokens_per_tile, counts_[e] - done)};
      }
    }
    for (int i = thread(); i < sizes_.num_slots; i += num_threads()) {
      sorted_slots_[first_slots_[ids_[i]] + ranks_[i]] = i;
    }
  }

  [[nodiscard]] __device__ int tiles_of(int expert) const {
    return (counts_[expert] + sizes_.tokens_per_tile - 1) / sizes_.tokens_per_tile;
  }
  __device__ static int inclusive_sum(int value) {
    for (int step = 1; step < 32; step *= 2) {
      const int other = __shfl_up_sync(kAllLanes, value, step);
      if (thread() >= step) value += other;
    }
    return value;
  }

  GroupSizes sizes_;
  ExpertMatrices* experts_;  // [E]
  int* num_tiles_;           // [1]
  int* counts_;              // [E]: slots
  int* first_slots_;         // [E]
  int* first_tiles_;         // [E]
  int* ids_;                 // [T * K]
  int* ranks_;               // [T * K]
  int* sorted_slots_;        // [T * K]
  ExpertTile* tiles_;        // [max_tiles()]
};

}  // namespace m2::cuda
