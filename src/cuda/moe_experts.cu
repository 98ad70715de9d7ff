#include "ops/moe_experts.h"

#include <iterator>

#include "cuda/context.h"
#include "cuda/dispatch.h"
#include "cuda/expert_groups.cuh"
#include "cuda/launch.cuh"
#include "cuda/moe_experts_plain.cuh"
#include "cuda/one_token_experts.h"
#include "cuda/row_stream.cuh"

namespace m2::cuda {
namespace {

// The token tiles of a block: one, or four where the experts have many tokens.
constexpr int kFewTiles = 1;
constexpr int kManyTiles = 4;

struct GateUp {
  const float* hidden_states;     // [T, H]
  const ExpertPointers* experts;  // [E]
  ExpertGroupsView groups;
  StreamShape shape;  // [I, H]
  Activation activation;
  float* inner;  // [T * K, I]
  int top_k;
};

// inner = act(gate x) * up x. Grid: x tiles of rows, y tiles of slots.
template <DType kType, int kTokenTiles>
__global__ void __launch_bounds__(kStreamThreads, kStreamBlocks<kTokenTiles>)
    gate_up_kernel(GateUp args) {
  __shared__ BlockSums<2, kTokenTiles> partial;
  begin_kernel();
  const ExpertTile slots = args.groups.tile(blockIdx.y);
  if (slots.count == 0) return;
  const ExpertPointers& expert = args.experts[slots.expert];
  const int first_row = static_cast<int>(blockIdx.x) * kTileRows;
  const RowTile tiles[2] = {{expert.gate, expert.gate_scale, first_row},
                            {expert.up, expert.up_scale, first_row}};
  const WarpChunks chunks(args.shape);
  RowStream<kType, 2, kTokenTiles> stream(args.shape, tiles, chunks.begin, chunks.end);
  stream.start();
  const auto row_of = [&](int i) -> const float* {
    if (i >= slots.count) return nullptr;
    const std::int64_t token = args.groups.slot(slots.first + i) / args.top_k;
    return args.hidden_states + token * args.shape.cols;
  };
  LaneSums sums[2][kTokenTiles] = {};
  stream.multiply(row_of, sums);
  partial.store(sums);
  __syncthreads();

  for (int i = threadIdx.x; i < kTileRows * slots.count; i += kStreamThreads) {
    const int row = i % kTileRows;
    if (first_row + row >= args.shape.rows) continue;
    const float gate = partial.sum(0, row, i / kTileRows);
    const float up = partial.sum(1, row, i / kTileRows);
    const std::int64_t slot = args.groups.slot(slots.first + i / kTileRows);
    args.inner[slot * args.shape.rows + first_row + row] =
        device_activate(args.activation, gate) * up;
  }
}

struct Down {
  const float* inner;             // [T * K, I]
  const ExpertPointers* experts;  // [E]
  ExpertGroupsView groups;
  StreamShape shape;  // [H, I]
  float* down;        // [T * K, H]
};

constexpr int kDownTiles = 2;
constexpr int kDownRows = kDownTiles * kTileRows;

// Grid: x blocks of rows, y tiles of slots.
template <DType kType, int kTokenTiles>
__global__ void __launch_bounds__(kStreamThreads, kStreamBlocks<kTokenTiles>)
    down_kernel(Down args) {
  __shared__ BlockSums<kDownTiles, kTokenTiles> partial;
  begin_kernel();
  const ExpertTile slots = args.groups.tile(blockIdx.y);
  if (slots.count == 0) return;
  const ExpertPointers& expert = args.experts[slots.expert];
  const int first_row = static_cast<int>(blockIdx.x) * kDownRows;
  const RowTile tiles[kDownTiles] = {{expert.down, expert.down_scale, first_row},
                                     {expert.down, expert.down_scale, first_row + kTileRows}};
  const WarpChunks chunks(args.shape);
  RowStream<kType, kDownTiles, kTokenTiles> stream(args.shape, tiles, chunks.begin, chunks.end);
  stream.start();
  const auto row_of = [&](int i) -> const float* {
    if (i >= slots.count) return nullptr;
    const std::int64_t slot = args.groups.slot(slots.first + i);
    return args.inner + slot * args.shape.cols;
  };
  LaneSums sums[kDownTiles][kTokenTiles] = {};
  stream.multiply(row_of, sums);
  partial.store(sums);
  __syncthreads();

  for (int i = threadIdx.x; i < kDownRows * slots.count; i += kStreamThreads) {
    const int row = i % kDownRows;
    if (first_row + row >= args.shape.rows) continue;
    const std::int64_t slot = args.groups.slot(slots.first + i / kDownRows);
    args.down[slot * args.shape.rows + first_row + row] =
        partial.sum(row / kTileRows, row % kTileRows, i / kDownRows);
  }
}

// output += the weighted sum over a token's slots, in the router's order. Grid: x along H, y
// tokens.
__global__ void combine_kernel(const float* down,          // [T * K, H]
                               const float* topk_weights,  // [T, K]
                               int hidden_size, int top_k,
                               float* output) {  // [T, H]
  begin_kernel();
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= hidden_size) return;
  const std::int64_t first_slot = std::int64_t{blockIdx.y} * top_k;
  float sum = 0.0F;
  for (int j = 0; j < top_k; ++j) {
    sum += topk_weights[first_slot + j] * down[(first_slot + j) * hidden_size + i];
  }
  output[std::int64_t{blockIdx.y} * hidden_size + i] += sum;
}

class MoeExpertsCall {
 public:
  MoeExpertsCall(const MoeExpertsArgs& args, Context& context)
      : args_(args),
        context_(context),
        table_(context.expert_tables.find(args.experts, context.stream)),
        num_tokens_(static_cast<int>(args.hidden_states.shape[0])),
        top_k_(static_cast<int>(args.topk_ids.shape[1])),
        hidden_size_(static_cast<int>(args.hidden_states.shape[1])),
        inner_size_(static_cast<int>(args.experts.front().gate.rows)) {
    const auto num_slots = static_cast<std::size_t>(num_tokens_) * top_k_;
    inner_ = context.expert_inner.get<float>(num_slots * inner_size_);
  }

