// The experts of few tokens with int4 weights, through rings of units (int4_ring.cuh). Blocks stay
// on their multiprocessor and take one unit of rows after the other; as in stream_experts.cuh.
#include "cuda/int4_experts.h"

#include <algorithm>

#include "base/error.h"
#include "cuda/combine_experts.h"
#include "cuda/expert_groups.cuh"
#include "cuda/int4_ring.cuh"
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {
namespace {

// The most that share a multiprocessor. Twelve warps alone cannot expand the weights of many
// experts as fast as they come; for a single token one block with a longer ring is faster.
constexpr int kBlocks = 2;
constexpr int kColumns = 8;  // of the mma: tokens of a tile

/// How a launch uses a block's shared memory: sums, activations, ring.
struct Int4Plan {
  int blocks = 0;  // on a multiprocessor
  int tokens = 0;  // rows of activations that a block holds
  int slots = 0;
  int num_bytes = 0;
};

__host__ __device__ constexpr int rows_bytes(int cols, int tokens) {
  return (Int4Tokens::num_bytes(cols, tokens) + 15) / 16 * 16;
}

template <int kGroup>
Int4Plan make_plan(int blocks, int cols, int tokens, int sums_bytes, const Context& context) {
  constexpr int kFewestSlots = 2;
  constexpr int kSpare = 2048;
  using Ring = Int4Ring<kGroup>;
  const int used = sums_bytes + rows_bytes(cols, tokens) + Ring::num_bytes(0);
  const int room = (context.shared_bytes / blocks - kSpare - used) / (2 * Ring::kHalfBytes);
  const int slots = std::min(room, Ring::kMaxSlots);
  M2_REQUIRE(ErrorCode::kUnsupported, slots >= kFewestSlots, "cuda: moe_experts: ", tokens,
             " rows of ", cols, " activations do not fit a multiprocessor beside int4 weights");
  return {blocks, tokens, slots, used + slots * 2 * Ring::kHalfBytes};
}

// sums += the next sixteen rows times `count` tokens.
template <int kGroup, int kColumnTiles>
__device__ void multiply_rows(Int4Ring<kGroup>& ring, const Int4Shape& shape,
                              const Int4Tokens& tokens, int count, LaneSums (&sums)[kColumnTiles]) {
  const int warp = static_cast<int>(threadIdx.x) / 32;
  for (int stage = 0; stage < shape.stages(); ++stage) {
    ring.pop(shape.stage_units(stage), [&](const Int4Piece<kGroup>& rows) {
      const int piece = stage * kStreamWarps + warp;
#pragma unroll
      for (int n = 0; n < kColumnTiles; ++n) {
        if (n > 0 && count <= n * kTileTokens) break;
        multiply<kGroup>(rows, tokens.load(piece, n, count), sums[n]);
      }
    });
  }
}

struct GateUp {
  const float* hidden_states;     // [T, H]
  const ExpertPointers* experts;  // [E]
  ExpertGroupsView groups;
  Int4Shape shape;  // [I, H]
  Activation activation;
  float* inner;  // [T * K, I]
  int top_k;
  Int4Plan plan;
};

// inner = act(gate x) * up x. A unit is eight rows of both matrices and a tile of slots; the upper
// rows of the mma are gate's, the lower ones up's.
template <int kGroup>
__global__ void __launch_bounds__(kInt4Threads, kBlocks) int4_gate_up_kernel(const GateUp args) {
  using Sums = BlockSums<1, kColumns>;
  extern __shared__ uint4 shared[];
  char* rows = reinterpret_cast<char*>(shared) + Sums::kBytes;
  Int4Ring<kGroup> ring(rows + rows_bytes(args.shape.cols, args.plan.tokens), args.plan.slots);
  __syncthreads();
  begin_kernel();
  const int row_units = args.shape.row_units();
  const Span units = share_of(std::int64_t{args.groups.count()} * row_units,
                              static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  UnitPosition position(units.begin, row_units);
  if (is_asking_warp()) {
    for (int unit = units.begin; unit < units.end; ++unit, position.advance(row_units)) {
      const ExpertPointers& expert = args.experts[args.groups.tile(position.outer).expert];
      ring.push(args.shape, expert.gate, expert.up, position.inner);
    }
    return;
  }
  Int4Tokens tokens(rows, args.shape.cols, args.plan.tokens);
  Sums block_sums(reinterpret_cast<char*>(shared));
  ExpertTile slots = {};
  int tile = -1;
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
    multiply_rows<kGroup, Sums::kColumnTiles>(ring, args.shape, tokens, slots.count, sums[0]);
    block_sums.exchange(sums);
    const int first_row = position.inner * kUnitRows;
    for (int i = threadIdx.x; i < kUnitRows * slots.count; i += kMultiplyThreads) {
      const int row = i % kUnitRows;
      const int token = i / kUnitRows;
      if (first_row + row >= args.shape.rows) continue;
      const float gate = tokens.scale(token) * block_sums.sum(0, row, token);
      const float up = tokens.scale(token) * block_sums.sum(0, kUnitRows + row, token);
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
  Int4Shape shape;  // [H, I]
  float* down;      // [T * K, H]
  Int4Plan plan;
};

// The rows of expert_down, one for each slot. A unit is sixteen rows and a tile of slots.
template <int kGroup>
__global__ void __launch_bounds__(kInt4Threads, kBlocks) int4_down_kernel(const Down args) {
  using Sums = BlockSums<1, kColumns>;
  extern __shared__ uint4 shared[];
  char* rows = reinterpret_cast<char*>(shared) + Sums::kBytes;
  Int4Ring<kGroup> ring(rows + rows_bytes(args.shape.cols, args.plan.tokens), args.plan.slots);
  __syncthreads();
  begin_kernel();
  const int row_units = (args.shape.rows + kTileRows - 1) / kTileRows;
  const Span units = share_of(std::int64_t{args.groups.count()} * row_units,
                              static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  UnitPosition position(units.begin, row_units);
  if (is_asking_warp()) {
    for (int unit = units.begin; unit < units.end; ++unit, position.advance(row_units)) {
      const ExpertPointers& expert = args.experts[args.groups.tile(position.outer).expert];
      const auto* lower = static_cast<const char*>(expert.down) +
                          std::int64_t{args.shape.units()} * kUnitBytes<kGroup>;
      ring.push(args.shape, expert.down, lower, 2 * position.inner);
    }
    return;
  }
  Int4Tokens tokens(rows, args.shape.cols, args.plan.tokens);
  Sums block_sums(reinterpret_cast<char*>(shared));
  ExpertTile slots = {};
  int tile = -1;
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
    LaneSums sums[1][Sums::kColumnTiles] = {};
    multiply_rows<kGroup, Sums::kColumnTiles>(ring, args.shape, tokens, slots.count, sums[0]);
    block_sums.exchange(sums);
    const int first_row = position.inner * kTileRows;
    for (int i = threadIdx.x; i < kTileRows * slots.count; i += kMultiplyThreads) {
      const int row = i % kTileRows;
      const int token = i / kTileRows;
      if (first_row + row >= args.shape.rows) continue;
      const std::int64_t slot = args.groups.slot(slots.first + token);
      args.down[slot * args.shape.rows + first_row + row] =
          tokens.scale(token) * block_sums.sum(0, row, token);
    }
  }
}

struct OneTokenDown {
  const float* inner;             // [K, I]
  const ExpertPointers* experts;  // [E]
  const std::int32_t* topk_ids;   // [K]
  const float* topk_weights;      // [K]
  Int4Shape shape;                // [H, I]
  float* output;                  // [H]
  int top_k;
  Int4Plan plan;
};

// A unit is eight rows of all the experts of the token, taken in pairs: the first on the upper rows
// of the mma with the first column of tokens, the second on the lower rows with the second column.
// Their sums meet with the router's weights in registers: no pass through memory.
template <int kGroup>
__global__ void __launch_bounds__(kInt4Threads, kBlocks)
    int4_one_token_down_kernel(const OneTokenDown args) {
  extern __shared__ uint4 shared[];
  __shared__ float partial[2][kStreamWarps][kUnitRows];
  auto* rows = reinterpret_cast<char*>(shared);
  Int4Ring<kGroup> ring(rows + rows_bytes(args.shape.cols, args.top_k), args.plan.slots);
  __syncthreads();
  begin_kernel();
  const Span units =
      share_of(args.shape.row_units(), static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  // An odd last one is its own partner, which counts nothing.
  const auto second_of = [&](int first) { return min(first + 1, args.top_k - 1); };
  if (is_asking_warp()) {
    for (int unit = units.begin; unit < units.end; ++unit) {
      for (int first = 0; first < args.top_k; first += 2) {
        ring.push(args.shape, args.experts[args.topk_ids[first]].down,
                  args.experts[args.topk_ids[second_of(first)]].down, unit);
      }
    }
    return;
  }
  Int4Tokens tokens(rows, args.shape.cols, args.top_k);
  tokens.fill([&](int i) { return args.inner + std::int64_t{i} * args.shape.cols; }, args.top_k,
              {});
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int unit = units.begin; unit < units.end; ++unit) {
    float sum = 0.0F;
    for (int first = 0; first < args.top_k; first += 2) {
      const int second = second_of(first);
      LaneSums sums = {};
      for (int stage = 0; stage < args.shape.stages(); ++stage) {
        ring.pop(args.shape.stage_units(stage), [&](const Int4Piece<kGroup>& piece) {
          const int token = lane < 4 ? first : second;
          multiply<kGroup>(piece, tokens.load_token(stage * kStreamWarps + warp, token), sums);
        });
      }
      sum += args.topk_weights[first] * tokens.scale(first) * sums[0];
      if (second > first) sum += args.topk_weights[second] * tokens.scale(second) * sums[3];
    }
    float(&sums_of_warps)[kStreamWarps][kUnitRows] = partial[(unit - units.begin) % 2];
    if (lane % 4 == 0) sums_of_warps[warp][lane / 4] = sum;
    sync_stream_warps();
    const int row = unit * kUnitRows + static_cast<int>(threadIdx.x);
    if (threadIdx.x >= kUnitRows || row >= args.shape.rows) continue;
    float total = 0.0F;
    for (int i = 0; i < kStreamWarps; ++i) total += sums_of_warps[i][threadIdx.x];
    args.output[row] += total;
  }
}

Int4Shape shape_of(const WeightView& weight) {
  return {static_cast<int>(weight.rows), static_cast<int>(weight.cols)};
}

template <int kGroup>
class Int4ExpertsCall {
 public:
  Int4ExpertsCall(const MoeExpertsArgs& args, Context& context)
      : args_(args),
        context_(context),
        table_(context.expert_tables.find(args.experts, context.stream)),
        num_tokens_(args.hidden_states.shape[0]),
        top_k_(static_cast<int>(args.topk_ids.shape[1])),
        gate_(shape_of(args.experts.front().gate)),
        down_(shape_of(args.experts.front().down)) {
    const auto num_slots = static_cast<std::size_t>(num_tokens_ * top_k_);
    inner_ = context.expert_inner.get<float>(num_slots * static_cast<std::size_t>(gate_.rows));
  }

  void run() {
    // Few tokens of a tile leave room for more stages; hardly any expert has more than those.
    constexpr std::int64_t kFewTokens = 16;
    if (num_tokens_ == 1) return run_one();
    run_tiles(num_tokens_ <= kFewTokens ? kColumns / 2 : kColumns);
  }

 private:
  template <typename Kernel, typename Args>
  void start(Kernel kernel, const Args& args) {
    allow_shared_memory(kernel, args.plan.num_bytes);
    launch_kernel(context_, kernel, static_cast<unsigned>(args.plan.blocks * context_.num_sms),
                  kInt4Threads, args.plan.num_bytes, args);
  }

  void gate_up(const ExpertGroupsView& groups, int tokens) {
    start(int4_gate_up_kernel<kGroup>,
          GateUp{.hidden_states = args_.hidden_states.as<float>(),
                 .experts = table_,
                 .groups = groups,
                 .shape = gate_,
                 .activation = args_.activation,
                 .inner = inner_,
                 .top_k = top_k_,
                 .plan = make_plan<kGroup>(num_tokens_ == 1 ? 1 : kBlocks, gate_.cols, tokens,
                                           BlockSums<1, kColumns>::kBytes, context_)});
  }

  void run_one() {
    gate_up(group_by_expert(args_, 1, context_), 1);
    start(int4_one_token_down_kernel<kGroup>,
          OneTokenDown{.inner = inner_,
                       .experts = table_,
                       .topk_ids = args_.topk_ids.as<std::int32_t>(),
                       .topk_weights = args_.topk_weights.as<float>(),
                       .shape = down_,
                       .output = args_.output.as<float>(),
                       .top_k = top_k_,
                       .plan = make_plan<kGroup>(1, down_.cols, top_k_, 0, context_)});
  }

  void run_tiles(int tokens) {
    const ExpertGroupsView groups = group_by_expert(args_, tokens, context_);
    gate_up(groups, tokens);
    const auto num_slots = static_cast<std::size_t>(num_tokens_ * top_k_);
    auto* down = context_.expert_down.get<float>(num_slots * static_cast<std::size_t>(down_.rows));
    start(int4_down_kernel<kGroup>,
          Down{.inner = inner_,
               .experts = table_,
               .groups = groups,
               .shape = down_,
               .down = down,
               .plan = make_plan<kGroup>(kBlocks, down_.cols, tokens,
                                         BlockSums<1, kColumns>::kBytes, context_)});
    combine_experts(down, args_, context_);
  }

  const MoeExpertsArgs& args_;
  Context& context_;
  const ExpertPointers* table_;
  std::int64_t num_tokens_;
  int top_k_;
  Int4Shape gate_;
  Int4Shape down_;
  float* inner_ = nullptr;
};

}  // namespace

bool has_int4_experts(const MoeExpertsArgs& args) {
  return !args.experts.empty() && is_int4(args.experts.front().gate);
}

void int4_experts(const MoeExpertsArgs& args, Context& context) {
  M2_REQUIRE(ErrorCode::kUnsupported, context.has_bulk_copies,
             "cuda: moe_experts: int4 weights need a device of compute capability 9 or later");
  for_int4_group(args.experts.front().gate,
                 [&](auto group) { Int4ExpertsCall<group()>(args, context).run(); });
  check_launch("moe_experts: int4");
}

}  // namespace m2::cuda
