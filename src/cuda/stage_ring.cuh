// A ring of stages in a block's shared memory: one warp asks for weights, as far ahead as the ring
// allows, twelve others multiply.
//
// Blocks claim units of work as they go: one that starts late, because its multiprocessor was still
// busy with the kernel before, takes fewer (measured on an H100: equal shares end 4 to 8 us apart).
#pragma once

#include "cuda/weight_ring.cuh"

namespace m2::cuda {

constexpr int kTileOfRows = 8;

/// Four bytes of shared memory.
__device__ inline int load_shared_int(std::uint32_t address) {
  int value;
  asm volatile("ld.shared.s32 %0, [%1];" : "=r"(value) : "r"(address) : "memory");
  return value;
}
__device__ inline float load_shared_float(std::uint32_t address) {
  return __int_as_float(load_shared_int(address));
}
__device__ inline void store_shared(std::uint32_t address, int value) {
  asm volatile("st.shared.s32 [%0], %1;" ::"r"(address), "r"(value) : "memory");
}

/// How the blocks of a launch share its units: each takes chunks side by side for most of its even
/// share, then claims single ones.
struct UnitShares {
  int* claimed;  // chunks: zero before and after
  int chunk;     // units
  float own;     // part of the even share

  /// Chunks of a block before it claims others.
  [[nodiscard]] __device__ int own_chunks(int num_units) const {
    const int chunks = (num_units + chunk - 1) / chunk;
    return max(1, static_cast<int>(own * static_cast<float>(chunks / static_cast<int>(gridDim.x))));
  }
};

/// Copies of the ring's state are at different stages in the asking warp and in the others.
class StageRing {
 public:
  static constexpr int kMaxSlots = 16;
  static constexpr int kAlignment = 128;
  static constexpr int kBarrierBytes = 2 * kMaxSlots * 8;
  static_assert(kBarrierBytes % kAlignment == 0);

  /// With the space for alignment; slots of a multiple of kAlignment bytes.
  __host__ __device__ static constexpr int num_bytes(int slots, int slot_bytes) {
    return kAlignment + kBarrierBytes + slots * slot_bytes;
  }

  /// `shared` [num_bytes(slots, slot_bytes)]; then a barrier of the block.
  __device__ StageRing(const void* shared, int slots, int slot_bytes)
      : barriers_((shared_address(shared) + kAlignment - 1) / kAlignment * kAlignment),
        slots_(slots),
        slot_bytes_(slot_bytes) {
    if (threadIdx.x != 0) return;
    for (int i = 0; i < slots; ++i) {
      init_barrier(barriers_ + i * 16, 1);
      init_barrier(barriers_ + i * 16 + 8, kStreamWarps);
    }
    fence_barriers();
  }

  /// By the asking warp: all units of the block in their order. prepare(unit) looks up what the
  /// chunk from `unit` on needs, ahead of its turn; push_unit(prepared, unit, last) asks for the
  /// stages of a unit, `last` where the block is known to have no other one after it.
  template <typename Prepare, typename PushUnit>
  __device__ static void ask(const UnitShares& shares, int num_units, const Prepare& prepare,
                             const PushUnit& push_unit) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int own = shares.own_chunks(num_units);
    const auto chunk_at = [&](int i) {  // what lane 0 finds counts
      if (i < own) return static_cast<int>(blockIdx.x) * own + i;
      const int claimed = lane == 0 ? atomicAdd(shares.claimed, 1) : 0;
      return static_cast<int>(gridDim.x) * own + claimed;
    };
    const auto prepare_chunk = [&](int chunk) {
      return prepare(max(0, min(chunk * shares.chunk, num_units - 1)));
    };
    const auto push_chunk = [&](int chunk, auto& prepared, bool last) {
      const int end = min((chunk + 1) * shares.chunk, num_units);
      for (int unit = chunk * shares.chunk; unit < end; ++unit) {
        push_unit(prepared, unit, last && unit == end - 1);
      }
    };
    // Two chunks are on their way while one is asked for: one to look up, one to claim.
    const int second = chunk_at(1);
    const int third = chunk_at(2);
    const int first = static_cast<int>(blockIdx.x) * own;
    auto prepared = prepare_chunk(first);
    push_chunk(first, prepared, false);
    int chunk = __shfl_sync(kAllLanes, second, 0);
    int next = __shfl_sync(kAllLanes, third, 0);
    prepared = prepare_chunk(chunk);
    for (int i = 3; chunk * shares.chunk < num_units; ++i) {
      const bool more = next * shares.chunk < num_units;
      const int after = more ? chunk_at(i) : next;
      auto prepared_next = prepare_chunk(next);
      push_chunk(chunk, prepared, !more);
      chunk = next;
      next = __shfl_sync(kAllLanes, after, 0);
      prepared = prepared_next;
    }
  }

  /// By the asking warp: the next stage. issue(slot, barrier) by all lanes: what lanes store into
  /// the slot before it returns, and copies of `num_bytes` in all that complete on the barrier.
  template <typename Store, typename Issue>
  __device__ void push(int num_bytes, const Store& store, const Issue& issue) {
    await_phase(empty(), parity_ ^ 1);
    store(slot());
    __syncwarp();
    if (threadIdx.x % 32 == 0) arrive_expecting(full(), num_bytes);
    __syncwarp();
    issue(slot(), full());
    advance();
  }
  /// A stage without copies.
  template <typename Store>
  __device__ void push(const Store& store) {
    await_phase(empty(), parity_ ^ 1);
    store(slot());
    __syncwarp();
    if (threadIdx.x % 32 == 0) arrive(full());
    advance();
  }

  /// By each of the other warps: the next stage's slot, when it is there.
  [[nodiscard]] __device__ std::uint32_t peek() const {
    await_phase(full(), parity_);
    return slot();
  }

  /// By each of the other warps: waits for the next stage, calls use(slot) and gives it back.
  template <typename Use>
  __device__ void pop(const Use& use) {
    await_phase(full(), parity_);
    pop_peeked(use);
  }
  /// The same for a stage that peek() has waited for.
  template <typename Use>
  __device__ void pop_peeked(const Use& use) {
    use(slot());
    __syncwarp();
    if (threadIdx.x % 32 == 0) arrive(empty());
    advance();
  }

 protected:
  [[nodiscard]] __device__ int slot_bytes() const { return slot_bytes_; }

 private:
  [[nodiscard]] __device__ std::uint32_t full() const { return barriers_ + index_ * 16; }
  [[nodiscard]] __device__ std::uint32_t empty() const { return full() + 8; }
  [[nodiscard]] __device__ std::uint32_t slot() const {
    return barriers_ + kBarrierBytes + index_ * slot_bytes_;
  }
  __device__ void advance() {
    if (++index_ < slots_) return;
    index_ = 0;
    parity_ ^= 1;
  }

  std::uint32_t barriers_;  // full and empty of each slot
  int slots_;
  int slot_bytes_;
  int index_ = 0;
  int parity_ = 0;
};

}  // namespace m2::cuda