  void run() {
    const ExpertWeights& first = args_.experts.front();
    const bool streams = fits_mma(first.gate) && fits_mma(first.up) && fits_mma(first.down) &&
                         first.down.dtype == first.gate.dtype;
    for_weight_type(first.gate.dtype, [&](auto tag) {
      if constexpr (tag.value != DType::kF32) {
        if (streams && many_tokens()) return run_stream<tag.value, kManyTiles>();
        if (streams) return run_stream<tag.value, kFewTiles>();
      }
      run_plain<tag.value>();
    });
    check_launch("moe_experts");
  }

 private:
  // More than a tile of tokens for the average expert.
  [[nodiscard]] bool many_tokens() const {
    return std::int64_t{num_tokens_} * top_k_ > kTileTokens * std::ssize(args_.experts);
  }

  template <DType kType, int kTokenTiles>
  void run_stream() {
    if (num_tokens_ == 1 && one_token_experts_fit(args_, context_)) {
      return one_token_experts(args_, table_, inner_, context_);
    }
    const ExpertGroupsView groups = group_by_expert(args_, kTokenTiles * kTileTokens, context_);
    const StreamShape gate = stream_shape(args_.experts.front().gate);
    launch_kernel(context_, gate_up_kernel<kType, kTokenTiles>, grid(gate, kTileRows, groups),
                  kStreamThreads, 0,
                  {.hidden_states = args_.hidden_states.as<float>(),
                   .experts = table_,
                   .groups = groups,
                   .shape = gate,
                   .activation = args_.activation,
                   .inner = inner_,
                   .top_k = top_k_});
    const StreamShape shape = stream_shape(args_.experts.front().down);
    launch_kernel(
        context_, down_kernel<kType, kTokenTiles>, grid(shape, kDownRows, groups), kStreamThreads,
        0, {.inner = inner_, .experts = table_, .groups = groups, .shape = shape, .down = down()});
    combine();
  }

  template <DType kType>
  void run_plain() {
    const ExpertGroupsView groups = group_by_expert(args_, kPlainTokens, context_);
    plain_gate_up<kType>(args_, groups, table_, inner_, context_);
    for_weight_type(args_.experts.front().down.dtype, [&](auto tag) {
      plain_down<tag.value>(args_, groups, table_, inner_, down(), context_);
    });
    combine();
  }

  void combine() {
    constexpr int kThreads = 256;
    const dim3 blocks(static_cast<unsigned>((hidden_size_ + kThreads - 1) / kThreads),
                      static_cast<unsigned>(num_tokens_));
    launch_kernel(context_, combine_kernel, blocks, kThreads, 0, down(),
                  args_.topk_weights.as<float>(), hidden_size_, top_k_, args_.output.as<float>());
  }

  [[nodiscard]] static dim3 grid(const StreamShape& shape, int block_rows,
                                 const ExpertGroupsView& groups) {
    return {static_cast<unsigned>((shape.rows + block_rows - 1) / block_rows),
            static_cast<unsigned>(groups.max_tiles)};
  }

  [[nodiscard]] float* down() {
    return context_.expert_down.get<float>(static_cast<std::size_t>(num_tokens_) * top_k_ *
                                           hidden_size_);
  }

  const MoeExpertsArgs& args_;
  Context& context_;
  const ExpertPointers* table_;
  int num_tokens_;
  int top_k_;
  int hidden_size_;
  int inner_size_;
  float* inner_ = nullptr;
};

}  // namespace

void moe_experts(const MoeExpertsArgs& args, Context& context) {
  check(args);
  if (args.topk_ids.num_elements() == 0) return;
  MoeExpertsCall(args, context).run();
}

}  // namespace m2::cuda
