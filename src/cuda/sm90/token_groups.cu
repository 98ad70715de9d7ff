#include <algorithm>

#include "cuda/cluster_launch.h"
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"
#include "cuda/shared_memory.h"
#include "cuda/sm90/ptx.cuh"
#include "cuda/sm90/tokens.h"

namespace m2::cuda::sm90 {
namespace {

constexpr int kThreads = 1024;
constexpr int kBlocks = 8;

struct Grouping {
  const std::int32_t* topk_ids;  // [T, K]
  int num_slots;
  int num_experts;
  Format format;
  std::int32_t* row_of_slot;  // [T * K]
  TokenTile* tiles;
  std::int32_t* num_tiles;  // [1]
  std::int32_t* num_rows;   // [1]
};

// What the blocks of a cluster count.
struct Counts {
  int* own;     // [E]
  int* all;     // [E]: of the whole cluster
  int* before;  // [E]: of blocks before this one
  int* rows;    // [E]: first row
  int* tiles;   // [E]: first tile

  static constexpr int kArrays = 5;
  __device__ Counts(int* memory, int num_experts)
      : own(memory),
        all(own + num_experts),
        before(all + num_experts),
        rows(before + num_experts),
        tiles(rows + num_experts) {}
};

#if M2_SM90_CODE

__device__ int tiles_of(int count) { return (count + kMaxTile - 1) / kMaxTile; }

__device__ int sum_before_in_warp(int value, int& total) {
  const int lane = threadIdx.x % 32;
  int sum = value;
  for (int step = 1; step < 32; step *= 2) {
    const int other = __shfl_up_sync(kAllLanes, sum, step);
    if (lane >= step) sum += other;
  }
  total = __shfl_sync(kAllLanes, sum, 31);
  return sum - value;
}

// Equal tiles, as few as there can be, but for the last one.
__device__ void write_tiles(Format format, int expert, int count, int first_row, TokenTile* to) {
  const int tiles = tiles_of(count);
  if (tiles == 0) return;
  const int even = (count + tiles - 1) / tiles;
  for (int done = 0; done < count;) {
    const TileShape shape = tile_shape(format, min(even, count - done));
    *to++ = {expert, first_row + done, min(shape.size(), count - done), shape};
    done += shape.size();
  }
}

// By a warp: where the experts' rows and tiles begin.
__device__ void place_experts(const Grouping& args, const Counts& counts) {
  int rows_before = 0;
  int tiles_before = 0;
  for (int first = 0; first < args.num_experts; first += 32) {
    const int e = first + static_cast<int>(threadIdx.x);
    const int count = e < args.num_experts ? counts.all[e] : 0;
    int all_rows;
    int all_tiles;
    const int padded = (count + kRowAlignment - 1) / kRowAlignment * kRowAlignment;
    const int row = rows_before + sum_before_in_warp(padded, all_rows);
    const int tile = tiles_before + sum_before_in_warp(tiles_of(count), all_tiles);
    if (e < args.num_experts) {
      counts.rows[e] = row;
      counts.tiles[e] = tile;
    }
    rows_before += all_rows;
    tiles_before += all_tiles;
  }
  if (threadIdx.x == 0 && blockIdx.x == 0) {
    *args.num_tiles = tiles_before;
    *args.num_rows = rows_before;
  }
}

#endif  // M2_SM90_CODE

// A cluster, whose blocks have a part of the slots each. The order of an expert's slots varies from
// run to run; no result depends on it, because every row is computed by itself.
__global__ void __launch_bounds__(kThreads) group_tokens_kernel(Grouping args) {
#if M2_SM90_CODE
  extern __shared__ int memory[];
  const Counts counts(memory, args.num_experts);
  const int thread = static_cast<int>(threadIdx.x);
  const auto for_each_slot = [&](const auto& use) {
    for (int i = static_cast<int>(blockIdx.x) * kThreads + thread; i < args.num_slots;
         i += kBlocks * kThreads) {
      use(i, args.topk_ids[i]);
    }
  };
  begin_kernel();
  for (int e = thread; e < args.num_experts; e += kThreads) counts.own[e] = 0;
  __syncthreads();
  for_each_slot([&](int, int expert) { atomicAdd(&counts.own[expert], 1); });
  sync_cluster();
  for (int e = thread; e < args.num_experts; e += kThreads) {
    int all = 0;
    for (unsigned rank = 0; rank < kBlocks; ++rank) {
      if (rank == cluster_rank()) counts.before[e] = all;
      all += load_of_block(&counts.own[e], rank);
    }
    counts.all[e] = all;
  }
  sync_cluster();  // all have read the blocks' counts
  if (thread < 32) place_experts(args, counts);
  __syncthreads();
  for (int e = thread; e < args.num_experts; e += kThreads) {
    if (blockIdx.x == 0) {
      write_tiles(args.format, e, counts.all[e], counts.rows[e], args.tiles + counts.tiles[e]);
    }
    counts.own[e] = counts.rows[e] + counts.before[e];  // the next free row
  }
  __syncthreads();
  for_each_slot(
      [&](int i, int expert) { args.row_of_slot[i] = atomicAdd(&counts.own[expert], 1); });
#endif
}

}  // namespace

TokenRows group_tokens(const MoeExpertsArgs& args, Format format, Context& context) {
  const auto num_slots = static_cast<int>(args.topk_ids.num_elements());
  const auto num_experts = static_cast<int>(args.experts.size());
  const int max_rows = num_slots + std::min(num_experts, num_slots) * (kRowAlignment - 1);
  const int max_tiles = num_slots / kMaxTile + std::min(num_experts, num_slots);
  Prefill& memory = context.prefill;
  auto* row_of_slot = memory.row_of_slot.get<std::int32_t>(static_cast<std::size_t>(num_slots));
  auto* tiles = memory.tiles.get<TokenTile>(static_cast<std::size_t>(max_tiles));
  auto* counts = memory.counts.get<std::int32_t>(2);
  const int num_bytes = Counts::kArrays * num_experts * static_cast<int>(sizeof(int));
  allow_shared_memory(group_tokens_kernel, num_bytes);
  ClusterLaunch(context, kBlocks, kBlocks, kThreads, num_bytes)
      .start(group_tokens_kernel, Grouping{.topk_ids = args.topk_ids.as<std::int32_t>(),
                                           .num_slots = num_slots,
                                           .num_experts = num_experts,
                                           .format = format,
                                           .row_of_slot = row_of_slot,
                                           .tiles = tiles,
                                           .num_tiles = counts,
                                           .num_rows = counts + 1});
  return {row_of_slot, tiles, counts, counts + 1, max_rows};
}

}  // namespace m2::cuda::sm90
