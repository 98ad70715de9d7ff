// Weight rows on their way from memory: a ring of stages in a block's shared memory.
//
// A stage is a tile of sixteen rows over up to 1,536 bytes of their columns: "upper" eight and
// "lower" eight rows, which may belong to different matrices, each row one bulk copy. Up to three
// warps ask for stages, in turns, as far ahead as the ring allows and across the units of rows of
// the block; twelve others multiply, each 128 bytes of every row. Measured on an H100 (one layer's
// gate and up, 64 experts): 0.94 of the read rate, where copies by the lanes themselves (cp.async)
// reach 0.87.
#pragma once

#include "cuda/bulk_copy.cuh"
#include "cuda/mma.cuh"

namespace m2::cuda {

constexpr int kStreamWarps = 12;  // that multiply
constexpr int kAskingWarps = 3;
constexpr int kStreamThreads = 32 * (kStreamWarps + kAskingWarps);
constexpr int kPieceBytes = 128;  // of a row, for one warp
constexpr int kStageRowBytes = kStreamWarps * kPieceBytes;
constexpr int kStagePitch = kStageRowBytes + 64;  // rows that are read together meet other banks
constexpr int kScaleBytes =
    kStreamWarps * static_cast<int>(sizeof(float));  // of F8, for half a tile
constexpr int kSlotBytes = kTileRows * kStagePitch + 2 * kScaleBytes;

/// Columns of a warp's piece of a row.
template <DType kType>
constexpr int kPieceCols = kType == DType::kF8E4M3 ? 128 : 64;

/// Whether a weight can be read by stages: whole pieces, 16-byte vectors, F8 scales of 128 columns.
inline bool fits_stream(const WeightView& weight) {
  const bool scaled = weight.dtype == DType::kF8E4M3;
  const auto aligned = [](const void* data) {
    return reinterpret_cast<std::uintptr_t>(data) % 16 == 0;
  };
  if (weight.dtype == DType::kF32 || !aligned(weight.data)) return false;
  if (!scaled) return weight.cols % kPieceCols<DType::kBF16> == 0;
  constexpr int kCols = kPieceCols<DType::kF8E4M3>;
  return weight.cols % (4 * kCols) == 0 && weight.block_cols == kCols &&
         weight.block_rows % kTileRows == 0 && aligned(weight.scale);
}

/// Sizes that all matrices of a launch share.
struct StreamShape {
  int rows;
  int cols;
  int row_bytes;   // from one row to the next
  int unit_bytes;  // of a row that a unit takes: all or half
  int block_rows;  // of the scales
  int scale_cols;

  /// Stages that a tile takes.
  [[nodiscard]] __host__ __device__ int stages() const {
    return (unit_bytes + kStageRowBytes - 1) / kStageRowBytes;
  }
};

/// For weights that fit.
inline StreamShape stream_shape(const WeightView& weight) {
  const auto row_bytes =
      static_cast<int>(weight.cols * static_cast<std::int64_t>(dtype_size(weight.dtype)));
  return {.rows = static_cast<int>(weight.rows),
          .cols = static_cast<int>(weight.cols),
          .row_bytes = row_bytes,
          .unit_bytes = row_bytes,
          .block_rows = static_cast<int>(weight.block_rows),
          .scale_cols = static_cast<int>(weight.scale_cols())};
}

/// Eight neighbouring rows of a matrix from some byte of them on; rows beyond its end stand for the
/// last one.
struct HalfTile {
  const void* data;    // [rows, cols]
  const float* scale;  // F8 only
  int first_row;
  int first_byte = 0;
};

/// What a lane of the asking warp copies: a row of the tile (lanes 0 to 15), or the scales of its
/// upper (16) or lower (17) half.
__device__ inline const char* lane_source(const StreamShape& shape, const HalfTile& upper,
                                          const HalfTile& lower) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  // By value: a chosen reference would put both halves into local memory.
  const bool is_upper = lane < 8 || lane == 16;
  const HalfTile own = {is_upper ? upper.data : lower.data, is_upper ? upper.scale : lower.scale,
                        is_upper ? upper.first_row : lower.first_row,
                        is_upper ? upper.first_byte : lower.first_byte};
  if (lane < kTileRows) {
    const int row = min(own.first_row + lane % 8, shape.rows - 1);
    return static_cast<const char*>(own.data) + std::int64_t{row} * shape.row_bytes +
           own.first_byte;
  }
  const int scale_row = min(own.first_row, shape.rows - 1) / shape.block_rows;
  return reinterpret_cast<const char*>(own.scale + scale_row * shape.scale_cols +
                                       own.first_byte / kPieceBytes);
}

/// A warp's piece of a stage as a lane multiplies it.
struct TilePiece {
  uint4 upper[2];
  uint4 lower[2];
  float upper_scale;
  float lower_scale;
};

