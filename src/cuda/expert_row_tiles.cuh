// Tiles of F8, F16 and BF16 experts: row by row, as in the checkpoint.
#pragma once

#include "cuda/expert_stages.cuh"
#include "cuda/token_fragments.cuh"

namespace m2::cuda {

/// `kPieces` of a row are a warp's; if not kExact, at most.
template <DType kType, int kTileSlots, int kPieces, bool kExact>
class ExpertRowTiles {
 public:
  using Shape = StreamShape;
  using Tokens = TokenFragments<kType, kTileSlots, kPieces>;
  static constexpr int kTokens = kTileSlots;
  static constexpr int kSums = Tokens::kSums;
  using Sums = float[2][kSums];

  /// Whether a kernel for exact widths takes such rows.
  static bool fits_exactly(const Shape& shape) {
    return shape.row_bytes == kPieces * kStageRowBytes;
  }
  __host__ __device__ static int slot_bytes(const Shape& shape) {
    return kStageTiles * kTileOfRows *
               (shape.row_bytes < kStageWidth ? shape.row_bytes : kStageWidth) +
           StageTail::kBytes;
  }

  __device__ static const char* tile(const Shape& shape, const void* data, int row) {
    return static_cast<const char*>(data) + std::int64_t{row} * row_bytes(shape);
  }
  __device__ static const float* scale(const Shape& shape, const float* scale, int row) {
    return scale + row / shape.block_rows * shape.scale_cols;
  }

  /// By the asking warp: all stages of a pair; mark(slot) by all lanes.
  template <typename Mark>
  __device__ static void push(StageRing& ring, const Shape& shape, const TilePair& pair,
                              int slot_bytes, const Mark& mark) {
    if constexpr (kStageTiles == 2) {
      push_both(ring, shape, pair, slot_bytes, mark);
    } else {
#pragma unroll
      for (int t = 0; t < 2; ++t) {
        for (int first = 0; first < row_bytes(shape); first += kStageWidth) {
          push_part(ring, shape, pair.tiles[t] + first,
                    kScaled ? pair.scales[t] + first / kPieceBytes : nullptr,
                    min(+kStageWidth, row_bytes(shape) - first), slot_bytes, mark);
        }
      }
    }
  }

  template <typename RowOf>
  __device__ void fill(const RowOf& row_of, int count, const Shape& shape) {
    tokens_.fill(row_of, count, shape.cols);
  }

  /// sums[t] += tile t of the next pair, whose first stage is there, times the tokens.
  __device__ void multiply(StageRing& ring, const Shape& shape, int slot_bytes, Sums& sums) const {
    if constexpr (kStageTiles == 2) {
      RowPiece pieces[2];
      ring.pop_peeked([&](std::uint32_t slot) {
#pragma unroll
        for (int t = 0; t < 2; ++t) {
          pieces[t] = load(slot + t * kTileOfRows * row_bytes(shape), row_bytes(shape), 0,
                           slot + slot_bytes, t * kStreamWarps);
        }
      });
#pragma unroll
      for (int t = 0; t < 2; ++t) tokens_.multiply(0, pieces[t], sums[t]);
    } else {
#pragma unroll
      for (int t = 0; t < 2; ++t) {
#pragma unroll
        for (int first = 0; first < kPieces; first += kStagePieces) {
          if (first * kStageRowBytes >= row_bytes(shape)) break;
          multiply_stage(ring, shape, t == 0 && first == 0, first, slot_bytes, sums[t]);
        }
      }
    }
  }

