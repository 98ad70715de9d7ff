// Weight rows for a few tokens on their way from memory, through the ring of a block.
//
// A stage is a tile of eight neighbouring rows, or two of them, over up to 3,072 bytes of their
// columns. Where that is all of their columns it is one bulk copy, else one for each row. One warp
// asks for stages, as far ahead as the ring allows; twelve others multiply, each one or two pieces
// of 128 bytes of every row. The rows of a stage meet the same banks, so lanes of odd rows read the
// halves of a piece in the other order.
#pragma once

#include "cuda/stage_ring.cuh"

namespace m2::cuda {

constexpr int kRowThreads = 32 * (kStreamWarps + 1);
constexpr int kWidestStage = 2 * kStageRowBytes;  // bytes of a row
constexpr int kStagePieces = kWidestStage / kPieceBytes;
constexpr int kPiecesOfWarp = kStagePieces / kStreamWarps;  // in a stage

/// Pieces of a row that a warp multiplies: 1, 2 or 4; 0 where rows are wider.
inline int pieces_of_warp(const StreamShape& shape) {
  const int pieces = (shape.row_bytes + kStageRowBytes - 1) / kStageRowBytes;
  return pieces <= 2 ? pieces : pieces <= 4 ? 4 : 0;
}

/// Calls body(integral_constant) of 1, 2 or 4.
template <typename Body>
void for_pieces(int pieces, const Body& body) {
  if (pieces == 1) return body(std::integral_constant<int, 1>());
  if (pieces == 2) return body(std::integral_constant<int, 2>());
  body(std::integral_constant<int, 4>());
}

/// What one stage copies.
struct RowStage {
  const char* data;
  const float* scale;  // F8 only
  int rows;            // up to two tiles
  int width;           // bytes of each
};

/// Width of stage `stage` of a row.
__device__ inline int stage_width(const StreamShape& shape, int stage) {
  return min(kWidestStage, shape.row_bytes - stage * kWidestStage);
}

/// `rows` rows from `first_row` on, fewer at the end of the matrix.
__device__ inline RowStage row_stage(const StreamShape& shape, const void* data, const float* scale,
                                     int first_row, int rows, int stage) {
  return {static_cast<const char*>(data) + std::int64_t{first_row} * shape.row_bytes +
              stage * kWidestStage,
          scale + first_row / shape.block_rows * shape.scale_cols + stage * kStagePieces,
          min(rows, shape.rows - first_row), stage_width(shape, stage)};
}

/// What the blocks of a launch share: zero before and after. Launches that may overlap have
/// different ones.
struct UnitCounter {
  int claimed;
  int done;  // blocks
};

/// Eight rows' share of a piece as a lane multiplies it: row lane / 4.
struct RowPiece {
  uint4 vectors[2];
  float scale;
};

/// A lane's share of piece `piece` of the eight rows that lie from `tile` on in shared memory,
/// `width` bytes each.
__device__ inline void load_row_piece(std::uint32_t tile, int width, int piece,
                                      uint4 (&vectors)[2]) {
  const auto choose = [](bool first, const uint4& a, const uint4& b) -> uint4 {
    return {first ? a.x : b.x, first ? a.y : b.y, first ? a.z : b.z, first ? a.w : b.w};
  };
  const int row = static_cast<int>(threadIdx.x) % 32 / 4;
  const bool odd = row % 2 != 0;
  const std::uint32_t from =
      tile + row * width + piece * kPieceBytes + threadIdx.x % 4 * 16 + (odd ? 64 : 0);
  const uint4 first = load_shared(from);
  const uint4 second = load_shared(odd ? from - 64 : from + 64);
  vectors[0] = choose(odd, second, first);
  vectors[1] = choose(odd, first, second);
}

template <DType kType>
class RowRing : public StageRing {
 public:
  static constexpr bool kScaled = kType == DType::kF8E4M3;

  /// Of a slot for stages of up to `rows` rows of `width` bytes.
  __host__ __device__ static constexpr int slot_bytes_of(int rows, int width) {
    return rows * width + kAlignment;  // the rest: scales, then the unit
  }

  using StageRing::StageRing;

  /// By the asking warp: asks for all stages of the block's units, which it claims one by one.
  /// Source: prepare(unit) looks up what the stages of a unit need, ahead of their turn;
  /// stage_of(prepared, unit, i) is stage i of a unit.
  template <typename Source>
  __device__ void ask(UnitCounter* counter, int num_units, int num_stages, int row_bytes,
                      const Source& source) {
    StageRing::ask(
        {&counter->claimed, 1, 0.0F}, num_units, [&](int unit) { return source.prepare(unit); },
        [&](auto& prepared, int unit, bool) {
          for (int stage = 0; stage < num_stages; ++stage) {
            push_rows(source.stage_of(prepared, unit, stage), row_bytes, unit);
          }
        });
    push([&](std::uint32_t slot) { store_unit(slot, -1); });
    if (threadIdx.x % 32 != 0) return;
    const auto blocks = static_cast<int>(gridDim.x);
    if (atomicAdd(&counter->done, 1) == blocks - 1) *counter = {0, 0};
  }

  /// By each of the other warps: the unit of the next stage, -1 after the last.
  [[nodiscard]] __device__ int next_unit() const { return load_shared_int(unit_address(peek())); }

  /// Piece `piece` of tile `tile` of a stage in `slot`.
  __device__ RowPiece load(std::uint32_t slot, int width, int tile, int piece) const {
    RowPiece result = {{}, 1.0F};
    load_row_piece(slot + tile * kTileOfRows * width, width, piece, result.vectors);
    if constexpr (kScaled) {
      result.scale = load_shared_float(slot + slot_bytes() - kAlignment + piece * 4);
    }
    return result;
  }

 private:
  [[nodiscard]] __device__ std::uint32_t unit_address(std::uint32_t slot) const {
    return slot + slot_bytes() - 16;
  }
  __device__ void store_unit(std::uint32_t slot, int unit) const {
    if (threadIdx.x % 32 == 0) store_shared(unit_address(slot), unit);
  }

  __device__ void push_rows(const RowStage& stage, int row_bytes, int unit) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int scale_bytes =
        kScaled ? stage.width / kPieceBytes * static_cast<int>(sizeof(float)) : 0;
    push(
        stage.rows * stage.width + scale_bytes, [&](std::uint32_t slot) { store_unit(slot, unit); },
        [&](std::uint32_t slot, std::uint32_t barrier) {
          if (stage.width == row_bytes) {
            if (lane == 0) copy_bulk(slot, stage.data, stage.rows * stage.width, barrier);
          } else if (lane < stage.rows) {
            copy_bulk(slot + lane * stage.width, stage.data + std::int64_t{lane} * row_bytes,
                      stage.width, barrier);
          }
          if (kScaled && lane == 0) {
            copy_bulk(slot + slot_bytes() - kAlignment, stage.scale, scale_bytes, barrier);
          }
        });
  }
};

}  // namespace m2::cuda
