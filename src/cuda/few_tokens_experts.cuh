// The experts of up to four tokens (with BF16 weights two) with F8, F16 or BF16 weights, in one
// kernel: gate and up, then down.
//
// All multiplying warps of a block share a stage of eight rows, each over its own columns. Gate and
// up go by the experts in their order, in tiles of rows; down goes by pairs of experts in the same
// order. So nobody stands still where blocks meet: while the inner values of
// the last pair become visible, down multiplies the others. Two warps of a block bring the inner
// values of a pair, one adds up the sums of those that multiply.
//
// Few tokens hardly share experts, and a tile of an mma has room for all of them: gate and up
// multiply all tokens by every expert, and who adds up looks which of them go to it.
#pragma once

#include <algorithm>

#include "cuda/few_tokens_asker.cuh"
#include "cuda/few_tokens_products.cuh"
#include "cuda/few_tokens_sums.cuh"
#include "cuda/launch.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {

template <typename Block>
__global__ void __launch_bounds__(Block::kThreads, 1)
    few_tokens_experts_kernel(const FewTokensExperts args) {
  extern __shared__ uint4 shared[];
  const Block block(reinterpret_cast<char*>(shared), args);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  __syncthreads();
  if (warp == Block::kWarps) block.ask_for_table();
  release_next_kernel();
  if (warp != Block::kWarps) await_earlier_kernels();
  if (warp < Block::kWarps) {
    FewTokensMultiplier<Block>(block).run();
  } else if (warp == Block::kWarps) {
    FewTokensAsker<Block>(block).run();
  } else if (warp == Block::kWarps + 1) {
    FewTokensAdder<Block>(block).run();
  } else {
    FewTokensFetcher<Block>(block).run(warp - Block::kWarps - 2);
  }
}

/// False where the kernel does not fit a multiprocessor, or there are more tokens or slots than it
/// takes.
template <typename Block>
bool few_tokens_experts(const MoeExpertsArgs& call, const RouterScores* scores, Context& context) {
  constexpr int kFewestSlots = 2;
  constexpr int kSpare = 1024;  // what the driver takes
  const StreamShape gate = stream_shape(call.experts.front().gate);
  const std::int64_t num_slots = call.topk_ids.num_elements();
  if (call.topk_ids.shape[0] > Block::Operands::kMostTokens || num_slots > SlotGroups::kMostSlots) {
    return false;
  }
  const MarkedValues inner = marked_values(
      static_cast<std::size_t>(num_slots) * static_cast<std::size_t>(gate.rows), context);
  FewTokensExperts args = {.hidden_states = call.hidden_states.as<float>(),
                           .experts = context.expert_tables.find(call.experts, context.stream),
                           .num_experts = static_cast<int>(call.experts.size()),
                           .topk_ids = call.topk_ids.as<std::int32_t>(),
                           .topk_weights = call.topk_weights.as<float>(),
                           .scores = scores == nullptr ? RouterScores{} : *scores,
                           .gate = gate,
                           .down = stream_shape(call.experts.front().down),
                           .activation = call.activation,
                           .inner = inner.values,
                           .output = call.output.as<float>(),
                           .num_tokens = static_cast<int>(call.topk_ids.shape[0]),
                           .top_k = static_cast<int>(call.topk_ids.shape[1]),
                           .ring_slots = 0,
                           .round = inner.round};
  const int own_bytes = Block::own_bytes(args, context.num_sms);
  args.ring_slots =
      std::min(Block::kMostSlots, (context.shared_bytes - kSpare - own_bytes) / Block::kSlotBytes);
  if (args.ring_slots < kFewestSlots) return false;
  const int num_bytes = own_bytes + args.ring_slots * Block::kSlotBytes;
  const auto kernel = few_tokens_experts_kernel<Block>;
  allow_shared_memory(kernel, num_bytes);
  launch_kernel(context, kernel, static_cast<unsigned>(context.num_sms), Block::kThreads, num_bytes,
                args);
  return true;
}

}  // namespace m2::cuda
