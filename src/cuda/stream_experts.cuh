// The experts of a layer for few tokens each (row_ring.cuh).
#pragma once

#include "cuda/expert_groups.cuh"
#include "cuda/launch.cuh"
#include "cuda/row_products.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {

/// What the launches share.
struct StreamExperts {
  const MoeExpertsArgs& args;
  const ExpertPointers* table;  // [E]
  ExpertGroupsView groups;
  int tile_tokens;  // slots of a group that share a reading of the weights: 8 or 16
  float* inner;     // [T * K, I]

  /// A block loads the tokens of another expert seldom where most of its units are neighbours.
  [[nodiscard]] UnitShares shares(int chunk) const {
    const bool one_token = groups.tiles == nullptr;
    return {nullptr, one_token ? 1 : chunk, one_token ? 0.0F : 0.8F};
  }
};

constexpr int kGateUpChunk = 4;  // units
constexpr int kDownChunk = 8;

struct GateUp {
  const float* hidden_states;     // [T, H]
  const ExpertPointers* experts;  // [E]
  ExpertGroupsView groups;
  StreamShape shape;       // [I, H]
  StreamShape down_shape;  // [H, I]
  Activation activation;
  float* inner;  // [T * K, I]
  int top_k;
  RowPlan plan;
};

// While the last weights of gate and up come, what the block with this number of the kernel after
// asks for first, for a batch of one token: eight rows of down of every expert.
__device__ inline void prefetch_down(const GateUp& args) {
  const int first_row = static_cast<int>(blockIdx.x) * kTileOfRows;
  const int i = static_cast<int>(threadIdx.x) % 32;
  if (i >= args.groups.count() || first_row >= args.down_shape.rows) return;
  const ExpertPointers& expert = args.experts[args.groups.tile(i).expert];
  const RowStage stage =
      row_stage(args.down_shape, expert.down, nullptr, first_row, kTileOfRows, 0);
  prefetch_bulk(stage.data, stage.rows * args.down_shape.row_bytes);
}

// The expert of a tile, looked up ahead of its turn.
struct PreparedTile {
  ExpertPointers expert;
  int tile;
};

// Of the tile that a unit belongs to.
__device__ inline PreparedTile prepare_tile(const ExpertPointers* experts,
                                            const ExpertGroupsView& groups, int tile) {
  return {experts[groups.tile(tile).expert], tile};
}

template <int kPieces>
struct GateUpSource {
  const GateUp& args;
  int row_units;

  __device__ PreparedTile prepare(int unit) const {
    return prepare_tile(args.experts, args.groups, unit / row_units);
  }
  __device__ RowStage stage_of(PreparedTile& prepared, int unit, int stage) const {
    constexpr int kStages = kTileStages<kPieces>;
    const UnitPosition position(unit, row_units);
    if (position.outer != prepared.tile) {
      prepared = prepare_tile(args.experts, args.groups, position.outer);
    }
    const ExpertPointers& expert = prepared.expert;
    const bool is_gate = stage < kStages;
    return row_stage(args.shape, is_gate ? expert.gate : expert.up,
                     is_gate ? expert.gate_scale : expert.up_scale, position.inner * kTileOfRows,
                     kTileOfRows, stage % kStages);
  }
};

