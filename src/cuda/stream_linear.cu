#include "cuda/stream_linear.h"

#include <algorithm>

#include "cuda/dispatch.h"
#include "cuda/launch.cuh"
#include "cuda/row_stream.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {
namespace {

constexpr int kMaxParts = 4;

// One weight of a launch.
struct LinearPart {
  const void* weight;  // [rows, K]
  const float* scale;
  float* output;  // [T, rows]
  int rows;
  int first_unit;
  bool accumulate;
};

// Weights of one width and storage type that share their input.
struct StreamLinear {
  const float* input;  // [T, K]
  int num_tokens;
  int tile_tokens;    // of a unit
  int slots;          // of the ring
  StreamShape shape;  // but for the rows
  RowNorm norm;
  int row_units;
  int num_parts;
  LinearPart parts[kMaxParts];

  __device__ const LinearPart& part_of(int row_unit) const {
    int index = 0;
    while (index + 1 < num_parts && row_unit >= parts[index + 1].first_unit) ++index;
    return parts[index];
  }
};

// A tile of rows makes a unit. Folded, it has eight rows only: the upper half of the mma takes the
// first half of their columns, the lower half the second, and each token stands in two columns of
// the mma, half a row each. For few rows and tokens it makes more units, which spread more evenly.
template <bool kFolded>
constexpr int kUnitRows = kFolded ? kTileRows / 2 : kTileRows;

template <bool kFolded>
__device__ const char* source_of_unit(const StreamLinear& args, int row_unit) {
  const LinearPart& part = args.part_of(row_unit);
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
  const Span units = share_of(std::int64_t{args.row_units} * token_tiles,
                              static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  if (is_asking_warp()) {  // weights are constant: it need not wait for other kernels
    return ask_for_tiles(ring, args.shape, units, args.row_units,
                         [&](const UnitPosition& position) {
                           return source_of_unit<kFolded>(args, position.inner);
                         });
  }
  begin_kernel();
  TokenRows<kType> tokens(memory.rows, cols, capacity);
  Sums block_sums(memory.sums);
  int token_tile = -1;
  int count = 0;
  UnitPosition position(units.begin, args.row_units);
  for (int unit = units.begin; unit < units.end; ++unit, position.advance(args.row_units)) {
    if (position.outer != token_tile) {
      token_tile = position.outer;
      count = min(args.tile_tokens, args.num_tokens - token_tile * args.tile_tokens);
      const float* first =
          args.input + std::int64_t{token_tile} * args.tile_tokens * args.shape.cols;
      tokens.fill([&](int i) { return first + std::int64_t{i} * cols; }, kTokenColumns * count,
                  args.norm);
    }
    LaneSums sums[1][Sums::kColumnTiles] = {};
    multiply_tile(ring, args.shape, tokens, kTokenColumns * count, sums[0]);
    block_sums.exchange(sums);
    const LinearPart& part = args.part_of(position.inner);
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
  StreamLinearCall(std::span<const LinearArgs> products, const RmsNormArgs* norm, Context& context)
      : products_(products), context_(context) {
    const LinearArgs& first = products.front();
    args_ = {.input = (norm == nullptr ? first.input : norm->input).as<float>(),
             .num_tokens = static_cast<int>(first.input.shape[0]),
             .shape = stream_shape(first.weight),
             .num_parts = static_cast<int>(products.size())};
    if (norm != nullptr) args_.norm = {norm->weight.as<float>(), norm->eps};
  }

  // What can share a launch.
  static bool fits(std::span<const LinearArgs> products) {
    if (products.empty() || products.size() > kMaxParts) return false;
    const LinearArgs& first = products.front();
    return std::ranges::all_of(products, [&](const LinearArgs& args) {
      const WeightView& weight = args.weight;
      return fits_stream(weight) && args.input.data == first.input.data &&
             weight.dtype == first.weight.dtype && weight.cols == first.weight.cols &&
             weight.block_rows == first.weight.block_rows &&
             weight.block_cols == first.weight.block_cols;
    });
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
    return args_.shape.cols % (2 * kWhole) == 0 && args_.norm.weight == nullptr &&
           args_.num_tokens <= kMaxFolded && count_units(kTileRows) < 2 * context_.num_sms;
  }

  template <DType kType, bool kFolded>
  void launch(const StreamPlan& plan) {
    set_parts(kUnitRows<kFolded>);
    args_.slots = plan.slots;
    const int token_tiles = (args_.num_tokens + args_.tile_tokens - 1) / args_.tile_tokens;
    const std::int64_t units = std::int64_t{args_.row_units} * token_tiles;
    const auto blocks = static_cast<unsigned>(std::min<std::int64_t>(units, context_.num_sms));
    for_columns(plan.columns, [&](auto columns) {
      const auto kernel = stream_linear_kernel<kType, columns(), kFolded>;
      allow_shared_memory(kernel, plan.num_bytes);
      launch_kernel(context_, kernel, blocks, kStreamThreads, plan.num_bytes, args_);
    });
  }

  [[nodiscard]] int count_units(int unit_rows) const {
    std::int64_t units = 0;
    for (const LinearArgs& args : products_)
      units += (args.weight.rows + unit_rows - 1) / unit_rows;
    return static_cast<int>(units);
  }

  void set_parts(int unit_rows) {
    args_.row_units = 0;
    for (std::size_t i = 0; i < products_.size(); ++i) {
      const LinearArgs& args = products_[i];
      args_.parts[i] = {.weight = args.weight.data,
                        .scale = args.weight.scale,
                        .output = args.output.as<float>(),
                        .rows = static_cast<int>(args.weight.rows),
                        .first_unit = args_.row_units,
                        .accumulate = args.accumulate};
      args_.row_units += static_cast<int>((args.weight.rows + unit_rows - 1) / unit_rows);
    }
  }

  std::span<const LinearArgs> products_;
  Context& context_;
  StreamLinear args_{};
};

}  // namespace

bool stream_linears(std::span<const LinearArgs> products, const RmsNormArgs* norm,
                    Context& context) {
  if (!context.has_bulk_copies || !StreamLinearCall::fits(products)) return false;
  bool done = false;
  for_weight_type(products.front().weight.dtype, [&](auto tag) {
    if constexpr (tag.value != DType::kF32) {
      done = StreamLinearCall(products, norm, context).run<tag.value>();
    }
  });
  return done;
}

}  // namespace m2::cuda
