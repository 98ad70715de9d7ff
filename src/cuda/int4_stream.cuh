// int4 weights on their way from memory to the sums of a few tokens.
//
// A warp takes tiles of sixteen rows, over all their columns, and has a ring of stages of its own
// in shared memory: a stage is up to six units (int4_layout.h) of an "upper" and as many of a
// "lower" eight rows, two bulk copies. It asks for a stage again as soon as it has used one, so
// that the ring is always full and no warp waits for another. Measured on an H200 (gate and up of
// 222 experts): without the products stages of two, four and six units arrive at 0.78, 0.87 and
// 0.90 of the read rate.
#pragma once

#include "cuda/int4_products.cuh"

namespace m2::cuda {

/// Sizes that all matrices of a launch share.
struct Int4Shape {
  int rows;
  int cols;

  [[nodiscard]] __host__ __device__ constexpr int units() const { return cols / kUnitColumns; }
  /// Of eight rows, which lie side by side.
  template <int kGroup>
  [[nodiscard]] __host__ __device__ constexpr int eight_rows() const {
    return units() * kUnitBytes<kGroup>;
  }
};

/// A tile of sixteen rows: where it has its upper and its lower eight.
struct Int4Tile {
  const char* upper;
  const char* lower;
  int units;  // of a row
};

template <int kGroup, int kWarps, int kStageUnits, int kUnroll>
class Int4Stream {
 public:
  static constexpr int kHalfBytes = kStageUnits * kUnitBytes<kGroup>;
  static constexpr int kMaxSlots = 8;
  static constexpr int kBarrierBytes = kWarps * kMaxSlots * 8;

  __host__ __device__ static constexpr int num_bytes(int slots) {
    return kBarrierBytes + kWarps * slots * 2 * kHalfBytes;
  }

  /// `shared` [num_bytes(slots)], aligned to 16 bytes.
  __device__ Int4Stream(char* shared, int slots)
      : barriers_(shared_address(shared) + warp() * kMaxSlots * 8),
        ring_(shared_address(shared) + kBarrierBytes + warp() * slots * 2 * kHalfBytes),
        slots_(slots),
        free_(slots) {
    if (lane() == 0) {
#pragma unroll 1
      for (int i = 0; i < slots_; ++i) init_barrier(barriers_ + i * 8, 1);
      fence_barriers();
    }
    __syncwarp();
  }

  /// Asks for as many stages as there is room for. next(tile) sets the tile that follows the last
  /// one, and returns false where there is none (yet).
  template <typename Next>
  __device__ void ask(const Next& next) {
    while (free_ > 0) {
      if (asking_.units == 0 && !next(asking_)) return;
      ask_stage();
    }
  }

  /// sums[half][set] += the warp's next tile, of rows of `units`, times operands_of(set, unit).
  template <int kSets, typename Next, typename OperandsOf>
  __device__ void multiply(int units, const Next& next, const OperandsOf& operands_of,
                           float (&sums)[2][kSets]) {
    for (int first = 0; first < units; first += kStageUnits) {
      await_phase(barriers_ + slot_ * 8, parity_);
      const std::uint32_t stage = ring_ + slot_ * 2 * kHalfBytes;
      const int count = min(kStageUnits, units - first);
      constexpr int kTogether = kSets == 1 ? kUnroll : kSets == 2 ? 2 : 1;
      int i = 0;
#pragma unroll 1
      for (; i + kTogether <= count; i += kTogether) {
        multiply_units<kTogether>(stage, i, first, operands_of, sums);
      }
#pragma unroll 1
      for (; i < count; ++i) multiply_units<1>(stage, i, first, operands_of, sums);
      __syncwarp();
      ++free_;
      if (++slot_ == slots_) {
        slot_ = 0;
        parity_ ^= 1;
      }
      ask(next);
    }
  }

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }

 private:
  // Units `begin` .. of a stage, whose first one is `first` of its rows.
  template <int kCount, int kSets, typename OperandsOf>
  __device__ static void multiply_units(std::uint32_t stage, int begin, int first,
                                        const OperandsOf& operands_of, float (&sums)[2][kSets]) {
    UnitPair<kGroup> pairs[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const std::uint32_t upper = stage + (begin + i) * kUnitBytes<kGroup>;
      pairs[i].load(upper, upper + kHalfBytes);
    }
#pragma unroll
    for (int set = 0; set < kSets; ++set) {
      SetOperands tokens[kCount];
#pragma unroll
      for (int i = 0; i < kCount; ++i) tokens[i] = operands_of(set, first + begin + i);
      UnitPair<kGroup>::multiply(pairs, tokens,
                                 [&](int, int half, float product) { sums[half][set] += product; });
    }
  }

  __device__ void ask_stage() {
    const int units = min(kStageUnits, asking_.units);
    const int bytes = units * kUnitBytes<kGroup>;
    if (lane() == 0) {
      const std::uint32_t barrier = barriers_ + ask_slot_ * 8;
      const std::uint32_t to = ring_ + ask_slot_ * 2 * kHalfBytes;
      arrive_expecting(barrier, 2 * bytes);
      copy_weights(to, asking_.upper, bytes, barrier);
      copy_weights(to + kHalfBytes, asking_.lower, bytes, barrier);
    }
    asking_ = {asking_.upper + bytes, asking_.lower + bytes, asking_.units - units};
    --free_;
    if (++ask_slot_ == slots_) ask_slot_ = 0;
  }

  std::uint32_t barriers_;  // of this warp: full, for each slot
  std::uint32_t ring_;      // [slots, 2, kHalfBytes] of this warp
  int slots_;
  int free_;  // that nothing is asked into
  // What is asked for next.
  Int4Tile asking_ = {};  // the rest of a tile
  int ask_slot_ = 0;
  // What is used next.
  int slot_ = 0;
  int parity_ = 0;
};

}  // namespace m2::cuda