// inner = act(gate x) * up x. A unit is eight rows of both matrices and a tile of slots.
template <DType kType, int kTokens, int kPieces>
__global__ void __launch_bounds__(kRowThreads, 1) gate_up_kernel(const GateUp args) {
  using Tokens = TokenFragments<kType, kTokens, kPieces>;
  using Sums = WarpSums<2, kTokens>;
  extern __shared__ uint4 shared[];
  RowRing<kType> ring(reinterpret_cast<char*>(shared) + Sums::kBytes, args.plan.slots,
                      args.plan.slot_bytes);
  __syncthreads();
  await_earlier_kernels();
  release_next_kernel();  // now: the down kernel takes the experts' choice for made
  const int row_units = (args.shape.rows + kTileOfRows - 1) / kTileOfRows;
  if (is_asker()) {
    ring.ask(args.plan.shares, args.groups.count() * row_units, 2 * kTileStages<kPieces>,
             args.shape.row_bytes, GateUpSource<kPieces>{args, row_units});
    if (args.groups.tiles == nullptr) prefetch_down(args);
    return;
  }
  Tokens tokens;
  Sums warp_sums(reinterpret_cast<char*>(shared));
  ExpertTile slots = {};
  int tile = -1;
  for (int unit = ring.next_unit(); unit >= 0; unit = ring.next_unit()) {
    const UnitPosition position(unit, row_units);
    if (position.outer != tile) {
      const bool is_first = tile < 0;
      tile = position.outer;
      slots = args.groups.tile(tile);
      const auto row_of = [&](int i) {
        const int token = args.groups.slot(slots.first + i) / args.top_k;
        return args.hidden_states + std::int64_t{token} * args.shape.cols;
      };
      if (args.groups.tiles != nullptr) {
        tokens.fill(row_of, slots.count, args.shape.cols);
      } else if constexpr (kTokens == kTileTokens) {
        if (is_first) tokens.fill_one(args.hidden_states, args.shape.cols);  // the only token
      }
    }
    float sums[2][Tokens::kSums] = {};
    multiply_tiles(ring, args.shape, tokens, sums);
    warp_sums.exchange(sums);
    const int row = static_cast<int>(threadIdx.x) % kTileOfRows;
    const int token = static_cast<int>(threadIdx.x) / kTileOfRows;
    const int at = position.inner * kTileOfRows + row;
    if (token >= slots.count || at >= args.shape.rows) continue;
    const float gate = warp_sums.sum(0, row, token);
    const float up = warp_sums.sum(1, row, token);
    const std::int64_t slot = args.groups.slot(slots.first + token);
    args.inner[slot * args.shape.rows + at] = device_activate(args.activation, gate) * up;
  }
}

struct Down {
  const float* inner;             // [T * K, I]
  const ExpertPointers* experts;  // [E]
  ExpertGroupsView groups;
  StreamShape shape;  // [H, I]
  float* down;        // [T * K, H]
  RowPlan plan;
};

constexpr int kDownTiles = 2;

/// Tiles of down that a stage takes: narrow rows of both come with one copy.
template <int kPieces>
constexpr int kDownStageTiles = kPieces == 1 ? kDownTiles : 1;

template <int kPieces>
struct DownSource {
  static constexpr int kStageRows = kDownStageTiles<kPieces> * kTileOfRows;
  const Down& args;
  int row_units;

  __device__ PreparedTile prepare(int unit) const {
    return prepare_tile(args.experts, args.groups, unit / row_units);
  }
  __device__ RowStage stage_of(PreparedTile& prepared, int unit, int stage) const {
    const UnitPosition position(unit, row_units);
    if (position.outer != prepared.tile) {
      prepared = prepare_tile(args.experts, args.groups, position.outer);
    }
    // A tile beyond the last row is the last tile again; its sums go nowhere.
    const int first_row =
        min(position.inner * kDownTiles * kTileOfRows + stage / kTileStages<kPieces> * kTileOfRows,
            (args.shape.rows - 1) / kTileOfRows * kTileOfRows);
    return row_stage(args.shape, prepared.expert.down, prepared.expert.down_scale, first_row,
                     kStageRows, stage % kTileStages<kPieces>);
  }
};

// The rows of expert_down, one for each slot. A unit is two tiles of rows and a tile of slots. The
// kernel before it, gate_up, lets it start when the experts are known: it asks for their weights at
// once.
template <DType kType, int kTokens, int kPieces>
__global__ void __launch_bounds__(kRowThreads, 1) down_kernel(const Down args) {
  constexpr int kRows = kDownTiles * kTileOfRows;
  constexpr int kStageRows = kDownStageTiles<kPieces> * kTileOfRows;
  using Tokens = TokenFragments<kType, kTokens, kPieces>;
  using Sums = WarpSums<kDownTiles, kTokens>;
  extern __shared__ uint4 shared[];
  RowRing<kType> ring(reinterpret_cast<char*>(shared) + Sums::kBytes, args.plan.slots,
                      args.plan.slot_bytes);
  __syncthreads();
  const int row_units = (args.shape.rows + kRows - 1) / kRows;
  if (is_asker()) {
    constexpr int kStages = kRows / kStageRows * kTileStages<kPieces>;
    return ring.ask(args.plan.shares, args.groups.count() * row_units, kStages,
                    args.shape.row_bytes, DownSource<kPieces>{args, row_units});
  }
  begin_kernel();
  Tokens tokens;
  Sums warp_sums(reinterpret_cast<char*>(shared));
  ExpertTile slots = {};
  int tile = -1;
  for (int unit = ring.next_unit(); unit >= 0; unit = ring.next_unit()) {
    const UnitPosition position(unit, row_units);
    if (position.outer != tile) {
      tile = position.outer;
      slots = args.groups.tile(tile);
      const auto row_of = [&](int i) {
        return args.inner + std::int64_t{args.groups.slot(slots.first + i)} * args.shape.cols;
      };
      tokens.fill(row_of, slots.count, args.shape.cols);
    }
    float sums[kDownTiles][Tokens::kSums] = {};
    if constexpr (kDownStageTiles<kPieces> == kDownTiles) {
      multiply_stage<0>(ring, stage_width(args.shape, 0), tokens, sums);
    } else {
      multiply_tiles(ring, args.shape, tokens, sums);
    }
    warp_sums.exchange(sums);
    const int row = static_cast<int>(threadIdx.x) % kRows;
    const int token = static_cast<int>(threadIdx.x) / kRows;
    const int at = position.inner * kRows + row;
    if (token >= slots.count || at >= args.shape.rows) continue;
    const std::int64_t slot = args.groups.slot(slots.first + token);
    args.down[slot * args.shape.rows + at] =
        warp_sums.sum(row / kTileOfRows, row % kTileOfRows, token);
  }
}

