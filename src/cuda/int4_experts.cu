// The experts of few tokens with int4 weights, each warp with a stream of its own
// (int4_stream.cuh). Blocks stay on their multiprocessor; the tiles of rows of all experts are
// shared evenly. The fewest tokens take another kernel (int4_few_experts.cu), in which more
// instructions go into sums: it is the faster one where experts have one or two tokens.
#include "cuda/int4_experts.h"

#include <algorithm>

#include "base/error.h"
#include "cuda/combine_experts.h"
#include "cuda/expert_groups.cuh"
#include "cuda/int4_few_experts.h"
#include "cuda/int4_stream.cuh"
#include "cuda/launch.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {
namespace {

constexpr int kThreads = 32 * kStreamWarps;

// Out of the way of the instructions that most layers need.
__device__ __noinline__ float other_activation(Activation activation, float x) {
  return device_activate(activation, x);
}
__device__ inline float quick_activate(Activation activation, float x) {
  return activation == Activation::kSilu ? x * sigmoid(x) : other_activation(activation, x);
}

// The slots of a lane's two tokens of a tile.
struct SlotPair {
  int slot[2];

  __device__ SlotPair(const ExpertGroupsView& groups, const ExpertTile& tile, int token) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      slot[i] = groups.slot(tile.first + min(token + i, tile.count - 1));
    }
  }
};

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

