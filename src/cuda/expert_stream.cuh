// The experts of a layer for few tokens, in one kernel: gate and up, then down.
//
// One block stays on every multiprocessor. Its ring asks for weights of down while the last inner
// values of gate and up are computed anywhere: memory does not rest between the two. All formats
// but int4 (int4_experts.cu) share this kernel; they differ in their tiles (expert_row_tiles.cuh).
#pragma once

#include "cuda/combine_experts.h"
#include "cuda/expert_asker.cuh"
#include "cuda/expert_multiplier.cuh"
#include "cuda/launch.cuh"
#include "cuda/shared_memory.h"
#include "cuda/sm90/ptx.cuh"
#include "cuda/unit_counter.h"

namespace m2::cuda {

// The table of the experts is far from the first multiprocessor that needs it: it comes nearer
// while the kernels before end.
__device__ inline void prefetch_table(const ExpertPointers* experts, int num_experts) {
  constexpr int kLine = 128;
  const auto* table = reinterpret_cast<const char*>(experts);
  const int num_bytes = num_experts * static_cast<int>(sizeof(ExpertPointers));
  const int threads = static_cast<int>(blockDim.x);
  for (int at = static_cast<int>(threadIdx.x) * kLine; at < num_bytes; at += threads * kLine) {
    asm volatile("prefetch.global.L2 [%0];" ::"l"(table + at));
  }
}

// By all threads, then a barrier of the block: shared memory that they have used is free for
// copies.
__device__ inline void fence_before_copies() {
#if __CUDA_ARCH__ >= 900
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

/// The warps that multiply keep a tile's tokens in registers: with sixteen of them they take some
/// that the other warps leave.
template <int kTokens>
struct ExpertRegisters {
  static constexpr bool kMoves = kTokens > kTileTokens;
  static constexpr int kMost = 152;   // of three warpgroups
  static constexpr int kOthers = 56;  // of one

  __device__ static void grow() {
#if M2_SM90_CODE
    if constexpr (kMoves) sm90::grow_registers<kMost>();
#endif
  }
  __device__ static void shrink() {
#if M2_SM90_CODE
    if constexpr (kMoves) sm90::shrink_registers<kOthers>();
#endif
  }
};

template <typename Gate, typename Down>
__global__ void __launch_bounds__(kExpertThreads, 1)
    expert_stream_kernel(const ExpertStream<typename Gate::Shape> args) {
  using Buffers = SumBuffers<Gate::kTokens>;
  extern __shared__ uint4 shared[];
  auto* own = reinterpret_cast<char*>(shared);
  Buffers buffers(own);
  char* ring_memory = own + Buffers::kBytes + BlockGroups::num_bytes(args.sizes);
  StageRing ring(ring_memory, args.num_slots, args.slot_bytes);
  // It sorts where weights come afterwards.
  BlockGroups groups(own + Buffers::kBytes, ring_memory + StageRing::num_bytes(0, 0), args.sizes);
  prefetch_table(args.experts, args.sizes.num_experts);
  groups.clear();
  __syncthreads();
  begin_kernel();
  sort_groups(groups, args.scores, args.topk_ids, args.top_k);
  fence_before_copies();
  __syncthreads();
  const int warp = static_cast<int>(threadIdx.x) / 32;
  if (warp < kStreamWarps) {
    ExpertRegisters<Gate::kTokens>::grow();
    ExpertMultiplier<Gate, Down>(args, ring, buffers).run();
  } else {
    ExpertRegisters<Gate::kTokens>::shrink();
    if (warp == kStreamWarps) {
      ExpertAsker<Gate, Down>(args, groups, ring).run();
    } else {
      ExpertAdder<Gate, Down>(args, buffers).run();
    }
  }
}

/// Slots of the ring; 0: no room.
inline int ring_slots(int own_bytes, int slot_bytes, const Context& context) {
  constexpr int kFewestSlots = 3;
  constexpr int kRingBytes = 200 << 10;  // bridges the reading of the tokens' activations
  constexpr int kSpare = 1024;           // static shared memory and what the driver takes
  const int room = context.shared_bytes - kSpare - own_bytes - StageRing::num_bytes(0, slot_bytes);
  const int slots = std::min(
      {room / slot_bytes, StageRing::kMaxSlots, std::max(kRingBytes / slot_bytes, kFewestSlots)});
  return slots < kFewestSlots ? 0 : slots;
}

/// False where a stage of such weights, or what sorts the tokens, does not fit a multiprocessor.
template <typename Gate, typename Down>
bool stream_experts(const MoeExpertsArgs& call, const RouterScores* scores,
                    const typename Gate::Shape& gate, const typename Down::Shape& down,
                    Context& context) {
  constexpr int kOwnBytes = SumBuffers<Gate::kTokens>::kBytes;
  const auto num_slots = static_cast<std::size_t>(call.topk_ids.num_elements());
  const int slot_bytes = std::max(Gate::slot_bytes(gate), Down::slot_bytes(down));
  const GroupSizes sizes = {.num_experts = static_cast<int>(call.experts.size()),
                            .num_slots = static_cast<int>(num_slots),
                            .tokens_per_tile = Gate::kTokens};
  const int own_bytes = kOwnBytes + BlockGroups::num_bytes(sizes);
  const int slots = ring_slots(own_bytes, slot_bytes, context);
  const int sorting_bytes = BlockGroups::sorting_bytes(sizes) + StageRing::kAlignment;
  if (slots == 0 || sorting_bytes > slots * slot_bytes) return false;
  const ExpertStream<typename Gate::Shape> args = {
      .hidden_states = call.hidden_states.as<float>(),
      .experts = context.expert_tables.find(call.experts, context.stream),
      .sizes = sizes,
      .scores = scores == nullptr ? RouterScores{} : *scores,
      .topk_ids = call.topk_ids.as<std::int32_t>(),
      .topk_weights = call.topk_weights.as<float>(),
      .gate = gate,
      .down = down,
      .activation = call.activation,
      .inner = context.expert_inner.get<float>(num_slots * static_cast<std::size_t>(gate.rows)),
      .output = context.expert_down.get<float>(num_slots * static_cast<std::size_t>(down.rows)),
      .top_k = static_cast<int>(call.topk_ids.shape[1]),
      .num_slots = slots,
      .slot_bytes = slot_bytes,
      .gate_up_counter = next_counter(context),
      .down_counter = next_counter(context)};
  const int num_bytes = own_bytes + StageRing::num_bytes(args.num_slots, args.slot_bytes);
  const auto kernel = expert_stream_kernel<Gate, Down>;
  allow_shared_memory(kernel, num_bytes);
  launch_kernel(context, kernel, static_cast<unsigned>(context.num_sms), kExpertThreads, num_bytes,
                args);
  combine_experts(args.output, call, context);
  return true;
}

}  // namespace m2::cuda
