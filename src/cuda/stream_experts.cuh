// The experts of a layer through the weight rings (row_stream.cuh).
#pragma once

#include "cuda/expert_groups.cuh"
#include "cuda/launch.cuh"
#include "cuda/row_stream.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {

/// What the launches share.
struct StreamExperts {
  const MoeExpertsArgs& args;
  const ExpertPointers* table;  // [E]
  ExpertGroupsView groups;
  float* inner;  // [T * K, I]
};

struct GateUp {
  const float* hidden_states;     // [T, H]
  const ExpertPointers* experts;  // [E]
  ExpertGroupsView groups;
  StreamShape shape;  // [I, H]
  Activation activation;
  float* inner;  // [T * K, I]
  int top_k;
  StreamPlan plan;
};

// inner = act(gate x) * up x. A unit is eight rows of both matrices and a tile of slots; the upper
// rows of the mma are gate's, the lower ones up's.
template <DType kType, int kColumns>
__global__ void __launch_bounds__(kStreamThreads, 1) gate_up_kernel(const GateUp args) {
  constexpr int kRows = kTileRows / 2;
  using Sums = BlockSums<1, kColumns>;
  extern __shared__ uint4 shared[];
  const StreamMemory<kType, 1, kColumns> memory(shared, args.shape.cols, args.plan.tokens);
  WeightRing<kType> ring(memory.ring, args.plan.slots);
  __syncthreads();
  await_earlier_kernels();
  release_next_kernel();  // now: the down kernel takes the experts' choice for made
  const int row_units = (args.shape.rows + kRows - 1) / kRows;
  const Span units = share_of(std::int64_t{args.groups.count()} * row_units,
                              static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  if (is_asking_warp()) {
    return ask_for_tiles(ring, args.shape, units, row_units, [&](const UnitPosition& position) {
      const ExpertPointers& expert = args.experts[args.groups.tile(position.outer).expert];
      const int first_row = position.inner * kRows;
      return lane_source(args.shape, {expert.gate, expert.gate_scale, first_row},
                         {expert.up, expert.up_scale, first_row});
    });
  }
  TokenRows<kType> tokens(memory.rows, args.shape.cols, args.plan.tokens);
  Sums block_sums(memory.sums);
  ExpertTile slots = {};
  int tile = -1;
  UnitPosition position(units.begin, row_units);
  for (int unit = units.begin; unit < units.end; ++unit, position.advance(row_units)) {
    if (position.outer != tile) {
      tile = position.outer;
      slots = args.groups.tile(tile);
      const auto row_of = [&](int i) {
        const std::int64_t token = args.groups.slot(slots.first + i) / args.top_k;
        return args.hidden_states + token * args.shape.cols;
      };
      const bool same = args.groups.tiles == nullptr && unit > units.begin;  // the only token
      if (!same) tokens.fill(row_of, slots.count, {});
    }
    LaneSums sums[1][Sums::kColumnTiles] = {};
    multiply_tile(ring, args.shape, tokens, slots.count, sums[0]);
    block_sums.exchange(sums);
    const int first_row = position.inner * kRows;
    for (int i = threadIdx.x; i < kRows * slots.count; i += kMultiplyThreads) {
      const int row = i % kRows;
      const int token = i / kRows;
      if (first_row + row >= args.shape.rows) continue;
      const float gate = tokens.scale(token) * block_sums.sum(0, row, token);
      const float up = tokens.scale(token) * block_sums.sum(0, kRows + row, token);
      const std::int64_t slot = args.groups.slot(slots.first + token);
      args.inner[slot * args.shape.rows + first_row + row] =
          device_activate(args.activation, gate) * up;
    }
  }
}

struct Down {
  const float* inner;             // [T * K, I]
  const ExpertPointers* experts;  // [E]
  ExpertGroupsView groups;
  StreamShape shape;  // [H, I]
  float* down;        // [T * K, H]
  StreamPlan plan;
};

constexpr int kDownTiles = 2;

// The rows of expert_down, one for each slot. A unit is two tiles of rows and a tile of slots. The
// kernel before it, gate_up, lets it start when the experts are known: it asks for their weights at
// once.
template <DType kType, int kColumns>
__global__ void __launch_bounds__(kStreamThreads, 1) down_kernel(const Down args) {
  constexpr int kRows = kDownTiles * kTileRows;
  using Sums = BlockSums<kDownTiles, kColumns>;
  extern __shared__ uint4 shared[];
  const StreamMemory<kType, kDownTiles, kColumns> memory(shared, args.shape.cols, args.plan.tokens);
  WeightRing<kType> ring(memory.ring, args.plan.slots);
  __syncthreads();
  const int row_units = (args.shape.rows + kRows - 1) / kRows;
  const Span units = share_of(std::int64_t{args.groups.count()} * row_units,
                              static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  if (is_asking_warp()) {
    return ask_for_tiles(
        ring, args.shape, {units.begin * kDownTiles, units.end * kDownTiles},
        row_units * kDownTiles, [&](const UnitPosition& position) {
          const ExpertPointers& expert = args.experts[args.groups.tile(position.outer).expert];
          const int first_row = position.inner * kTileRows;
          return lane_source(args.shape, {expert.down, expert.down_scale, first_row},
                             {expert.down, expert.down_scale, first_row + kTileRows / 2});
        });
  }
  begin_kernel();
  TokenRows<kType> tokens(memory.rows, args.shape.cols, args.plan.tokens);
  Sums block_sums(memory.sums);
  ExpertTile slots = {};
  int tile = -1;
  UnitPosition position(units.begin, row_units);
  for (int unit = units.begin; unit < units.end; ++unit, position.advance(row_units)) {
    if (position.outer != tile) {
      tile = position.outer;
      slots = args.groups.tile(tile);
      const auto row_of = [&](int i) {
        const std::int64_t slot = args.groups.slot(slots.first + i);
        return args.inner + slot * args.shape.cols;
      };
      tokens.fill(row_of, slots.count, {});
    }
    LaneSums sums[kDownTiles][Sums::kColumnTiles] = {};
#pragma unroll
    for (int m = 0; m < kDownTiles; ++m) {
      multiply_tile(ring, args.shape, tokens, slots.count, sums[m]);
    }
    block_sums.exchange(sums);
    const int first_row = position.inner * kRows;
    for (int i = threadIdx.x; i < kRows * slots.count; i += kMultiplyThreads) {
      const int row = i % kRows;
      const int token = i / kRows;
      if (first_row + row >= args.shape.rows) continue;
      const std::int64_t slot = args.groups.slot(slots.first + token);
      args.down[slot * args.shape.rows + first_row + row] =
          tokens.scale(token) * block_sums.sum(row / kTileRows, row % kTileRows, token);
    }
  }
}

struct OneTokenDown {
  const float* inner;             // [K, I]
  const ExpertPointers* experts;  // [E]
  const std::int32_t* topk_ids;   // [K]
  const float* topk_weights;      // [K]
  StreamShape shape;              // [H, I]
  float* output;                  // [H]
  int top_k;
  StreamPlan plan;
};

// A unit is eight rows of all the experts of the token, taken in pairs: the first on the upper rows
// of the mma with the first column of tokens, the second on the lower rows with the second column.
// Their sums meet with the router's weights in registers: no pass through memory.
template <DType kType>
__global__ void __launch_bounds__(kStreamThreads, 1)
    one_token_down_kernel(const OneTokenDown args) {
  constexpr int kRows = kTileRows / 2;
  extern __shared__ uint4 shared[];
  __shared__ float partial[2][kStreamWarps][kRows];
  const StreamMemory<kType, 1, 2> memory(shared, args.shape.cols, args.top_k);
  WeightRing<kType> ring(memory.ring, args.plan.slots);
  __syncthreads();
  const int row_units = (args.shape.rows + kRows - 1) / kRows;
  const Span units = share_of(row_units, static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  const int pairs = (args.top_k + 1) / 2;
  if (is_asking_warp()) {
    const auto half_tile = [&](int choice, int row_unit) {
      // An odd last one is its own partner, which counts nothing.
      const ExpertPointers& expert = args.experts[args.topk_ids[min(choice, args.top_k - 1)]];
      return HalfTile{expert.down, expert.down_scale, row_unit * kRows};
    };
    return ask_for_tiles(ring, args.shape, {units.begin * pairs, units.end * pairs}, pairs,
                         [&](const UnitPosition& position) {
                           return lane_source(args.shape,
                                              half_tile(2 * position.inner, position.outer),
                                              half_tile(2 * position.inner + 1, position.outer));
                         });
  }
  begin_kernel();
  TokenRows<kType> tokens(memory.rows, args.shape.cols, args.top_k);
  tokens.fill([&](int i) { return args.inner + std::int64_t{i} * args.shape.cols; }, args.top_k,
              {});
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int unit = units.begin; unit < units.end; ++unit) {
    float sum = 0.0F;
    for (int first = 0; first < args.top_k; first += 2) {
      const int second = min(first + 1, args.top_k - 1);
      LaneSums sums = {};
      for (int stage = 0; stage < args.shape.stages(); ++stage) {
        ring.pop(stage_bytes(args.shape, stage), [&](const TilePiece& rows) {
          const int token = lane < 4 ? first : second;
          multiply<kType>(rows, tokens.load_token(stage * kStreamWarps + warp, token), sums);
        });
      }
      sum += args.topk_weights[first] * tokens.scale(first) * sums[0];
      if (second > first) sum += args.topk_weights[second] * tokens.scale(second) * sums[3];
    }
    float(&sums_of_warps)[kStreamWarps][kRows] = partial[(unit - units.begin) % 2];
    if (lane % 4 == 0) sums_of_warps[warp][lane / 4] = sum;
    sync_stream_warps();
    const int row = unit * kRows + static_cast<int>(threadIdx.x);
    if (threadIdx.x >= kRows || row >= args.shape.rows) continue;
    float total = 0.0F;
    for (int i = 0; i < kStreamWarps; ++i) total += sums_of_warps[i][threadIdx.x];
    args.output[row] += total;
  }
}

struct ExpertPlans {
  StreamPlan gate_up;
  StreamPlan down;
  int tile_tokens = 0;
};

/// How many tokens of an expert share a reading of its weights.
template <DType kType>
ExpertPlans plan_experts(const MoeExpertsArgs& args, const Context& context) {
  constexpr int kFewTokens = 16;  // of the batch: hardly any expert has more than a tile of eight
  const std::int64_t num_tokens = args.hidden_states.shape[0];
  const int wanted = num_tokens == 1 ? 1 : num_tokens <= kFewTokens ? 8 : 16;
  const ExpertWeights& first = args.experts.front();
  const auto cols = [](const WeightView& weight) { return static_cast<int>(weight.cols); };
  ExpertPlans plans = {plan_stream<kType, 1>(cols(first.gate), wanted, context),
                       plan_stream<kType, kDownTiles>(cols(first.down), wanted, context)};
  plans.tile_tokens = std::min(plans.gate_up.tokens, plans.down.tokens);
  return plans;
}

template <DType kType>
void stream_gate_up(const StreamExperts& call, const StreamPlan& plan, Context& context) {
  const GateUp args = {.hidden_states = call.args.hidden_states.as<float>(),
                       .experts = call.table,
                       .groups = call.groups,
                       .shape = stream_shape(call.args.experts.front().gate),
                       .activation = call.args.activation,
                       .inner = call.inner,
                       .top_k = static_cast<int>(call.args.topk_ids.shape[1]),
                       .plan = plan};
  for_columns(plan.columns, [&](auto columns) {
    const auto kernel = gate_up_kernel<kType, columns()>;
    allow_shared_memory(kernel, plan.num_bytes);
    launch_kernel(context, kernel, static_cast<unsigned>(context.num_sms), kStreamThreads,
                  plan.num_bytes, args);
  });
}

template <DType kType>
void stream_down(const StreamExperts& call, const StreamPlan& plan, float* down, Context& context) {
  const Down args = {.inner = call.inner,
                     .experts = call.table,
                     .groups = call.groups,
                     .shape = stream_shape(call.args.experts.front().down),
                     .down = down,
                     .plan = plan};
  for_columns(plan.columns, [&](auto columns) {
    const auto kernel = down_kernel<kType, columns()>;
    allow_shared_memory(kernel, plan.num_bytes);
    launch_kernel(context, kernel, static_cast<unsigned>(context.num_sms), kStreamThreads,
                  plan.num_bytes, args);
  });
}

/// Down and the weighted sum for a batch of one token; false where the chosen experts' activations
/// do not fit a block.
template <DType kType>
bool one_token_down(const StreamExperts& call, Context& context) {
  const StreamShape shape = stream_shape(call.args.experts.front().down);
  const auto top_k = static_cast<int>(call.args.topk_ids.shape[1]);
  const StreamPlan plan = plan_columns<kType, 1, 2>(shape.cols, top_k, kShortRing, context);
  if (plan.tokens == 0) return false;
  const auto kernel = one_token_down_kernel<kType>;
  allow_shared_memory(kernel, plan.num_bytes);
  launch_kernel(context, kernel, static_cast<unsigned>(context.num_sms), kStreamThreads,
                plan.num_bytes,
                {.inner = call.inner,
                 .experts = call.table,
                 .topk_ids = call.args.topk_ids.as<std::int32_t>(),
                 .topk_weights = call.args.topk_weights.as<float>(),
                 .shape = shape,
                 .output = call.args.output.as<float>(),
                 .top_k = top_k,
                 .plan = plan});
  return true;
}

}  // namespace m2::cuda
