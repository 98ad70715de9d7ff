// The tokens of a small batch by the expert that they go to, sorted inside a block: every block
// makes the same list for itself, which takes less than to wait for a kernel that sorts.
#pragma once

#include "cuda/choose_experts.cuh"
#include "cuda/expert_groups.cuh"

namespace m2::cuda {

/// How many there are of what a launch sorts.
struct GroupSizes {
  int num_experts;
  int num_slots;  // T * K, below 65,536
  int tokens_per_tile;

  [[nodiscard]] __host__ __device__ int max_tiles() const {
    return (num_slots < num_experts ? num_slots : num_experts) + num_slots / tokens_per_tile;
  }
  [[nodiscard]] __host__ __device__ int slot_words() const { return (num_slots + 31) / 32; }
  [[nodiscard]] __host__ __device__ int expert_words() const { return (num_experts + 31) / 32; }
};

/// In a block's shared memory.
class BlockGroups {
 public:
  __host__ __device__ static int num_bytes(const GroupSizes& sizes) {
    return rounded(4 + sizes.max_tiles() * static_cast<int>(sizeof(ExpertTile)) +
                   sizes.num_slots * 2);
  }
  /// Of memory that sort() uses.
  __host__ __device__ static int sorting_bytes(const GroupSizes& sizes) {
    return rounded(4 * (sizes.slot_words() * sizes.num_experts + sizes.num_slots +
                        sizes.num_experts + sizes.expert_words()));
  }

  /// `shared` [num_bytes(sizes)] and `sorting` [sorting_bytes(sizes)], aligned to 4 bytes.
  __device__ BlockGroups(char* shared, char* sorting, const GroupSizes& sizes)
      : sizes_(sizes),
        num_tiles_(reinterpret_cast<int*>(shared)),
        tiles_(reinterpret_cast<ExpertTile*>(num_tiles_ + 1)),
        sorted_slots_(reinterpret_cast<std::uint16_t*>(tiles_ + sizes.max_tiles())),
        masks_(reinterpret_cast<unsigned*>(sorting)),
        ids_(reinterpret_cast<int*>(masks_ + sizes.slot_words() * sizes.num_experts)),
        firsts_(reinterpret_cast<std::uint32_t*>(ids_ + sizes.num_slots)),
        totals_(firsts_ + sizes.num_experts) {}

  /// Before sort(), with a barrier of the block between them; by all threads.
  __device__ void clear() {
    for (int i = thread(); i < sizes_.slot_words() * sizes_.num_experts; i += num_threads()) {
      masks_[i] = 0;
    }
  }

  /// By all threads, with barriers of the block: groups the experts that `scores` choose, or, where
  /// they are null, those of topk_ids [T, K].
  __device__ void sort(const RouterScores& scores, const std::int32_t* topk_ids, int top_k) {
    if (scores.ranks == nullptr) {
      for (int i = thread(); i < sizes_.num_slots; i += num_threads()) put(i, __ldcg(topk_ids + i));
    } else {
      for (int token = thread() / 32; token * top_k < sizes_.num_slots;
           token += num_threads() / 32) {
        const int id = choose_expert(scores, token, top_k);
        if (lane() < top_k) put(token * top_k + lane(), id);
      }
    }
    __syncthreads();
    add_up();
    __syncthreads();
    for (int e = thread(); e < sizes_.num_experts; e += num_threads()) list_tiles(e);
    for (int i = thread(); i < sizes_.num_slots; i += num_threads()) list_slot(i);
    __syncthreads();
  }

  [[nodiscard]] __device__ int num_tiles() const { return *num_tiles_; }
  [[nodiscard]] __device__ ExpertTile tile(int i) const { return tiles_[i]; }
  [[nodiscard]] __device__ int slot(int i) const { return sorted_slots_[i]; }

 private:
  // Slots and tiles are added up together, the tiles in the upper half of a word.
  static constexpr std::uint32_t kTile = 1U << 16U;

  __host__ __device__ static constexpr int rounded(int num_bytes) {
    return (num_bytes + 15) / 16 * 16;
  }
  __device__ static int thread() { return static_cast<int>(threadIdx.x); }
  __device__ static int num_threads() { return static_cast<int>(blockDim.x); }
  __device__ static int lane() { return thread() % 32; }

