#include "cuda/stream_linear.h"

#include <algorithm>

#include "cuda/dispatch.h"
#include "cuda/launch.cuh"
#include "cuda/linear_parts.cuh"
#include "cuda/row_stream.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {
namespace {

// Weights of one width and storage type that share their input.
struct StreamLinear {
  const float* input;  // [T, K]
  int num_tokens;
  int tile_tokens;    // of a unit
  int slots;          // of the ring
  StreamShape shape;  // but for the rows
  LinearParts parts;
};

// A tile of rows makes a unit. Folded, it has eight rows only: the upper half of the mma takes the
// first half of their columns, the lower half the second, and each token stands in two columns of
// the mma, half a row each. For few rows and tokens it makes more units, which spread more evenly.
template <bool kFolded>
constexpr int kUnitRows = kFolded ? kTileRows / 2 : kTileRows;

template <bool kFolded>
__device__ const char* source_of_unit(const StreamLinear& args, int row_unit) {
  const LinearPart& part = args.parts.of(row_unit);
  StreamShape shape = args.shape;
  shape.rows = part.rows;
  const HalfTile upper = {part.weight, part.scale,
                          (row_unit - part.first_unit) * kUnitRows<kFolded>};
  HalfTile lower = upper;
  if constexpr (kFolded) {
    lower.first_byte = shape.unit_bytes;
  } else {
    lower.first_row += kTileRows / 2;
  }
  return lane_source(shape, upper, lower);
}

// Grid: blocks that share the units, those of one tile of tokens side by side.
template <DType kType, int kColumns, bool kFolded>
__global__ void __launch_bounds__(kStreamThreads, 1) stream_linear_kernel(const StreamLinear args) {
  constexpr int kRows = kUnitRows<kFolded>;
  constexpr int kTokenColumns = kFolded ? 2 : 1;  // of the mma
  using Sums = BlockSums<1, kColumns>;
  extern __shared__ uint4 shared[];
  const int cols = args.shape.cols / kTokenColumns;
  const int capacity = kTokenColumns * args.tile_tokens;
  const StreamMemory<kType, 1, kColumns> memory(shared, cols, capacity);
  WeightRing<kType> ring(memory.ring, args.slots);
  __syncthreads();
  const int token_tiles = (args.num_tokens + args.tile_tokens - 1) / args.tile_tokens;
  const Span units = share_of(std::int64_t{args.parts.units} * token_tiles,
                              static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  if (is_asking_warp()) {  // weights are constant: it need not wait for other kernels
    return ask_for_tiles(ring, args.shape, units, args.parts.units,
                         [&](const UnitPosition& position) {
                           return source_of_unit<kFolded>(args, position.inner);
                         });
  }
  begin_kernel();
  TokenRows<kType> tokens(memory.rows, cols, capacity);
  Sums block_sums(memory.sums);
  int token_tile = -1;
  int count = 0;
  UnitPosition position(units.begin, args.parts.units);
  for (int unit = units.begin; unit < units.end; ++unit, position.advance(args.parts.units)) {
    if (position.outer != token_tile) {
      token_tile = position.outer;
      count = min(args.tile_tokens, args.num_tokens - token_tile * args.tile_tokens);
      const float* first =
          args.input + std::int64_t{token_tile} * args.tile_tokens * args.shape.cols;
      tokens.fill([&](int i) { return first + std::int64_t{i} * cols; }, kTokenColumns * count, {});
    }
    LaneSums sums[1][Sums::kColumnTiles] = {};
    multiply_tile(ring, args.shape, tokens, kTokenColumns * count, sums[0]);
    block_sums.exchange(sums);
    const LinearPart& part = args.parts.of(position.inner);
    const int first_row = (position.inner - part.first_unit) * kRows;
    for (int i = threadIdx.x; i < kRows * count; i += kMultiplyThreads) {
      const int row = i % kRows;  // neighbours in a row of the output
      const int token = i / kRows;
      if (first_row + row >= part.rows) continue;
      const int column = kTokenColumns * token;
      float sum = block_sums.sum(0, row, column) * tokens.scale(column);
      if constexpr (kFolded) {
        sum += block_sums.sum(0, kRows + row, column + 1) * tokens.scale(column + 1);
      }
      const std::int64_t at = std::int64_t{token_tile} * args.tile_tokens + token;
      float& output = part.output[at * part.rows + first_row + row];
      output = part.accumulate ? output + sum : sum;
    }
  }
}

class StreamLinearCall {
 public:
  StreamLinearCall(std::span<const LinearArgs> products, Context& context)
      : products_(products), context_(context) {
    const LinearArgs& first = products.front();
    args_ = {.input = first.input.as<float>(),
             .num_tokens = static_cast<int>(first.input.shape[0]),
             .shape = stream_shape(first.weight)};
  }

  template <DType kType>
  bool run() {
    if (folds<kType>()) {
      const int columns = 2 * args_.num_tokens;
      const StreamPlan plan = plan_stream<kType, 1>(args_.shape.cols / 2, columns, context_);
      if (plan.tokens >= columns) {
        args_.shape.unit_bytes /= 2;
        args_.tile_tokens = args_.num_tokens;
        launch<kType, true>(plan);
        return true;
      }
    }
    const StreamPlan plan = plan_stream<kType, 1>(args_.shape.cols, args_.num_tokens, context_);
    if (plan.tokens == 0) return false;
    args_.tile_tokens = plan.tokens;
    launch<kType, false>(plan);
    return true;
  }

 private:
  // Where whole tiles of rows would leave much of the device without work.
  template <DType kType>
  [[nodiscard]] bool folds() const {
    constexpr int kMaxFolded = 4;
    constexpr int kWhole = (kType == DType::kF8E4M3 ? 4 : 1) * kPieceCols<kType>;
    return args_.shape.cols % (2 * kWhole) == 0 && args_.num_tokens <= kMaxFolded &&
           linear_parts(products_, kTileRows).units < 2 * context_.num_sms;
  }

  template <DType kType, bool kFolded>
  void launch(const StreamPlan& plan) {
    args_.parts = linear_parts(products_, kUnitRows<kFolded>);
    args_.slots = plan.slots;
    const int token_tiles = (args_.num_tokens + args_.tile_tokens - 1) / args_.tile_tokens;
    const std::int64_t units = std::int64_t{args_.parts.units} * token_tiles;
    const auto blocks = static_cast<unsigned>(std::min<std::int64_t>(units, context_.num_sms));
    for_columns(plan.columns, [&](auto columns) {
      const auto kernel = stream_linear_kernel<kType, columns(), kFolded>;
      allow_shared_memory(kernel, plan.num_bytes);
      launch_kernel(context_, kernel, blocks, kStreamThreads, plan.num_bytes, args_);
    });
  }

  std::span<const LinearArgs> products_;
  Context& context_;
  StreamLinear args_{};
};

}  // namespace

bool stream_linears(std::span<const LinearArgs> products, Context& context) {
  if (!context.has_bulk_copies || !can_share(products)) return false;
  bool done = false;
  for_weight_type(products.front().weight.dtype, [&](auto tag) {
    if constexpr (tag.value != DType::kF32) {
      done = StreamLinearCall(products, context).run<tag.value>();
    }
  });
  return done;
}

}  // namespace m2::cuda
