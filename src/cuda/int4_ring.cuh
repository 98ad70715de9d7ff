// int4 weights on their way from memory: a ring of stages in a block's shared memory.
//
// A stage holds up to twelve units (int4_layout.h) of an "upper" and of a "lower" eight rows, which
// may belong to different matrices: two bulk copies. One warp asks for stages as far ahead as the
// ring allows; twelve others multiply, each one unit of both.
#pragma once

#include "cuda/int4_operand.cuh"
#include "cuda/row_stream.cuh"

namespace m2::cuda {

/// Activations are f16, as F8 weights take them; so are the columns of a lane.
using Int4Tokens = TokenRows<DType::kF8E4M3>;
using Int4TokenPiece = TokenPiece<DType::kF8E4M3>;

/// One asking warp: a stage is two copies.
constexpr int kInt4Threads = 32 * (kStreamWarps + 1);

/// Sizes that all matrices of a launch share.
struct Int4Shape {
  int rows;
  int cols;

  [[nodiscard]] __host__ __device__ int units() const { return cols / kUnitColumns; }
  [[nodiscard]] __host__ __device__ int stages() const {
    return (units() + kStreamWarps - 1) / kStreamWarps;
  }
  /// Units of a stage.
  [[nodiscard]] __device__ int stage_units(int stage) const {
    return min(kStreamWarps, units() - stage * kStreamWarps);
  }
  /// Units that hold eight rows each; the last ones may be padding.
  [[nodiscard]] __host__ __device__ int row_units() const {
    return (rows + kUnitRows - 1) / kUnitRows;
  }
};

template <int kGroup>
struct Int4Piece {
  uint4 upper;
  uint4 lower;
  __half upper_scales[kGroup == 128 ? 1 : 2];
  __half lower_scales[kGroup == 128 ? 1 : 2];
};

/// Copies of the ring's state are at different stages in the asking warp and in each other.
template <int kGroup>
class Int4Ring {
 public:
  static constexpr int kMaxSlots = 8;
  static constexpr int kBarrierBytes = 2 * kMaxSlots * 8;
  static constexpr int kHalfBytes = kStreamWarps * kUnitBytes<kGroup>;

  __host__ __device__ static constexpr int num_bytes(int slots) {
    return kBarrierBytes + slots * 2 * kHalfBytes;
  }

  /// `shared` [num_bytes(slots)]; then a barrier of the block.
  __device__ Int4Ring(const void* shared, int slots)
      : barriers_(shared_address(shared)), slots_(slots) {
    if (threadIdx.x != 0) return;
    for (int i = 0; i < slots; ++i) {
      init_barrier(barriers_ + i * 16, 1);
      init_barrier(barriers_ + i * 16 + 8, kStreamWarps);
    }
    fence_barriers();
  }

  /// By the asking warp: all stages of eight rows of both matrices.
  __device__ void push(const Int4Shape& shape, const void* upper, const void* lower, int row_unit) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const auto* from = static_cast<const char*>(lane == 0 ? upper : lower) +
                       std::int64_t{row_unit} * shape.units() * kUnitBytes<kGroup>;
    for (int stage = 0; stage < shape.stages(); ++stage) {
      const int bytes = shape.stage_units(stage) * kUnitBytes<kGroup>;
      await_phase(empty(), parity_ ^ 1);
      if (lane == 0) arrive_expecting(full(), 2 * bytes);
      __syncwarp();
      if (lane < 2) copy_bulk(slot() + lane * kHalfBytes, from, bytes, full());
      from += bytes;
      advance();
    }
  }

  /// By each of the other warps: waits for the next stage, calls use(piece) if it has a unit for
  /// the warp, and gives it back.
  template <typename Use>
  __device__ void pop(int units, const Use& use) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    await_phase(full(), parity_);
    if (warp < units) use(load(warp, lane));
    __syncwarp();
    if (lane == 0) arrive(empty());
    advance();
  }

 private:
  [[nodiscard]] __device__ std::uint32_t full() const { return barriers_ + index_ * 16; }
  [[nodiscard]] __device__ std::uint32_t empty() const { return full() + 8; }
  [[nodiscard]] __device__ std::uint32_t slot() const {
    return barriers_ + kBarrierBytes + index_ * 2 * kHalfBytes;
  }

  __device__ static __half load_scale(std::uint32_t unit, int index) {
    unsigned short bits;
    asm volatile("ld.shared.u16 %0, [%1];"
                 : "=h"(bits)
                 : "r"(unit + kUnitWordBytes + index * 2)
                 : "memory");
    return __ushort_as_half(bits);
  }
  __device__ Int4Piece<kGroup> load(int warp, int lane) const {
    const std::uint32_t upper = slot() + warp * kUnitBytes<kGroup>;
    const std::uint32_t lower = upper + kHalfBytes;
    Int4Piece<kGroup> piece;
    piece.upper = load_shared(upper + lane * 16);
    piece.lower = load_shared(lower + lane * 16);
#pragma unroll
    for (int i = 0; i < (kGroup == 128 ? 1 : 2); ++i) {
      const int index = kGroup == 128 ? lane / 4 : scale_index_32(lane, 2 * i);
      piece.upper_scales[i] = load_scale(upper, index);
      piece.lower_scales[i] = load_scale(lower, index);
    }
    return piece;
  }

  __device__ void advance() {
    if (++index_ < slots_) return;
    index_ = 0;
    parity_ ^= 1;
  }

  std::uint32_t barriers_;  // full and empty of each slot
  int slots_;
  int index_ = 0;
  int parity_ = 0;
};

/// sums += sixteen rows times eight tokens over 128 columns.
template <int kGroup>
__device__ inline void multiply(const Int4Piece<kGroup>& rows, const Int4TokenPiece& tokens,
                                LaneSums& sums) {
  LaneSums products[2] = {};  // two chains hide each other's latency
  const std::uint32_t upper_words[4] = {rows.upper.x, rows.upper.y, rows.upper.z, rows.upper.w};
  const std::uint32_t lower_words[4] = {rows.lower.x, rows.lower.y, rows.lower.z, rows.lower.w};
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    std::uint32_t upper[4];
    std::uint32_t lower[4];
    expand_word(upper_words[w], upper);
    expand_word(lower_words[w], lower);
    if constexpr (kGroup == 32) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        upper[i] = scaled(upper[i], rows.upper_scales[w / 2]);
        lower[i] = scaled(lower[i], rows.lower_scales[w / 2]);
      }
    }
    const uint4& vector = tokens.parts[0][w];
    const std::uint32_t pairs[2][2] = {{vector.x, vector.y}, {vector.z, vector.w}};
#pragma unroll
    for (int step = 0; step < 2; ++step) {
      mma<false>(products[step], {{upper[2 * step], upper[2 * step + 1]}},
                 {{lower[2 * step], lower[2 * step + 1]}}, pairs[step]);
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float product = products[0][i] + products[1][i];
    if constexpr (kGroup == 128) {
      sums[i] += product * __half2float(i < 2 ? rows.upper_scales[0] : rows.lower_scales[0]);
    } else {
      sums[i] += product;
    }
  }
}

}  // namespace m2::cuda