/// Copies of the ring's state are at different stages in the asking warp and in each other.
template <DType kType>
class WeightRing {
 public:
  static constexpr bool kScaled = kType == DType::kF8E4M3;
  static constexpr int kMaxSlots = 8;
  static constexpr int kBarrierBytes = 2 * kMaxSlots * 8;

  __host__ __device__ static constexpr int num_bytes(int slots) {
    return kBarrierBytes + slots * kSlotBytes;
  }

  /// `shared` [num_bytes(slots)]; then a barrier of the block.
  __device__ WeightRing(const void* shared, int slots)
      : barriers_(shared_address(shared)), slots_(slots) {
    if (threadIdx.x != 0) return;
    for (int i = 0; i < slots; ++i) {
      init_barrier(barriers_ + i * 16, 1);
      init_barrier(barriers_ + i * 16 + 8, kStreamWarps);
    }
    fence_barriers();
  }

  /// By the asking warp: the next stage, `num_bytes` of every row from `first_byte` on.
  __device__ void push(const char* source, int first_byte, int num_bytes) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    await_phase(empty(), parity_ ^ 1);
    const int scale_bytes = num_bytes / kPieceBytes * static_cast<int>(sizeof(float));
    if (lane == 0) {
      arrive_expecting(full(), kTileRows * num_bytes + (kScaled ? 2 * scale_bytes : 0));
    }
    __syncwarp();
    if (lane < kTileRows) {
      copy_weights(slot() + lane * kStagePitch, source + first_byte, num_bytes, full());
    } else if (kScaled && lane < kTileRows + 2) {
      copy_bulk(scales() + (lane - kTileRows) * kScaleBytes,
                source + first_byte / kPieceBytes * sizeof(float), scale_bytes, full());
    }
    advance();
  }

  /// Leaves a number of stages to other asking warps.
  __device__ void skip(int stages) {
    for (int i = 0; i < stages; ++i) advance();
  }
  [[nodiscard]] __device__ int slots() const { return slots_; }

  /// By each of the other warps: waits for the next stage, calls use(piece) if it reaches to the
  /// warp's piece, and gives it back.
  template <typename Use>
  __device__ void pop(int num_bytes, const Use& use) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int warp = static_cast<int>(threadIdx.x) / 32;
    await_phase(full(), parity_);
    if (warp * kPieceBytes < num_bytes) use(load(warp, lane));
    __syncwarp();
    if (lane == 0) arrive(empty());
    advance();
  }

 private:
  [[nodiscard]] __device__ std::uint32_t full() const { return barriers_ + index_ * 16; }
  [[nodiscard]] __device__ std::uint32_t empty() const { return full() + 8; }
  [[nodiscard]] __device__ std::uint32_t slot() const {
    return barriers_ + kBarrierBytes + index_ * kSlotBytes;
  }
  [[nodiscard]] __device__ std::uint32_t scales() const { return slot() + kTileRows * kStagePitch; }

  __device__ TilePiece load(int warp, int lane) const {
    const std::uint32_t from = slot() + lane / 4 * kStagePitch + warp * kPieceBytes + lane % 4 * 16;
    TilePiece piece;
    piece.upper[0] = load_shared(from);
    piece.upper[1] = load_shared(from + 64);
    piece.lower[0] = load_shared(from + 8 * kStagePitch);
    piece.lower[1] = load_shared(from + 8 * kStagePitch + 64);
    if constexpr (kScaled) {
      asm volatile("ld.shared.f32 %0, [%1];"
                   : "=f"(piece.upper_scale)
                   : "r"(scales() + warp * 4)
                   : "memory");
      asm volatile("ld.shared.f32 %0, [%1];"
                   : "=f"(piece.lower_scale)
                   : "r"(scales() + kScaleBytes + warp * 4)
                   : "memory");
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

/// Of a unit's stage `stage`.
__device__ inline int stage_bytes(const StreamShape& shape, int stage) {
  return min(kStageRowBytes, shape.unit_bytes - stage * kStageRowBytes);
}

/// Units [begin, end).
struct Span {
  int begin;
  int end;
};

/// Share `index` of `count` of `things`.
__device__ inline Span share_of(std::int64_t things, int index, int count) {
  return {static_cast<int>(things * index / count), static_cast<int>(things * (index + 1) / count)};
}

/// Counts units in two digits: `inner` of them make an outer one.
struct UnitPosition {
  int outer;
  int inner;

  __device__ UnitPosition(int unit, int num_inner)
      : outer(unit / num_inner), inner(unit - outer * num_inner) {}
  __device__ void advance(int num_inner) {
    if (++inner < num_inner) return;
    inner = 0;
    ++outer;
  }
};

}  // namespace m2::cuda
