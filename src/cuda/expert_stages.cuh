// What an expert's weights are to the kernel over all formats (expert_stream.cuh): pairs of tiles
// of eight rows, which come in stages and meet the activations of a tile of slots.
#pragma once

#include "cuda/stage_ring.cuh"

namespace m2::cuda {

constexpr int kAddingWarps = 3;
constexpr int kExpertThreads = 32 * (kStreamWarps + 1 + kAddingWarps);

/// Two tiles of eight rows: of gate and up, of down, or of two experts.
struct TilePair {
  const char* tiles[2];
  const float* scales[2];  // F8 only

  /// By value: an index that is only known at run time would put the pair into local memory.
  [[nodiscard]] __device__ const char* tile(int i) const { return i == 0 ? tiles[0] : tiles[1]; }
  [[nodiscard]] __device__ const float* scale(int i) const {
    return i == 0 ? scales[0] : scales[1];
  }
};

/// What a stage belongs to.
struct alignas(16) UnitInfo {
  int tile;   // of slots; -1: no other unit follows
  int count;  // of its tokens
  int row;    // the first one; of the second kind of unit: ~row
  int last;   // 1 where the block has no other unit of its kind

  [[nodiscard]] __device__ bool is_end() const { return tile < 0; }
  [[nodiscard]] __device__ bool is_down() const { return row < 0; }
};

/// The end of a slot: scales of the stage, then what it belongs to.
struct StageTail {
  static constexpr int kMaxTokens = 16;
  static constexpr int kScaleBytes = 96;  // two tiles of 12 pieces or one of 24
  static constexpr int kBytes = 256;
  // Numbers after the scales: the unit's info, then the slots of its tokens.
  static constexpr int kFirstSlot = 4;
  static constexpr int kInts = kFirstSlot + kMaxTokens;

  std::uint32_t address;

  __device__ StageTail(std::uint32_t slot, int slot_bytes) : address(slot + slot_bytes - kBytes) {}

  [[nodiscard]] __device__ std::uint32_t scales() const { return address; }
  [[nodiscard]] __device__ int get(int i) const {
    return load_shared_int(address + kScaleBytes + 4 * i);
  }
  [[nodiscard]] __device__ UnitInfo unit() const {
    const uint4 info = load_shared(address + kScaleBytes);
    return {static_cast<int>(info.x), static_cast<int>(info.y), static_cast<int>(info.z),
            static_cast<int>(info.w)};
  }
  /// Slot of token `i` < kMaxTokens of the tile.
  [[nodiscard]] __device__ int slot(int i) const { return get(kFirstSlot + i); }

  /// By a warp.
  __device__ void set(const UnitInfo& unit, int slot_of_lane) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if (lane < kMaxTokens) store(kFirstSlot + lane, slot_of_lane);
    if (lane != 0) return;
    store(0, unit.tile);
    store(1, unit.count);
    store(2, unit.row);
    store(3, unit.last);
  }

 private:
  __device__ void store(int i, int value) const {
    store_shared(address + kScaleBytes + 4 * i, value);
  }
};

}  // namespace m2::cuda
