#include "cuda/sm90/sliced_linear.h"

#include <algorithm>
#include <optional>

#include "cuda/alignment.h"
#include "cuda/cluster_launch.h"
#include "cuda/launch.cuh"
#include "cuda/shared_memory.h"
#include "cuda/sm90/gemm_call.h"
#include "cuda/sm90/load_weights.cuh"
#include "cuda/sm90/sliced_sums.cuh"
#include "cuda/sm90/sliced_tokens.cuh"

namespace m2::cuda::sm90 {
namespace sliced {
namespace {

constexpr int kThreads = kMultiplyThreads + 32;  // one warp asks for weights
constexpr int kMostParts = 4;
// Two tokens of fewer columns are faster in folded rows: q, k and v take 8.6 us there, 10.1 here
// (H200).
constexpr int kFewestColumnsOfTwo = 4096;

struct SlicedPart {
  const float* scale;  // [rows / 128, cols / 128]
  float* output;       // [T, rows]
  int rows;
  int first_tile;
  bool accumulate;
};

struct SlicedLinear {
  CUtensorMap maps[kMostParts];  // of the weights, boxes of 128 bytes times 64 rows
  SlicedPart parts[kMostParts];
  int count;
  int tiles;
  SlicedInput input;
  int slots;  // of the ring
};

#if M2_SM90_CODE

// What a block asks for before it has the tokens, which come behind it.
constexpr int kEarlySlots = (120 << 10) / kStageBytes;

__device__ int part_of(const SlicedLinear& args, int tile) {
  int part = 0;
  while (part + 1 < args.count && tile >= args.parts[part + 1].first_tile) ++part;
  return part;
}

// By one thread.
__device__ void init_barriers(SlicedBarriers& barriers, const SlicedLinear& args,
                              const Share& share) {
  for (int i = 0; i < args.slots; ++i) {
    init_barrier(&barriers.full[i], 1);
    init_barrier(&barriers.empty[i], 4);  // warps of the group that has the place
  }
  // A tile's sums come in pairs of tokens.
  constexpr int kRows = kGroups * kTileRows;
  for (int i = 0; i < share.num_tiles(); ++i) {
    init_barrier(&barriers.sums[i], 1);
    arrive_expecting(&barriers.sums[i], kRows * ((args.input.count + 1) / 2) * 8);
  }
  init_barrier(&barriers.squares, 1);
  arrive_expecting(&barriers.squares, kSlices * args.input.count * 4);
  init_barrier(&barriers.asked, kMultiplyWarps);
  fence_barriers();
}

// By one thread: asks for all weights of the block.
__device__ void ask(const SlicedLinear& args, const Share& share, SlicedBarriers& barriers,
                    char* stages) {
  int asked = 0;
  RingTurns place;
  for (int tile = share.tiles.begin; tile < share.tiles.end; ++tile) {
    const int part = part_of(args, tile);
    const int row = (tile - args.parts[part].first_tile) * kTileRows;
    for (int block = share.blocks.begin; block < share.blocks.end; ++block) {
      if (asked++ == kEarlySlots) wait(&barriers.asked, 0);
      const int group = (block - share.blocks.begin) % kGroups;
      const int slot = place.slot(group);
      wait(&barriers.empty[slot], place.parity ^ 1U);
      arrive_expecting(&barriers.full[slot], kStageBytes);
      load_weights(stages + slot * kStageBytes, &args.maps[part], &barriers.full[slot],
                   block * kScaleColumns, row);
      if (group == kGroups - 1 || block + 1 == share.blocks.end) place.advance(args.slots);
    }
  }
}

__device__ void look_up_scales(const SlicedLinear& args, const Share& share,
                               float (*scales)[kMostStages]) {
  for (int i = static_cast<int>(threadIdx.x); i < share.num_tiles() * share.stages();
       i += kMultiplyThreads) {
    const int tile = share.tiles.begin + i / share.stages();
    const SlicedPart& part = args.parts[part_of(args, tile)];
    const int row_block = (tile - part.first_tile) * kTileRows / kScaleColumns;
    scales[i / share.stages()][i % share.stages()] =
        __ldg(part.scale + row_block * (args.input.cols / kScaleColumns) + share.blocks.begin +
              i % share.stages());
  }
}

// What a thread finishes: a number of every third tile.
class Outputs {
 public:
  __device__ Outputs(const SlicedLinear& args, const Share& share, int group)
      : token_(static_cast<int>(threadIdx.x) % 128 / kOwnRows),
        row_(static_cast<int>(threadIdx.x) % kOwnRows),
        tiles_(share.num_tiles()) {
    static_assert(kOwnRows * kTokens <= 128);
#pragma unroll
    for (int i = 0; i < kMost; ++i) {
      to_[i] = nullptr;
      const int tile = share.tiles.begin + group + i * kGroups;
      if (tile >= share.tiles.end || token_ >= args.input.count) continue;
      const SlicedPart& part = args.parts[part_of(args, tile)];
      const int row =
          (tile - part.first_tile) * kTileRows + static_cast<int>(cluster_rank()) * kOwnRows + row_;
      if (row >= part.rows) continue;
      to_[i] = part.output + std::int64_t{token_} * part.rows + row;
      before_[i] = part.accumulate ? *to_[i] : 0.0F;
    }
  }

