// Weight rows of experts as the lanes of a warp multiply them.
//
// Twelve warps share the columns of a row, each one or two pieces of 128 bytes of a stage of up to
// 3,072. The rows of a stage meet the same banks, so lanes of odd rows read the halves of a piece
// in the other order.
#pragma once

#include "cuda/stage_ring.cuh"

namespace m2::cuda {

/// Pieces of a row that a warp multiplies: 1, 2 or 4; 0 where rows are wider.
inline int pieces_of_warp(const StreamShape& shape) {
  const int pieces = (shape.row_bytes + kStageRowBytes - 1) / kStageRowBytes;
  return pieces <= 2 ? pieces : pieces <= 4 ? 4 : 0;
}

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

}  // namespace m2::cuda
