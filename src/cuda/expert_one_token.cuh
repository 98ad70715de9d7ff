// The experts of one token with F8, F16 or BF16 weights, in one kernel: gate and up, then down.
//
// All multiplying warps of a block share a stage of eight rows, each over its own columns. Gate and
// up go by the experts in their order, in tiles of rows that blocks claim; down goes by pairs of
// experts in the same order. So nobody stands still where blocks meet: while the inner values of
// the last pair become visible, down multiplies the others. Two warps of a block bring the inner
// values of a pair, one adds up the sums of those that multiply.
#pragma once

#include <algorithm>

#include "cuda/launch.cuh"
#include "cuda/one_token_asker.cuh"
#include "cuda/one_token_products.cuh"
#include "cuda/one_token_sums.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {

template <typename Block>
__global__ void __launch_bounds__(Block::kThreads, 1)
    expert_one_token_kernel(const OneTokenExperts args) {
  extern __shared__ uint4 shared[];
  const Block block(reinterpret_cast<char*>(shared), args);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  __syncthreads();
  if (warp == Block::kWarps) block.ask_for_table();
  begin_kernel();
  if (warp < Block::kWarps) {
    OneTokenMultiplier<Block>(block).run();
  } else if (warp == Block::kWarps) {
    ExpertOneTokenAsker<Block>(block).run();
  } else if (warp == Block::kWarps + 1) {
    OneTokenAdder<Block>(block).run();
  } else {
    OneTokenFetcher<Block>(block).run(warp - Block::kWarps - 2);
  }
}

/// False where the kernel does not fit a multiprocessor, or there are more choices than parts of
/// its work.
template <typename Block>
bool one_token_experts(const MoeExpertsArgs& call, const RouterScores* scores, Context& context) {
  constexpr int kFewestSlots = 2;
  constexpr int kSpare = 1024;  // what the driver takes
  const StreamShape gate = stream_shape(call.experts.front().gate);
  const auto top_k = static_cast<int>(call.topk_ids.shape[1]);
  OneTokenExperts args = {
      .hidden_states = call.hidden_states.as<float>(),
      .experts = context.expert_tables.find(call.experts, context.stream),
      .num_experts = static_cast<int>(call.experts.size()),
      .topk_ids = call.topk_ids.as<std::int32_t>(),
      .topk_weights = call.topk_weights.as<float>(),
      .scores = scores == nullptr ? RouterScores{} : *scores,
      .gate = gate,
      .down = stream_shape(call.experts.front().down),
      .activation = call.activation,
      .inner = context.expert_inner.get<float>(static_cast<std::size_t>(top_k) *
                                               static_cast<std::size_t>(gate.rows)),
      .output = call.output.as<float>(),
      .top_k = top_k,
      .slots = 0,
      .counters = next_counters<Meetings::kCounters>(context)};
  const int own_bytes = Block::own_bytes(args, context.num_sms);
  args.slots =
      std::min(Block::kMostSlots, (context.shared_bytes - kSpare - own_bytes) / Block::kSlotBytes);
  if (args.slots < kFewestSlots || top_k > OneTokenExperts::kMostChoices) return false;
  const int num_bytes = own_bytes + args.slots * Block::kSlotBytes;
  const auto kernel = expert_one_token_kernel<Block>;
  allow_shared_memory(kernel, num_bytes);
  launch_kernel(context, kernel, static_cast<unsigned>(context.num_sms), Block::kThreads, num_bytes,
                args);
  return true;
}

}  // namespace m2::cuda