  /// To [2 tiles, kTokens, 8 rows] of the warp.
  __device__ static void store(const Sums& sums, float* to) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int t = 0; t < 2; ++t) {
#pragma unroll
      for (int i = 0; i < kSums; i += 2) {
        reinterpret_cast<float2*>(to + (t * kTokens + i / 2 * kTileTokens) * kTileOfRows)[lane] = {
            sums[t][i], sums[t][i + 1]};
      }
    }
  }
  [[nodiscard]] __device__ static int sum_index(int row, int token) {
    return token * kTileOfRows + row;
  }

 private:
  static constexpr bool kScaled = kType == DType::kF8E4M3;
  static constexpr int kStageTiles = kPieces == 1 ? 2 : 1;   // narrow rows of both come together
  static constexpr int kStagePieces = std::min(kPieces, 2);  // of a warp
  static constexpr int kStageWidth = kStagePieces * kStageRowBytes;

  __host__ __device__ static constexpr int row_bytes(const Shape& shape) {
    return kExact ? kPieces * kStageRowBytes : shape.row_bytes;
  }
  __device__ static int scale_bytes(int width) {
    return kScaled ? width / kPieceBytes * static_cast<int>(sizeof(float)) : 0;
  }

  template <typename Mark>
  __device__ static void push_both(StageRing& ring, const Shape& shape, const TilePair& pair,
                                   int slot_bytes, const Mark& mark) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int bytes = kTileOfRows * row_bytes(shape);
    const int scales = scale_bytes(row_bytes(shape));
    ring.push(2 * (bytes + scales), mark, [&](std::uint32_t slot, std::uint32_t barrier) {
      if (lane >= 2) return;
      copy_weights(slot + lane * bytes, pair.tile(lane), bytes, barrier);
      if constexpr (kScaled) {
        copy_bulk(StageTail(slot, slot_bytes).scales() + lane * scale_bytes(kStageRowBytes),
                  pair.scale(lane), scales, barrier);
      }
    });
  }

  // One tile, `width` bytes of every row.
  template <typename Mark>
  __device__ static void push_part(StageRing& ring, const Shape& shape, const char* tile,
                                   const float* scale, int width, int slot_bytes,
                                   const Mark& mark) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int scales = scale_bytes(width);
    ring.push(kTileOfRows * width + scales, mark, [&](std::uint32_t slot, std::uint32_t barrier) {
      if (width == row_bytes(shape)) {
        if (lane == 0) copy_weights(slot, tile, kTileOfRows * width, barrier);
      } else if (lane < kTileOfRows) {
        copy_weights(slot + lane * width, tile + std::int64_t{lane} * row_bytes(shape), width,
                     barrier);
      }
      if (kScaled && lane == 0) {
        copy_bulk(StageTail(slot, slot_bytes).scales(), scale, scales, barrier);
      }
    });
  }

  // The warp's piece `i` of a stage's tile; zero beyond the width.
  __device__ static RowPiece load(std::uint32_t tile, int width, int i, std::uint32_t slot_end,
                                  int first_scale) {
    const int piece = i * kStreamWarps + static_cast<int>(threadIdx.x) / 32;
    RowPiece result = {};
    if (!kExact && piece * kPieceBytes >= width) return result;
    load_row_piece(tile, width, piece, result.vectors);
    result.scale = kScaled
                       ? load_shared_float(slot_end - StageTail::kBytes + (first_scale + piece) * 4)
                       : 1.0F;
    return result;
  }

  __device__ void multiply_stage(StageRing& ring, const Shape& shape, bool is_first, int first,
                                 int slot_bytes, float (&sums)[kSums]) const {
    const int width = min(+kStageWidth, row_bytes(shape) - first * kStageRowBytes);
    RowPiece pieces[kStagePieces];
    if (!is_first) static_cast<void>(ring.peek());
    ring.pop_peeked([&](std::uint32_t slot) {
#pragma unroll
      for (int i = 0; i < kStagePieces; ++i) pieces[i] = load(slot, width, i, slot + slot_bytes, 0);
    });
#pragma unroll
    for (int i = 0; i < kStagePieces; ++i) tokens_.multiply(first + i, pieces[i], sums);
  }

  Tokens tokens_;
};

}  // namespace m2::cuda