// inner = act(gate x) * up x. A tile is eight rows of both matrices times a tile of slots; the
// upper rows of the mma are gate's, the lower ones up's.
template <int kGroup>
__global__ void __launch_bounds__(kThreads, 1) int4_gate_up_kernel(const GateUp args) {
  extern __shared__ uint4 shared[];
  Int4Stream<kGroup> stream(shared, args.shape, args.plan);
  await_earlier_kernels();
  release_next_kernel();  // now: the down kernel takes the experts' choice for made
  const int row_tiles = args.shape.rows / kUnitRows;
  const Span tiles = share_of(std::int64_t{args.groups.count()} * row_tiles,
                              static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  const auto source_of = [&](int tile) {
    const ExpertPointers& expert = args.experts[args.groups.tile(tile).expert];
    return TileSource{static_cast<const char*>(expert.gate), static_cast<const char*>(expert.up)};
  };
  const int first = tiles.begin + stream.warp();
  stream.start({first, tiles.end, kStreamWarps, row_tiles, stream.eight_rows(args.shape)},
               source_of);
  UnitPosition position(tiles.begin, row_tiles);
  int at = first;
  for (int begin = tiles.begin - position.inner; begin < tiles.end; begin += row_tiles) {
    const ExpertTile slots = args.groups.tile(position.outer++);
    const bool same = args.groups.tiles == nullptr && begin > tiles.begin;  // the only token
    if (!same) {
      stream.fill(
          [&](int i) {
            const std::int64_t token = args.groups.slot(slots.first + i) / args.top_k;
            return args.hidden_states + token * args.shape.cols;
          },
          slots.count);
    }
    const SlotPair own(args.groups, slots, stream.lane() % 4 * 2);
    const int end = min(tiles.end, begin + row_tiles);
    for (; at < end; at += kStreamWarps) {
      const int row = (at - begin) * kUnitRows + stream.lane() / 4;
      stream.multiply(source_of, slots.count, [&](int i, float gate, float up) {
        args.inner[std::int64_t{own.slot[i]} * args.shape.rows + row] =
            quick_activate(args.activation, gate) * up;
      });
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

// The rows of expert_down, one for each slot. A tile is sixteen rows times a tile of slots. The
// kernel before it, gate_up, lets it start when the experts are known: it asks for their weights at
// once.
template <int kGroup>
__global__ void __launch_bounds__(kThreads, 1) int4_down_kernel(const Down args) {
  extern __shared__ uint4 shared[];
  Int4Stream<kGroup> stream(shared, args.shape, args.plan);
  const int row_tiles = args.shape.rows / kTileRows;
  const Span tiles = share_of(std::int64_t{args.groups.count()} * row_tiles,
                              static_cast<int>(blockIdx.x), static_cast<int>(gridDim.x));
  const int eight_rows = stream.eight_rows(args.shape);
  const auto source_of = [&](int tile) {
    const ExpertPointers& expert = args.experts[args.groups.tile(tile).expert];
    const auto* down = static_cast<const char*>(expert.down);
    return TileSource{down, down + eight_rows};
  };
  const int first = tiles.begin + stream.warp();
  stream.start({first, tiles.end, kStreamWarps, row_tiles, 2 * eight_rows}, source_of);
  begin_kernel();
  UnitPosition position(tiles.begin, row_tiles);
  int at = first;
  for (int begin = tiles.begin - position.inner; begin < tiles.end; begin += row_tiles) {
    const ExpertTile slots = args.groups.tile(position.outer++);
    stream.fill(
        [&](int i) {
          const std::int64_t slot = args.groups.slot(slots.first + i);
          return args.inner + slot * args.shape.cols;
        },
        slots.count);
    const SlotPair own(args.groups, slots, stream.lane() % 4 * 2);
    const int end = min(tiles.end, begin + row_tiles);
    for (; at < end; at += kStreamWarps) {
      const int row = (at - begin) * kTileRows + stream.lane() / 4;
      stream.multiply(source_of, slots.count, [&](int i, float upper, float lower) {
        float* to = args.down + std::int64_t{own.slot[i]} * args.shape.rows + row;
        to[0] = upper;
        to[kUnitRows] = lower;
      });
    }
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
    inner_ = context.expert_inner.get<float>(num_slots() * static_cast<std::size_t>(gate_.rows));
  }

  void run() {
    // Few tokens of a tile leave room for more stages; hardly any expert has more than those.
    constexpr std::int64_t kFewTokens = 16;
    int tokens = num_tokens_ <= kFewTokens ? kTileTokens / 2 : kTileTokens;
    const int widest = std::max(gate_.cols, down_.cols);
    while (tokens > 0 && !fits(widest, tokens)) --tokens;
    M2_REQUIRE(ErrorCode::kUnsupported, tokens > 0, "cuda: moe_experts: a row of ", widest,
               " activations does not fit a multiprocessor beside int4 weights");
    const ExpertGroupsView groups = group_by_expert(args_, tokens, context_);
    gate_up(groups, tokens);
    down(groups, tokens);
  }

 private:
  [[nodiscard]] std::size_t num_slots() const {
    return static_cast<std::size_t>(num_tokens_ * top_k_);
  }

  [[nodiscard]] bool fits(int cols, int tokens) const { return plan(cols, tokens).tokens > 0; }
  [[nodiscard]] Int4Plan plan(int cols, int tokens) const {
    constexpr int kFewestSlots = 2;
    constexpr int kSpare = 1024;
    using Stream = Int4Stream<kGroup>;
    const int slot_bytes = kStreamWarps * 2 * Stream::kHalfBytes;
    const int room = context_.shared_bytes - kSpare - Stream::num_bytes(cols, tokens, 0);
    const int slots = std::min(room / slot_bytes, Stream::kMaxSlots);
    if (slots < kFewestSlots) return {};
    return {tokens, slots, Stream::num_bytes(cols, tokens, slots)};
  }

  template <typename Kernel, typename Args>
  void start(Kernel kernel, const Args& args) {
    allow_shared_memory(kernel, args.plan.num_bytes);
    launch_kernel(context_, kernel, static_cast<unsigned>(context_.num_sms), kThreads,
                  args.plan.num_bytes, args);
  }

  void gate_up(const ExpertGroupsView& groups, int tokens) {
    start(int4_gate_up_kernel<kGroup>, GateUp{.hidden_states = args_.hidden_states.as<float>(),
                                              .experts = table_,
                                              .groups = groups,
                                              .shape = gate_,
                                              .activation = args_.activation,
                                              .inner = inner_,
                                              .top_k = top_k_,
                                              .plan = plan(gate_.cols, tokens)});
  }

  void down(const ExpertGroupsView& groups, int tokens) {
    auto* down =
        context_.expert_down.get<float>(num_slots() * static_cast<std::size_t>(down_.rows));
    start(int4_down_kernel<kGroup>, Down{.inner = inner_,
                                         .experts = table_,
                                         .groups = groups,
                                         .shape = down_,
                                         .down = down,
                                         .plan = plan(down_.cols, tokens)});
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
  if (!int4_few_experts(args, context)) {
    for_int4_group(args.experts.front().gate,
                   [&](auto group) { Int4ExpertsCall<group()>(args, context).run(); });
  }
  check_launch("moe_experts: int4");
}

}  // namespace m2::cuda
