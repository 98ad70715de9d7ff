// Products of few tokens' experts (few_tokens_experts.cuh).
#pragma once

#include "cuda/few_tokens_block.cuh"

namespace m2::cuda {

/// What the warps do that multiply.
template <typename Block>
class FewTokensMultiplier : Block {
 public:
  __device__ explicit FewTokensMultiplier(const Block& block) : Block(block) {}

  __device__ void run() {
    store_tokens();
    gate_up();
    groups.await();
    for (int pair = 0; pair < num_pairs(); ++pair) down(pair);
  }

 private:
  using Operands = typename Block::Operands;
  using Block::args;
  using Block::for_own_tiles;
  using Block::groups;
  using Block::has_tiles;
  using Block::inner_row;
  using Block::inner_there;
  using Block::kDownPieces;
  using Block::kExact;
  using Block::kGatePieces;
  using Block::kMatrixSums;
  using Block::kScalesAt;
  using Block::kWarps;
  using Block::lane;
  using Block::num_pairs;
  using Block::ring;
  using Block::token_row;
  using Block::warp;

  // The warp's pieces of 128 columns, token by token.
  struct TokenPiece {
    int token;
    int piece;
    int row_pieces;

    __device__ void advance() {
      piece += kWarps;
      if (piece < row_pieces) return;
      piece = warp();
      ++token;
    }
  };
  __device__ void store_tokens() {
    constexpr int kTogether = 8;
    TokenPiece next = {0, warp(), (args.gate.cols + 127) / 128};
    if (next.piece >= next.row_pieces) next.token = args.num_tokens;
    while (next.token < args.num_tokens) {
      TokenPiece stored = next;
      float4 x[kTogether];
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        const int column = 128 * next.piece + 4 * lane();
        const bool used = next.token < args.num_tokens && column < args.gate.cols;
        const float* row = args.hidden_states + std::int64_t{next.token} * args.gate.cols;
        x[i] = used ? *reinterpret_cast<const float4*>(row + column) : float4{};
        next.advance();
      }
#pragma unroll
      for (int i = 0; i < kTogether; ++i) {
        if (stored.token >= args.num_tokens) break;
        Operands::store(token_row(stored.token), args.gate.cols, stored.piece, x[i]);
        stored.advance();
      }
    }
    asm volatile("bar.sync 1, %0;" ::"n"(32 * kWarps) : "memory");
  }

  // Rows of operands that a stage meets: of the lane's column_token() and sum_token(), for one
  // matrix.
  struct TokenRows {
    std::uint32_t column;
    std::uint32_t sum;
  };
  // The tokens that stage s of rows meets, for the matrices of a narrow one.
  template <int kPieces>
  __device__ void load_tokens(const StreamShape& shape, int s, const TokenRows& first,
                              const TokenRows& second, typename Operands::Tokens& tokens) const {
    const int piece = 2 * s * kWarps + warp();
    const int most = shape.cols / Operands::kColumns - 1;  // pieces beyond it meet zeros
    const bool narrow = Block::template is_narrow<kPieces>(shape);
    const TokenRows& other = narrow ? second : first;
    const int upper = min(piece, most);
    const int lower = min(narrow ? piece : piece + kWarps, most);
    tokens.load({first.column, upper}, {other.column, lower}, {first.sum, upper},
                {other.sum, lower}, shape.cols);
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

  // The next stages, with eight rows of one or two matrices: sums[i] is of matrix i's, 0 unless
  // used[i].
  template <int kPieces, typename TokensOf>
  __device__ void multiply_rows(const StreamShape& shape, int matrices, const TokensOf& tokens_of,
                                const bool (&used)[2], ExpertStage& stage, float (&sums)[2]) {
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
        sums[0] = used[0] ? parts[0] : 0.0F;
        sums[1] = used[1] ? parts[1] : 0.0F;
      } else {
        sums[i] = used[i] ? parts[0] + parts[1] : 0.0F;
      }
    }
  }

  // All tokens meet all experts: columns of the mma cost nothing.
  __device__ void gate_up() {
    typename Operands::Tokens tokens[Block::template kStages<kGatePieces>];
    const auto row_of = [&](int token) {
      return shared_address(token_row(min(token, args.num_tokens - 1)));
    };
    const TokenRows rows = {row_of(Operands::column_token()), row_of(Operands::sum_token())};
#pragma unroll
    for (int s = 0; s < Block::template kStages<kGatePieces>; ++s) {
      load_tokens<kGatePieces>(args.gate, s, rows, rows, tokens[s]);
    }
    const bool has_sums = Operands::has_sums(args.num_tokens);
    const int at = Operands::sum_token() * kTileOfRows + lane() / 4;
    bool last = false;
    while (!last) {
      ExpertStage stage = ring.wait();
      float sums[2] = {};
      if (stage.tile < 0) {
        ring.release();
      } else {
        const auto tokens_of = [&](int, int s) -> const auto& { return tokens[s]; };
        multiply_rows<kGatePieces>(args.gate, 2, tokens_of, {true, true}, stage, sums);
      }
      last = stage.last != 0;
      ring.leave(stage, [&](float* to) {
        if (!has_sums) return;
        to[at] = sums[0];
        to[kMatrixSums + at] = sums[1];
      });
    }
  }

  // The block's rows of two experts.
  __device__ void down(int pair) {
    if (!has_tiles()) return;
    constexpr int kOwn = kDownPieces == 1 ? 1 : 2;  // experts that do not share a stage
    typename Operands::Tokens tokens[kOwn][Block::template kStages<kDownPieces>];
    await_phase(inner_there(pair), 0);
    bool used[2];
    TokenRows rows[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      // What a token has nothing to do with meets any row.
      const auto row_of = [&](int token) {
        return shared_address(inner_row(max(groups.slot(2 * pair + i, token), 0)));
      };
      used[i] = groups.slot(2 * pair + i, Operands::sum_token()) >= 0;
      rows[i] = {row_of(Operands::column_token()), row_of(Operands::sum_token())};
    }
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
#pragma unroll
      for (int s = 0; s < Block::template kStages<kDownPieces>; ++s) {
        load_tokens<kDownPieces>(args.down, s, rows[i], rows[1], tokens[i][s]);
      }
    }
    const auto tokens_of = [&](int i, int s) -> const auto& { return tokens[i % kOwn][s]; };
    const bool has_sums = Operands::has_sums(args.num_tokens);
    for_own_tiles([&](int, int) {
      ExpertStage stage = {};
      float sums[2] = {};
      multiply_rows<kDownPieces>(args.down, min(2, groups.count() - 2 * pair), tokens_of, used,
                                 stage, sums);
      ring.leave(stage, [&](float* to) {
        if (has_sums) to[Operands::sum_token() * kTileOfRows + lane() / 4] = sums[0] + sums[1];
      });
    });
  }
};

}  // namespace m2::cuda
