#include "cuda/expert_groups.cuh"

#include <algorithm>

#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "cuda/shared_memory.h"

namespace m2::cuda {
namespace {

constexpr int kThreads = 1024;

__device__ int inclusive_sum_of_warp(int value) {
  const int lane = threadIdx.x % 32;
  for (int step = 1; step < 32; step *= 2) {
    const int other = __shfl_up_sync(kAllLanes, value, step);
    if (lane >= step) value += other;
  }
  return value;
}

// One block. The order of the slots within an expert varies from run to run; no result depends on
// it, because every slot is computed by itself.
__global__ void group_by_expert_kernel(const std::int32_t* topk_ids,  // [T, K]
                                       int num_slots, int num_experts, int tokens_per_tile,
                                       ExpertTile* tiles, std::int32_t* num_tiles,
                                       std::int32_t* sorted_slots) {
  extern __shared__ int counts[];                  // [E]
  int* slot_offsets = counts + num_experts;        // [E]: first slot, then the next free place
  int* tile_offsets = slot_offsets + num_experts;  // [E]
  begin_kernel();
  for (int e = threadIdx.x; e < num_experts; e += kThreads) counts[e] = 0;
  __syncthreads();
  for (int i = threadIdx.x; i < num_slots; i += kThreads) atomicAdd(&counts[topk_ids[i]], 1);
  __syncthreads();

  if (threadIdx.x < 32) {
    int slots_before = 0;
    int tiles_before = 0;
    for (int first = 0; first < num_experts; first += 32) {
      const int e = first + static_cast<int>(threadIdx.x);
      const int count = e < num_experts ? counts[e] : 0;
      const int own_tiles = (count + tokens_per_tile - 1) / tokens_per_tile;
      const int slots = slots_before + inclusive_sum_of_warp(count);
      const int tile_end = tiles_before + inclusive_sum_of_warp(own_tiles);
      if (e < num_experts) {
        slot_offsets[e] = slots - count;
        tile_offsets[e] = tile_end - own_tiles;
      }
      slots_before = __shfl_sync(kAllLanes, slots, 31);
      tiles_before = __shfl_sync(kAllLanes, tile_end, 31);
    }
    if (threadIdx.x == 0) *num_tiles = tiles_before;
  }
  __syncthreads();

  for (int e = threadIdx.x; e < num_experts; e += kThreads) {
    ExpertTile* to = tiles + tile_offsets[e];
    for (int done = 0; done < counts[e]; done += tokens_per_tile) {
      *to++ = {e, slot_offsets[e] + done, min(tokens_per_tile, counts[e] - done)};
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < num_slots; i += kThreads) {
    sorted_slots[atomicAdd(&slot_offsets[topk_ids[i]], 1)] = i;
  }
}

}  // namespace

ExpertGroupsView group_by_expert(const MoeExpertsArgs& args, int tokens_per_tile,
                                 Context& context) {
  const auto num_slots = static_cast<int>(args.topk_ids.num_elements());
  const auto num_experts = static_cast<int>(args.experts.size());
  std::int32_t* topk_ids = args.topk_ids.as<std::int32_t>();
  if (args.topk_ids.shape[0] == 1) return {nullptr, nullptr, nullptr, topk_ids, num_slots};

  ExpertGroups& groups = context.groups;
  const int max_tiles = std::min(num_experts, num_slots) + num_slots / tokens_per_tile;
  auto* tiles = groups.tiles.get<ExpertTile>(static_cast<std::size_t>(max_tiles));
  auto* num_tiles = groups.num_tiles.get<std::int32_t>(1);
  auto* sorted_slots = groups.sorted_slots.get<std::int32_t>(static_cast<std::size_t>(num_slots));
  const int num_bytes = 3 * num_experts * static_cast<int>(sizeof(int));
  allow_shared_memory(group_by_expert_kernel, num_bytes);
  launch_kernel(context, group_by_expert_kernel, 1, kThreads, num_bytes, topk_ids, num_slots,
                num_experts, tokens_per_tile, tiles, num_tiles, sorted_slots);
  check_launch("moe_experts: group by expert");
  return {tiles, num_tiles, sorted_slots, topk_ids, max_tiles};
}

}  // namespace m2::cuda