  /// By a warpgroup: this block's rows, of which all blocks of the cluster have sent sums.
  template <typename Tokens>
  __device__ void finish(SlicedShared& shared, const Tokens& tokens, int group) const {
    const float factor = tokens.factor(token_ % kTokens);
#pragma unroll
    for (int i = 0; i < kMost; ++i) {
      const int index = group + i * kGroups;
      if (index >= tiles_) break;
      wait(&shared.barriers.sums[index], 0);  // for nothing, too: no block may end before
      if (to_[i] == nullptr) continue;
      float sum = 0.0F;
#pragma unroll
      for (int source = 0; source < kSlices * kGroups; ++source) {
        sum += shared.sums[index][source][row_][token_];
      }
      *to_[i] = before_[i] + sum * factor;
    }
  }

 private:
  static constexpr int kMost = kMostTiles / kGroups;

  int token_;
  int row_;
  int tiles_;
  float* to_[kMost];
  float before_[kMost];
};

template <typename Tokens>
__device__ void multiply(const SlicedLinear& args, const Share& share, SlicedShared& shared,
                         const Tokens& slice, const char* stages, const char* tokens) {
  const int group = __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x) / 128, 0);
  const int source = static_cast<int>(cluster_rank()) * kGroups + group;
  const Outputs outputs(args, share, group);
  RingTurns place;
  for (int index = 0; index < share.num_tiles(); ++index) {
    SlicedSums sums;
    for (int first = 0; first < share.stages(); first += kGroups, place.advance(args.slots)) {
      const int stage = first + group;
      if (stage >= share.stages()) continue;
      const int slot = place.slot(group);
      wait(&shared.barriers.full[slot], place.parity);
      sums.add(stages + slot * kStageBytes, tokens + stage * kOperandBytes,
               shared.scales[index][stage], shared.powers[stage]);
      __syncwarp();
      if (threadIdx.x % 32 == 0) arrive(&shared.barriers.empty[slot]);
    }
    sums.send(shared, index, source, args.input.count);
  }
  outputs.finish(shared, slice, group);
}

#endif  // M2_SM90_CODE

// Clusters share the tiles of 64 rows, their blocks the columns.
template <bool kNormed>
__global__ void __launch_bounds__(kThreads, 1)
    sliced_linear_kernel(const __grid_constant__ SlicedLinear args) {
#if M2_SM90_CODE
  extern __shared__ char memory[];
  const std::uint32_t misaligned = sm90::shared_address(memory) % 1024;
  char* stages = memory + (1024 - misaligned) % 1024;
  const Share share(args.tiles, args.input.cols / kScaleColumns);
  char* tokens = stages + args.slots * kStageBytes;
  auto& shared = *reinterpret_cast<SlicedShared*>(tokens + share.stages() * kOperandBytes);
  if (threadIdx.x == 0) init_barriers(shared.barriers, args, share);
  __syncthreads();
  arrive_cluster();
  release_next_kernel();
  // Weights are constant: they need not wait for other kernels.
  if (threadIdx.x >= kMultiplyThreads) {
    if (threadIdx.x % 32 == 0) ask(args, share, shared.barriers, stages);
    __syncwarp();
    return wait_cluster();
  }
  look_up_scales(args, share, shared.scales);
  SlicedTokens<kNormed> slice(args.input, share.blocks, shared, tokens);
  wait_cluster();
  slice.fill();
  multiply(args, share, shared, slice, stages, tokens);
#endif
}

struct Plan {
  int clusters;
  int slots;
  int bytes;
};

ClusterLaunch launch_of(int clusters, int bytes, const Context& context) {
  return {context, static_cast<unsigned>(clusters * kSlices), kSlices, kThreads, bytes};
}

// Nothing where a block has too little room.
template <typename Kernel>
std::optional<Plan> plan(const SlicedLinear& args, Kernel kernel, const Context& context) {
  allow_shared_memory(kernel, context.shared_bytes);
  // Fewer than multiprocessors / slices: clusters lie within groups of these.
  const int most =
      launch_of(context.num_sms / kSlices, context.shared_bytes, context).most_at_once(kernel);
  if (most == 0) return std::nullopt;
  const int stages = (args.input.cols / kScaleColumns + kSlices - 1) / kSlices;
  const int tiles = (args.tiles + most - 1) / most;
  if (tiles > kMostTiles || stages > kMostStages) return std::nullopt;
  const int other = 1024 + stages * kOperandBytes + static_cast<int>(sizeof(SlicedShared)) -
                    (kMostTiles - tiles) * static_cast<int>(sizeof(TileSums));
  const int useful = tiles * ((stages + kGroups - 1) / kGroups) * kGroups;
  const int room = (context.shared_bytes - other) / kStageBytes / kGroups * kGroups;
  const int slots = std::min({room, useful, kMostSlots});
  if (slots < std::min(2 * kGroups, useful)) return std::nullopt;
  return Plan{.clusters = (args.tiles + tiles - 1) / tiles,
              .slots = slots,
              .bytes = other + slots * kStageBytes};
}

bool start(SlicedLinear args, Context& context) {
  const auto kernel =
      args.input.norm_weight == nullptr ? sliced_linear_kernel<false> : sliced_linear_kernel<true>;
  const std::optional<Plan> found = plan(args, kernel, context);
  if (!found) return false;
  args.slots = found->slots;
  launch_of(found->clusters, found->bytes, context).start(kernel, args);
  return true;
}

bool fits(const WeightView& weight) {
  return weight.block_format == BlockFormat::kNone && weight.dtype == DType::kF8E4M3 &&
         weight.block_rows == kScaleColumns && weight.block_cols == kScaleColumns &&
         weight.cols % (kSlices * kScaleColumns) == 0 && is_aligned(weight.data);
}

bool fits(std::span<const LinearArgs> products, const RmsNormArgs* norm, const Context& context) {
  if (!context.has_wgmma || products.empty() || products.size() > kMostParts) return false;
  const LinearArgs& first = products.front();
  const TensorView& input = norm == nullptr ? first.input : norm->input;
  const std::int64_t num_tokens = input.shape[0];
  if (num_tokens < 2 || num_tokens > kTokens || !is_aligned(input.data)) return false;
  if (num_tokens == 2 && first.weight.cols < kFewestColumnsOfTwo) return false;
  if (norm != nullptr && !is_aligned(norm->weight.data)) return false;
  return std::ranges::all_of(products, [&](const LinearArgs& args) {
    return fits(args.weight) && args.input.data == first.input.data &&
           args.weight.cols == first.weight.cols;
  });
}

}  // namespace
}  // namespace sliced

bool sliced_linears(std::span<const LinearArgs> products, const RmsNormArgs* norm,
                    Context& context) {
  if (!sliced::fits(products, norm, context)) return false;
  const LinearArgs& first = products.front();
  const TensorView& input = norm == nullptr ? first.input : norm->input;
  sliced::SlicedLinear args = {};
  args.input = {.rows = input.as<float>(),
                .norm_weight = norm == nullptr ? nullptr : norm->weight.as<float>(),
                .eps = norm == nullptr ? 0.0F : norm->eps,
                .count = static_cast<int>(input.shape[0]),
                .cols = static_cast<int>(first.weight.cols)};
  for (const LinearArgs& product : products) {
    args.maps[args.count] = gemm_matrix(product.weight).map;
    args.parts[args.count++] = {.scale = product.weight.scale,
                                .output = product.output.as<float>(),
                                .rows = static_cast<int>(product.weight.rows),
                                .first_tile = args.tiles,
                                .accumulate = product.accumulate};
    args.tiles +=
        static_cast<int>((product.weight.rows + sliced::kTileRows - 1) / sliced::kTileRows);
  }
  return sliced::start(args, context);
}

}  // namespace m2::cuda::sm90
