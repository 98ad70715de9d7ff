#include "cuda/few_tokens_linear.h"

#include "cuda/dispatch.h"
#include "cuda/launch.cuh"
#include "cuda/linear_parts.cuh"
#include "cuda/row_products.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {
namespace {

struct FewTokensLinear {
  const float* input;  // [T, K]
  int num_tokens;
  StreamShape shape;  // but for the rows
  RowNorm norm;
  LinearParts parts;  // a unit is a tile of eight rows
  RowPlan plan;
};

// Sums of squares of the warps' columns of each token.
using SquareShares = float[kTileTokens][kStreamWarps];

__device__ float norm_factor(const SquareShares& shares, int token, int cols, float eps) {
  float sum = 0.0F;
  for (const float share : shares[token]) sum += share;
  return 1.0F / sqrtf(sum / static_cast<float>(cols) + eps);
}

struct LinearSource {
  const FewTokensLinear& args;

  __device__ LinearPart prepare(int unit) const { return args.parts.of(unit); }
  __device__ RowStage stage_of(const LinearPart& part, int unit, int stage) const {
    StreamShape shape = args.shape;
    shape.rows = part.rows;
    return row_stage(shape, part.weight, part.scale, (unit - part.first_unit) * kTileOfRows,
                     kTileOfRows, stage);
  }
};

constexpr int kUnitsAtOnce = 4;  // whose sums meet together

// Grid: blocks that share the tiles. A norm's factor is applied to the sums, so nothing but a
// token's own columns is needed before the products.
template <DType kType, int kPieces, bool kNormed>
__global__ void __launch_bounds__(kRowThreads, 1)
    few_tokens_linear_kernel(const FewTokensLinear args) {
  using Tokens = TokenFragments<kType, kTileTokens, kPieces>;
  using Sums = WarpSums<kUnitsAtOnce, kTileTokens>;
  extern __shared__ uint4 shared[];
  __shared__ SquareShares squares;
  RowRing<kType> ring(reinterpret_cast<char*>(shared) + Sums::kBytes, args.plan.slots,
                      args.plan.slot_bytes);
  __syncthreads();
  if (is_asker()) {  // weights are constant: it need not wait for other kernels
    return ring.ask(args.plan.counter, args.parts.units, kTileStages<kPieces>, args.shape.row_bytes,
                    LinearSource{args});
  }
  const int cols = args.shape.cols;
  const bool one = args.num_tokens == 1;
  typename Tokens::Norm norm;
  if constexpr (kNormed) {
    if (one) {
      Tokens::load_norm_of_one(args.norm.weight, cols, norm);
    } else {
      Tokens::load_norm(args.norm.weight, cols, norm);
    }
  }
  begin_kernel();
  Tokens tokens;
  const auto row_of = [&](int t) { return args.input + std::int64_t{t} * cols; };
  if constexpr (kNormed) {
    const float share = one ? tokens.fill_one_normed(args.input, cols, norm)
                            : tokens.fill_normed(row_of, args.num_tokens, cols, norm);
    if (threadIdx.x % 4 == 0) squares[threadIdx.x % 32 / 4][threadIdx.x / 32] = share;
  } else if (one) {
    tokens.fill_one(args.input, cols);
  } else {
    tokens.fill(row_of, args.num_tokens, cols);
  }
  Sums warp_sums(reinterpret_cast<char*>(shared));
  for (bool more = true; more;) {
    int units[kUnitsAtOnce];
    float sums[kUnitsAtOnce][Tokens::kSums] = {};
#pragma unroll
    for (int u = 0; u < kUnitsAtOnce; ++u) {
      units[u] = more ? ring.next_unit() : -1;
      more = units[u] >= 0;
      if (!more) continue;
      multiply_tiles(ring, args.shape, tokens,
                     reinterpret_cast<float(&)[1][Tokens::kSums]>(sums[u]));
    }
    warp_sums.exchange(sums);
    const int rows = kTileOfRows * args.num_tokens;  // of all tokens, of a unit
    for (int i = static_cast<int>(threadIdx.x); i < kUnitsAtOnce * rows; i += 32 * kStreamWarps) {
      const int u = i / rows;
      int unit = units[0];
#pragma unroll
      for (int j = 1; j < kUnitsAtOnce; ++j) unit = u == j ? units[j] : unit;
      if (unit < 0) continue;
      const int row = i % kTileOfRows;
      const int token = i % rows / kTileOfRows;
      const LinearPart& part = args.parts.of(unit);
      const int at = (unit - part.first_unit) * kTileOfRows + row;
      if (at >= part.rows) continue;
      float sum = warp_sums.sum(u, row, token);
      if constexpr (kNormed) sum *= norm_factor(squares, token, cols, args.norm.eps);
      float& output = part.output[std::int64_t{token} * part.rows + at];
      output = part.accumulate ? output + sum : sum;
    }
  }
}

template <DType kType, int kPieces, bool kNormed>
bool launch(FewTokensLinear args, Context& context) {
  const int blocks = std::min(args.parts.units, context.num_sms);
  args.plan = plan_rows<kType>(args.shape, kTileOfRows, WarpSums<kUnitsAtOnce, kTileTokens>::kBytes,
                               context);
  if (args.plan.slots == 0) return false;
  const auto kernel = few_tokens_linear_kernel<kType, kPieces, kNormed>;
  allow_shared_memory(kernel, args.plan.num_bytes);
  launch_kernel(context, kernel, static_cast<unsigned>(blocks), kRowThreads, args.plan.num_bytes,
                args);
  return true;
}

}  // namespace

bool few_tokens_linears(std::span<const LinearArgs> products, const RmsNormArgs* norm,
                        Context& context) {
  if (!context.has_bulk_copies || !can_share(products)) return false;
  const LinearArgs& first = products.front();
  const StreamShape shape = stream_shape(first.weight);
  const int pieces = pieces_of_warp(shape);
  if (first.input.shape[0] > kTileTokens || pieces == 0) return false;
  // Several tokens with so many columns do not fit the registers: row tiles are faster (H200,
  // output projection of 2 / 8 tokens: 11.3 / 12.2 us against 11.5 / 14.2).
  const bool is_wide = pieces > 2 && first.weight.dtype == DType::kF8E4M3;
  if (is_wide && first.input.shape[0] > 1 && context.has_wgmma) return false;
  FewTokensLinear args = {.input = (norm == nullptr ? first.input : norm->input).as<float>(),
                          .num_tokens = static_cast<int>(first.input.shape[0]),
                          .shape = shape,
                          .norm = {},
                          .parts = linear_parts(products, kTileOfRows),
                          .plan = {}};
  if (norm != nullptr) args.norm = {norm->weight.as<float>(), norm->eps};
  bool done = false;
  for_weight_type(first.weight.dtype, [&](auto type) {
    for_pieces(pieces, [&](auto own) {
      if constexpr (type.value != DType::kF32) {
        constexpr bool kFitsNorm = type.value != DType::kF8E4M3 || own.value <= 2;  // registers
        if (norm == nullptr) {
          done = launch<type.value, own.value, false>(args, context);
        } else if constexpr (kFitsNorm) {
          done = launch<type.value, own.value, true>(args, context);
        }
      }
    });
  });
  return done;
}

}  // namespace m2::cuda