  __device__ unsigned& mask(int word, int expert) const {
    return masks_[word * sizes_.num_experts + expert];
  }
  // A bit a slot: the same whoever comes first.
  __device__ void put(int slot, int expert) const {
    ids_[slot] = expert;
    atomicOr(&mask(slot / 32, expert), 1U << (slot % 32));
  }
  // Slots below `end` that go to the expert.
  [[nodiscard]] __device__ int count_of(int expert, int end) const {
    int count = 0;
#pragma unroll 4  // on their way together
    for (int word = 0; word < end / 32; ++word) count += __popc(mask(word, expert));
    if (end % 32 == 0) return count;
    return count + __popc(mask(end / 32, expert) & ((1U << (end % 32)) - 1U));
  }

  // Where each expert's slots and tiles begin among those of 32 experts, which a warp has.
  __device__ void add_up() const {
    for (int first = thread() / 32 * 32; first < sizes_.num_experts; first += num_threads()) {
      const int e = first + lane();
      const int count = e < sizes_.num_experts ? count_of(e, sizes_.num_slots) : 0;
      const int tiles = (count + sizes_.tokens_per_tile - 1) / sizes_.tokens_per_tile;
      const std::uint32_t own = static_cast<std::uint32_t>(tiles) * kTile + count;
      std::uint32_t end = own;
#pragma unroll
      for (int step = 1; step < 32; step *= 2) {
        const std::uint32_t other = __shfl_up_sync(kAllLanes, end, step);
        if (lane() >= step) end += other;
      }
      if (e < sizes_.num_experts) firsts_[e] = end - own;
      if (lane() == 31) totals_[first / 32] = end;
    }
  }
  [[nodiscard]] __device__ std::uint32_t first_of(int expert) const {
    std::uint32_t first = firsts_[expert];
    for (int i = 0; i < expert / 32; ++i) first += totals_[i];
    return first;
  }

  __device__ void list_tiles(int expert) const {
    const std::uint32_t first = first_of(expert);
    const auto first_slot = static_cast<int>(first % kTile);
    const int count = count_of(expert, sizes_.num_slots);
    ExpertTile* to = tiles_ + first / kTile;
    for (int done = 0; done < count; done += sizes_.tokens_per_tile) {
      *to++ = {expert, first_slot + done, min(sizes_.tokens_per_tile, count - done)};
    }
    if (expert == sizes_.num_experts - 1) *num_tiles_ = static_cast<int>(to - tiles_);
  }
  __device__ void list_slot(int slot) const {
    const int expert = ids_[slot];
    sorted_slots_[first_of(expert) % kTile + count_of(expert, slot)] =
        static_cast<std::uint16_t>(slot);
  }

  GroupSizes sizes_;
  int* num_tiles_;               // [1]
  ExpertTile* tiles_;            // [max_tiles()]
  std::uint16_t* sorted_slots_;  // [T * K]: those of an expert side by side, in their order
  // While sorting.
  unsigned* masks_;        // [T * K / 32, E]: the slots of an expert
  int* ids_;               // [T * K]
  std::uint32_t* firsts_;  // [E]
  std::uint32_t* totals_;  // [E / 32]
};

/// sort(), not inlined: the loops of a kernel keep their registers.
__device__ __noinline__ inline void sort_groups(BlockGroups groups, RouterScores scores,
                                                const std::int32_t* topk_ids, int top_k) {
  groups.sort(scores, topk_ids, top_k);
}

/// By one warp of every block: writes out what sort() has chosen by scores, each token by one
/// block.
__device__ inline void write_choices(const RouterScores& scores, int num_tokens, int top_k,
                                     std::int32_t* topk_ids,  // [T, K]
                                     float* topk_weights) {   // [T, K]
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (auto token = static_cast<int>(blockIdx.x); token < num_tokens;
       token += static_cast<int>(gridDim.x)) {
    const std::int32_t id = choose_expert(scores, token, top_k);
    const float weight = weight_of_choice(scores, token, id, top_k);
    if (lane >= top_k) continue;
    topk_ids[token * top_k + lane] = id;
    topk_weights[token * top_k + lane] = weight;
  }
}

}  // namespace m2::cuda
