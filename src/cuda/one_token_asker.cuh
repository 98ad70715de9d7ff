// Asks for the weights of one token's experts (expert_one_token.cuh), by one warp of a block.
#pragma once

#include "cuda/one_token_block.cuh"

namespace m2::cuda {

/// What the asking warp does.
template <typename Block>
class ExpertOneTokenAsker : Block {
 public:
  __device__ explicit ExpertOneTokenAsker(const Block& block) : Block(block) {}

  __device__ void run() {
    NextTiles next = {tile_at(0), tile_at(1), tile_at(2), 3};
    std::int32_t ids = 0;
    if (args.scores.ranks == nullptr) {
      ids = args.topk_ids[min(lane(), args.top_k - 1)];
      await_phase(table_there(), 0);
    } else {
      // The first unit is mostly the best expert's.
      const bool is_firsts = num_given() >= 2 && next.tile < gate_row_tiles();
      ids = choose_expert(args.scores, 0, args.top_k, [&](std::int32_t id) {
        await_phase(table_there(), 0);
        if (is_firsts) ask_next(id, next);
      });
    }
    ask_gate_up(ids, next);
    for (int pair = 0; pair < num_pairs(); ++pair) {
      for_own_tiles([&](int tile, int) { ask_down(ids, pair, tile); });
    }
  }

 private:
  using Operands = typename Block::Operands;
  using Block::args;
  using Block::experts;
  using Block::for_own_tiles;
  using Block::gate_row_tiles;
  using Block::kDownPieces;
  using Block::kGatePieces;
  using Block::kPointers;
  using Block::kScalesAt;
  using Block::lane;
  using Block::meetings;
  using Block::num_pairs;
  using Block::ring;
  using Block::table_there;

  // Units of gate and up that a block is about to ask for; of claims what lane 0 has counts. Two of
  // them are on their way while one is asked for.
  struct NextTiles {
    int tile;
    int second;
    int third;
    int taken;
  };

  // A block's first units are given, as many as it has stages for and two at least; it claims the
  // others.
  [[nodiscard]] __device__ int num_given() const {
    return min(max(args.slots / (2 * Block::template kStages<kGatePieces>), 2),
               num_tiles() / static_cast<int>(gridDim.x));
  }
  [[nodiscard]] __device__ int num_tiles() const { return args.top_k * gate_row_tiles(); }
  [[nodiscard]] __device__ int tile_at(int i) const {
    const auto blocks = static_cast<int>(gridDim.x);
    if (i < num_given()) return i * blocks + static_cast<int>(blockIdx.x);
    return num_given() * blocks + (lane() == 0 ? atomicAdd(meetings.claimed(), 1) : 0);
  }

  __device__ void ask_gate_up(std::int32_t ids, NextTiles& next) {
    next.tile = __shfl_sync(kAllLanes, next.tile, 0);
    if (next.tile >= num_tiles()) return ring.push_none({-1, num_pairs(), 1});
    while (next.tile < num_tiles()) ask_next(ids, next);
  }
  __device__ void ask_next(std::int32_t ids, NextTiles& next) {
    const int following = __shfl_sync(kAllLanes, next.second, 0);
    const bool last = following >= num_tiles();
    next.second = next.third;
    if (!last) next.third = tile_at(next.taken++);
    const int pairs_done = last ? num_pairs() : following / gate_row_tiles() / 2;
    ask_tile(ids, {next.tile, pairs_done, last ? 1 : 0});
    next.tile = following;
  }

  __device__ void ask_tile(std::int32_t ids, const ExpertStage& stage) {
    const UnitPosition position(stage.tile, gate_row_tiles());
    const std::int32_t id = __shfl_sync(kAllLanes, ids, position.outer);
    push<kGatePieces>(experts + id * kPointers + lane() % 2, args.gate,
                      position.inner * kTileOfRows, 2, stage);
  }
  __device__ void ask_down(std::int32_t ids, int pair, int tile) {
    const std::int32_t id = __shfl_sync(kAllLanes, ids, min(2 * pair + lane() % 2, args.top_k - 1));
    push<kDownPieces>(experts + id * kPointers + 2, args.down, tile * kTileOfRows,
                      min(2, args.top_k - 2 * pair), {tile, 0, 0});
  }

  // All stages of eight rows of one or two matrices: even lanes have the first one's pointer in the
  // table, odd lanes the second one's.
  template <int kPieces>
  __device__ void push(const void* const* matrix, const StreamShape& shape, int row, int matrices,
                       const ExpertStage& stage) {
    constexpr int kToScales = 3;
    const int width = Block::template row_bytes<kPieces>(shape);
    const auto* rows = static_cast<const char*>(matrix[0]) + std::int64_t{row} * width;
    const char* scales = nullptr;
    if constexpr (Operands::kScaled) {
      scales = static_cast<const char*>(matrix[kToScales]) +
               std::int64_t{row / shape.block_rows} * shape.scale_cols * 4;
    }
    if (Block::template is_narrow<kPieces>(shape))
      return push_both(rows, scales, width, matrices, stage);
    for (int i = 0; i < matrices; ++i) {
      for (int first = 0; first < width; first += 2 * kStageRowBytes) {
        push_part(from_lane(rows, i) + first,
                  Operands::kScaled ? from_lane(scales, i) + first / kPieceBytes * 4 : nullptr,
                  width, min(2 * kStageRowBytes, width - first), stage);
      }
    }
  }
  __device__ static const char* from_lane(const char* pointer, int source) {
    return reinterpret_cast<const char*>(
        __shfl_sync(kAllLanes, reinterpret_cast<unsigned long long>(pointer), source));
  }
  __device__ static int scale_bytes(int width) {
    return Operands::kScaled ? width / kPieceBytes * static_cast<int>(sizeof(float)) : 0;
  }

  // Narrow rows of one or two matrices.
  __device__ void push_both(const char* rows, const char* scales, int width, int matrices,
                            const ExpertStage& stage) {
    const int bytes = kTileOfRows * width;
    ring.push(stage, matrices * (bytes + scale_bytes(width)),
              [&](std::uint32_t slot, std::uint32_t barrier) {
                if (lane() >= matrices) return;
                copy_weights(slot + lane() * bytes, rows, bytes, barrier);
                if constexpr (Operands::kScaled) {
                  copy_bulk(slot + kScalesAt + lane() * kStreamWarps * 4, scales,
                            scale_bytes(width), barrier);
                }
              });
  }
  // `part` bytes of every row.
  __device__ void push_part(const char* rows, const char* scales, int width, int part,
                            const ExpertStage& stage) {
    ring.push(stage, kTileOfRows * part + scale_bytes(part),
              [&](std::uint32_t slot, std::uint32_t barrier) {
                if (part == width) {
                  if (lane() == 0) copy_weights(slot, rows, kTileOfRows * part, barrier);
                } else if (lane() < kTileOfRows) {
                  copy_weights(slot + lane() * part, rows + std::int64_t{lane()} * width, part,
                               barrier);
                }
                if (Operands::kScaled && lane() == 0) {
                  copy_bulk(slot + kScalesAt, scales, scale_bytes(part), barrier);
                }
              });
  }
};

}  // namespace m2::cuda
