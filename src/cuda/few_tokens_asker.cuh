// Asks for the weights of few tokens' experts (few_tokens_experts.cuh), by one warp of a block.
#pragma once

#include "cuda/few_tokens_block.cuh"
#include "cuda/launch.cuh"

namespace m2::cuda {

/// What the asking warp does.
template <typename Block>
class FewTokensAsker : Block {
 public:
  __device__ explicit FewTokensAsker(const Block& block) : Block(block), num_groups_(args.top_k) {}

  __device__ void run() {
    auto tile = static_cast<int>(blockIdx.x);
    // The first one is mostly that of the first token's best expert.
    const bool is_firsts = tile < gate_row_tiles() && has_next(tile);
    std::int32_t ids = 0;
    // The first time it chooses by what earlier kernels may not have written yet, for nothing but
    // to have the instructions near (H200, one token: 0.6 us less).
#pragma unroll 1
    for (int pass = 0; pass < 2; ++pass) {
      if (pass == 1) await_earlier_kernels();
      ids = choice_of(0, [&](std::int32_t id) {
        if (pass == 0) return;
        await_phase(table_there(), 0);
        if (is_firsts) tile = ask_gate_up(id, tile);
      });
    }
    groups.put(0, ids);
    if (args.num_tokens > 1) {
      // Its experts come first.
      if (is_firsts && has_next(tile)) tile = ask_gate_up(ids, tile);
      groups.await();
      num_groups_ = groups.count();
      ids = groups.expert(min(lane(), num_groups_ - 1));
    }
    if (tile >= num_tiles()) ring.push_none({-1, num_pairs(), 1});
    while (tile < num_tiles()) tile = ask_gate_up(ids, tile);
    for (int pair = 0; pair < num_pairs(); ++pair) {
      for_own_tiles([&](int own, int) { ask_down(ids, pair, own); });
    }
  }

 private:
  using Operands = typename Block::Operands;
  using Block::args;
  using Block::choice_of;
  using Block::experts;
  using Block::for_own_tiles;
  using Block::gate_row_tiles;
  using Block::groups;
  using Block::kDownPieces;
  using Block::kGatePieces;
  using Block::kPointers;
  using Block::kScalesAt;
  using Block::lane;
  using Block::ring;
  using Block::table_there;

  [[nodiscard]] __device__ int num_pairs() const { return (num_groups_ + 1) / 2; }
  // Of gate and up.
  [[nodiscard]] __device__ int num_tiles() const { return num_groups_ * gate_row_tiles(); }
  [[nodiscard]] __device__ bool has_next(int tile) const {
    return tile + static_cast<int>(gridDim.x) < num_tiles();
  }
  // Returns the block's next one. (Claiming them, as other kernels do, gains nothing: H200, F8 of
  // one / two / four tokens with a tenth claimed 30.7 / 53.9 / 100.3 instead of 30.3 / 53.8 / 100.3
  // us, with nearly all claimed 1 us more of one token.)
  __device__ int ask_gate_up(std::int32_t ids, int tile) {
    const int next = tile + static_cast<int>(gridDim.x);
    const bool last = !has_next(tile);
    ask_tile(ids, {tile, last ? num_pairs() : next / gate_row_tiles() / 2, last ? 1 : 0});
    return next;
  }

  __device__ void ask_tile(std::int32_t ids, const ExpertStage& stage) {
    const UnitPosition position(stage.tile, gate_row_tiles());
    const std::int32_t id = __shfl_sync(kAllLanes, ids, position.outer);
    push<kGatePieces>(experts + id * kPointers + lane() % 2, args.gate,
                      position.inner * kTileOfRows, 2, stage);
  }
  __device__ void ask_down(std::int32_t ids, int pair, int tile) {
    const std::int32_t id =
        __shfl_sync(kAllLanes, ids, min(2 * pair + lane() % 2, num_groups_ - 1));
    push<kDownPieces>(experts + id * kPointers + 2, args.down, tile * kTileOfRows,
                      min(2, num_groups_ - 2 * pair), {tile, 0, 0});
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

  int num_groups_;  // the first token's, until all are known
};

}  // namespace m2::cuda
