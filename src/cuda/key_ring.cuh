// Keys and values on their way from a cache into a block's shared memory: one warp asks, eight
// others multiply, so that no registers wait for memory.
//
// A slot holds 128 keys, or their values, as four runs of 32: a copy each where a block of the
// cache has as many. Large contiguous copies come fastest (H200, 128k keys in BF16, copies alone:
// 124 us with 4 KB each, 138 with 2 KB, 131 with boxes of a tensor map). Runs start 32 bytes
// further in the banks than the one before, and the keys of an mma come from all of them: lanes
// that read together meet different banks.
#pragma once

#include <climits>

#include "cuda/bulk_copy.cuh"
#include "cuda/key_products.cuh"

namespace m2::cuda {

constexpr int kKeyWarps = 8;  // that multiply, each sixteen keys of a slot

/// Groups [begin, end) of 128 keys.
struct KeyGroups {
  int begin;
  int end;
};

/// Where the keys of a slot are.
template <DType kType, int kHeadDim>
struct KeySlot {
  static constexpr int kRowBytes = kHeadDim * (kType == DType::kF8E4M3 ? 1 : 2);
  static constexpr int kRuns = 4;
  static constexpr int kRunKeys = 32;
  static constexpr int kGroupKeys = kRuns * kRunKeys;
  static constexpr int kRunPitch = kRunKeys * kRowBytes + 32;
  static constexpr int kBytes = kRuns * kRunPitch;
  static_assert(kGroupKeys == kKeyWarps * kKeys);

  /// Row `row` of eight of half `half` of a warp's mma.
  struct Place {
    int run;
    int key;  // of the run
  };
  __device__ static Place place(int warp, int row, int half) {
    return {(row / 2 + row % 2 * 2) % kRuns, warp * 4 + row % 2 + half * 2};
  }
  __device__ static int key(int warp, int row, int half) {
    const Place at = place(warp, row, half);
    return at.run * kRunKeys + at.key;
  }
  __device__ static int byte(int warp, int row, int half) {
    const Place at = place(warp, row, half);
    return at.run * kRunPitch + at.key * kRowBytes;
  }
};

/// Copies of the ring's state are at different slots in the asking warp and in the others.
template <DType kType, int kHeadDim>
class KeyRing {
 public:
  using Slot = KeySlot<kType, kHeadDim>;
  static constexpr int kSlots = 193 * 1024 / Slot::kBytes;
  static constexpr int kNumBytes = kSlots * Slot::kBytes;

  /// `slots` [kNumBytes], aligned to 16 bytes; `barriers` [2 kSlots].
  __device__ KeyRing(const void* slots, const std::uint64_t* barriers)
      : slots_(shared_address(slots)), barriers_(shared_address(barriers)) {}

  /// By one thread; before a barrier of the block, and before it asks.
  __device__ void init() const {
    for (int i = 0; i < kSlots; ++i) {
      init_barrier(barriers_ + i * 16, 1);
      init_barrier(barriers_ + i * 16 + 8, kKeyWarps);
    }
    fence_barriers();
  }

  /// By the asking warp: the next slot, `bytes` of every lane that has some. Waits until it is
  /// free.
  __device__ void push(const char* from, int place, int bytes) {
    await_phase(empty(), parity_ ^ 1);
    if (threadIdx.x % 32 == 0) arrive_expecting(full(), Slot::kGroupKeys * Slot::kRowBytes);
    __syncwarp();
    if (bytes > 0) copy_bulk(slot() + place, from, bytes, full());
    advance();
  }

  /// By each of the other warps: use(slot) reads the next one.
  template <typename Use>
  __device__ void pop(const Use& use) {
    await_phase(full(), parity_);
    use(slot());
    __syncwarp();
    if (threadIdx.x % 32 == 0) arrive(empty());
    advance();
  }

 private:
  [[nodiscard]] __device__ std::uint32_t full() const { return barriers_ + index_ * 16; }
  [[nodiscard]] __device__ std::uint32_t empty() const { return full() + 8; }
  [[nodiscard]] __device__ std::uint32_t slot() const { return slots_ + index_ * Slot::kBytes; }
  __device__ void advance() {
    if (++index_ < kSlots) return;
    index_ = 0;
    parity_ ^= 1;
  }

  std::uint32_t slots_;
  std::uint32_t barriers_;  // full and empty of each
  int index_ = 0;
  int parity_ = 0;
};

/// The warp that asks: the keys of a group, then its values, and so on.
template <DType kType, int kHeadDim>
class KeyAsker {
 public:
  using Ring = KeyRing<kType, kHeadDim>;
  using Slot = typename Ring::Slot;

  /// No key counts from `end` on.
  __device__ KeyAsker(const AttentionView& args, const Tile& tile, const KeyGroups& groups, int end,
                      const Ring& ring)
      : args_(args),
        tile_(tile),
        groups_(groups),
        end_(end),
        copy_keys_(args.block_size % Slot::kRunKeys == 0 ? Slot::kRunKeys : kKeys),
        ring_(ring) {
    if (lane() == 0) ring_.init();
    __syncwarp();
    row_ = find_row(groups.begin);
  }

  /// What fits into a ring that nobody reads yet, as far as it ends at or before key `limit`.
  __device__ void begin(int limit) {
    while (asked_ < Ring::kSlots / 2 && next_end() <= min(limit, groups_.end * Slot::kGroupKeys)) {
      ask();
    }
  }
  __device__ void finish() {
    while (groups_.begin + asked_ < groups_.end) ask();
  }

 private:
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  [[nodiscard]] __device__ int next_end() const {
    return (groups_.begin + asked_ + 1) * Slot::kGroupKeys;
  }

  // Of the lane's copy of a group; copies that no row sees repeat the last one.
  [[nodiscard]] __device__ std::int64_t find_row(int group) const {
    const int key = group * Slot::kGroupKeys + lane() * copy_keys_;
    if (group >= groups_.end || lane() * copy_keys_ >= Slot::kGroupKeys) return 0;
    return args_.cache_row(tile_.sequence, tile_.kv_head,
                           min(key, (end_ - 1) / copy_keys_ * copy_keys_));
  }

  // For the next group.
  __device__ void ask() {
    const std::int64_t row = row_;
    ++asked_;
    row_ = find_row(groups_.begin + asked_);
    const int key = lane() * copy_keys_;
    const int place =
        key / Slot::kRunKeys * Slot::kRunPitch + key % Slot::kRunKeys * Slot::kRowBytes;
    const int bytes = key < Slot::kGroupKeys ? copy_keys_ * Slot::kRowBytes : 0;
    ring_.push(static_cast<const char*>(args_.keys) + row * Slot::kRowBytes, place, bytes);
    ring_.push(static_cast<const char*>(args_.values) + row * Slot::kRowBytes, place, bytes);
  }

  const AttentionView& args_;
  const Tile& tile_;
  const KeyGroups groups_;
  const int end_;
  const int copy_keys_;  // keys of a copy: they lie in one block of the cache
  Ring ring_;
  std::int64_t row_;  // of the cache, of the lane's copy of the next group
  int asked_ = 0;     // groups
};

}  // namespace m2::cuda