/// Slots of an expert that share a reading of its weights; their activations stay in registers.
template <DType kType>
int tile_tokens_of(const MoeExpertsArgs& args) {
  constexpr int kFewTokens = 16;  // of the batch: hardly any expert has more than a tile of eight
  const ExpertWeights& first = args.experts.front();
  const int pieces =
      std::max(pieces_of_warp(stream_shape(first.gate)), pieces_of_warp(stream_shape(first.down)));
  constexpr int kMostPieces = kType == DType::kBF16 ? 0 : kType == DType::kF8E4M3 ? 2 : 4;
  const bool many = args.hidden_states.shape[0] > kFewTokens && pieces <= kMostPieces;
  return many ? 2 * kTileTokens : kTileTokens;
}

/// Calls body(integral_constant of the tokens, integral_constant of the pieces).
template <DType kType, typename Body>
void for_tile(int tile_tokens, const StreamShape& shape, const Body& body) {
  for_pieces(pieces_of_warp(shape), [&](auto pieces) {
    constexpr bool kHasMany =
        kType != DType::kBF16 && (kType != DType::kF8E4M3 || pieces.value <= 2);
    if constexpr (kHasMany) {
      if (tile_tokens > kTileTokens) {
        return body(std::integral_constant<int, 2 * kTileTokens>(), pieces);
      }
    }
    body(std::integral_constant<int, kTileTokens>(), pieces);
  });
}

template <DType kType>
void stream_gate_up(const StreamExperts& call, Context& context) {
  const ExpertWeights& first = call.args.experts.front();
  GateUp args = {.hidden_states = call.args.hidden_states.as<float>(),
                 .experts = call.table,
                 .groups = call.groups,
                 .shape = stream_shape(first.gate),
                 .down_shape = stream_shape(first.down),
                 .activation = call.args.activation,
                 .inner = call.inner,
                 .top_k = static_cast<int>(call.args.topk_ids.shape[1]),
                 .plan = {}};
  for_tile<kType>(call.tile_tokens, args.shape, [&](auto tokens, auto pieces) {
    args.plan = plan_rows<kType>(args.shape, kTileOfRows, WarpSums<2, tokens.value>::kBytes,
                                 call.shares(kGateUpChunk), context);
    const auto kernel = gate_up_kernel<kType, tokens.value, pieces.value>;
    allow_shared_memory(kernel, args.plan.num_bytes);
    launch_kernel(context, kernel, static_cast<unsigned>(context.num_sms), kRowThreads,
                  args.plan.num_bytes, args);
  });
}

template <DType kType>
void stream_down(const StreamExperts& call, float* down, Context& context) {
  Down args = {.inner = call.inner,
               .experts = call.table,
               .groups = call.groups,
               .shape = stream_shape(call.args.experts.front().down),
               .down = down,
               .plan = {}};
  for_tile<kType>(call.tile_tokens, args.shape, [&](auto tokens, auto pieces) {
    args.plan = plan_rows<kType>(args.shape, kDownStageTiles<pieces.value> * kTileOfRows,
                                 WarpSums<kDownTiles, tokens.value>::kBytes,
                                 call.shares(kDownChunk), context);
    const auto kernel = down_kernel<kType, tokens.value, pieces.value>;
    allow_shared_memory(kernel, args.plan.num_bytes);
    launch_kernel(context, kernel, static_cast<unsigned>(context.num_sms), kRowThreads,
                  args.plan.num_bytes, args);
  });
}

}  // namespace m2::cuda
