// Products of one token's experts (expert_one_token.cuh).
#pragma once

#include "cuda/one_token_block.cuh"

namespace m2::cuda {

/// What the warps do that multiply.
template <typename Block>
class OneTokenMultiplier : Block {
 public:
  __device__ explicit OneTokenMultiplier(const Block& block) : Block(block) {}

  __device__ void run() {
    store_token();
    gate_up();
    for (int pair = 0; pair < num_pairs(); ++pair) down(pair);
  }

 private:
  using Operands = typename Block::Operands;
  using Block::args;
  using Block::for_own_tiles;
  using Block::has_tiles;
  using Block::inner_row;
  using Block::inner_there;
  using Block::kDownPieces;
  using Block::kExact;
  using Block::kGatePieces;
  using Block::kScalesAt;
  using Block::kWarps;
  using Block::lane;
  using Block::num_pairs;
  using Block::ring;
  using Block::token;
  using Block::warp;

  __device__ void store_token() {
    for (int i = warp(); 128 * i < args.gate.cols; i += kWarps) {
      const int column = 128 * i + 4 * lane();
      const float4 x = column < args.gate.cols
                           ? *reinterpret_cast<const float4*>(args.hidden_states + column)
                           : float4{};
      Operands::store(token, args.gate.cols, i, x);
    }
    asm volatile("bar.sync 1, %0;" ::"n"(32 * kWarps) : "memory");
  }

  // The tokens that stage s of rows meets; `rows` [2] of operands for the matrices of a narrow one.
  template <int kPieces>
  __device__ void load_tokens(const StreamShape& shape, int s, const char* first,
                              const char* second, typename Operands::Tokens& tokens) const {
    const int piece = 2 * s * kWarps + warp();
    const int most = shape.cols / Operands::kColumns - 1;  // pieces beyond it meet zeros
    if (Block::template is_narrow<kPieces>(shape)) {
      tokens.load({shared_address(first), min(piece, most)},
                  {shared_address(second), min(piece, most)}, shape.cols);
    } else {
      tokens.load({shared_address(first), min(piece, most)},
                  {shared_address(first), min(piece + kWarps, most)}, shape.cols);
    }
  }

  // The warp's pieces of the next stage, the s-th of its rows, of `matrices` if it is narrow.
  template <int kPieces>
  __device__ void load_weights(const StreamShape& shape, int s, int matrices,
                               typename Operands::Weights& weights) const {
    const int all = Block::template row_bytes<kPieces>(shape);
    const bool narrow = Block::template is_narrow<kPieces>(shape);
    const int width = narrow ? all : min(2 * kStageRowBytes, all - 2 * s * kStageRowBytes);
    const std::uint32_t scales = ring.slot() + kScalesAt + warp() * 4;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int piece = narrow ? warp() : i * kWarps + warp();
      if (!kExact && (piece * kPieceBytes >= width || (narrow && i >= matrices))) continue;
      weights.load(i, ring.slot() + (narrow ? i * kTileOfRows * width : 0), width, piece,
                   scales + i * kWarps * 4);
    }
  }

  // The next stages, with eight rows of one or two matrices: sums[i] is of matrix i's.
  template <int kPieces, typename TokensOf>
  __device__ void multiply_rows(const StreamShape& shape, int matrices, const TokensOf& tokens_of,
                                ExpertStage& stage, float (&sums)[2]) {
    const bool narrow = Block::template is_narrow<kPieces>(shape);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (i >= (narrow ? 1 : matrices)) break;
      float parts[2] = {};
#pragma unroll
      for (int s = 0; s < Block::template kStages<kPieces>; ++s) {
        if (2 * s * kStageRowBytes >= Block::template row_bytes<kPieces>(shape)) break;
        stage = ring.wait();
        typename Operands::Weights weights;
        load_weights<kPieces>(shape, s, matrices, weights);
        ring.release();
        Operands::add(weights, tokens_of(i, s), parts);
      }
      Operands::gather(parts);
      if (narrow) {
        sums[0] = parts[0];
        sums[1] = matrices == 2 ? parts[1] : 0.0F;
      } else {
        sums[i] = parts[0] + parts[1];
      }
    }
  }

  __device__ void gate_up() {
    typename Operands::Tokens tokens[Block::template kStages<kGatePieces>];
#pragma unroll
    for (int s = 0; s < Block::template kStages<kGatePieces>; ++s) {
      load_tokens<kGatePieces>(args.gate, s, token, token, tokens[s]);
    }
    bool last = false;
    while (!last) {
      ExpertStage stage = ring.wait();
      float sums[2] = {};
      if (stage.tile < 0) {
        ring.release();
      } else {
        const auto tokens_of = [&](int, int s) -> const auto& { return tokens[s]; };
        multiply_rows<kGatePieces>(args.gate, 2, tokens_of, stage, sums);
      }
      last = stage.last != 0;
      ring.leave(stage, [&](float* to) {
        if (lane() % 4 != 0) return;
        to[lane() / 4] = sums[0];
        to[kTileOfRows + lane() / 4] = sums[1];
      });
    }
  }

  // The block's rows of two experts.
  __device__ void down(int pair) {
    if (!has_tiles()) return;
    constexpr int kOwn = kDownPieces == 1 ? 1 : 2;  // experts that do not share a stage
    typename Operands::Tokens tokens[kOwn][Block::template kStages<kDownPieces>];
    await_phase(inner_there(pair), 0);
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
#pragma unroll
      for (int s = 0; s < Block::template kStages<kDownPieces>; ++s) {
        load_tokens<kDownPieces>(args.down, s, inner_row(2 * pair + i), inner_row(2 * pair + 1),
                                 tokens[i][s]);
      }
    }
    const auto tokens_of = [&](int i, int s) -> const auto& { return tokens[i % kOwn][s]; };
    for_own_tiles([&](int, int) {
      ExpertStage stage = {};
      float sums[2] = {};
      multiply_rows<kDownPieces>(args.down, min(2, args.top_k - 2 * pair), tokens_of, stage, sums);
      ring.leave(stage, [&](float* to) {
        if (lane() % 4 == 0) to[lane() / 4] = sums[0] + sums[1];
      });
    });
  }
};

}  // namespace m2::cuda
