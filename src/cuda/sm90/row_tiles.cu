#include "cuda/sm90/row_tiles.h"

#include <algorithm>

#include "cuda/alignment.h"
#include "cuda/cluster_launch.h"
#include "cuda/launch.cuh"
#include "cuda/mma.cuh"
#include "cuda/shared_memory.h"
#include "cuda/sm90/gemm_call.h"
#include "cuda/sm90/row_operands.cuh"
#include "cuda/sm90/row_stages.cuh"
#include "cuda/sm90/wgmma.cuh"

namespace m2::cuda::sm90 {
namespace row_tiles {
namespace {

#if M2_SM90_CODE

// A warpgroup's stages of a tile: sums as wgmma.cuh has them, the parts of a token one by one.
template <DType kType, int kTokens>
__device__ void multiply_stages(SharedTiles<kType, kTokens>& shared, int stages, int group,
                                StageScales scales,
                                RingPlace<TileStage<kType, kTokens>::kCount>& place,
                                float (&sums)[TileStage<kType, kTokens>::kTokenRows / 2]) {
  using Stage = TileStage<kType, kTokens>;
  constexpr bool kScaled = kType == DType::kF8E4M3;
  constexpr int kSums = Stage::kTokenRows / 2;
#pragma unroll
  for (float& sum : sums) sum = 0.0F;
  for (int stage = 0; stage < stages; ++stage, place.advance()) {
    if (stage % kGroups != group) continue;
    const float scale = kScaled ? scales.get(stage, stages) : 1.0F;
    wait(&shared.full[place.stage], place.parity);
    const char* tokens = shared.stages[place.stage];
    RowOperands<kType> rows(tokens + Stage::kBlocks * Stage::kBlockBytes);
    float products[kScaled ? kSums : 1];
    pin(sums);
    begin_products();
#pragma unroll
    for (int step = 0; step < RowOperands<kType>::kSteps; ++step) {
      const std::uint64_t columns =
          matrix_descriptor(tokens + step / 4 * Stage::kBlockBytes) + step % 4 * kDescriptorStep;
      if constexpr (kScaled) {
        Products<Stage::kTokenRows>::multiply(products, rows.values[step], columns, step > 0);
      } else if constexpr (kType != DType::kBF16) {
        Products<Stage::kTokenRows>::multiply(sums, rows.values[step], columns, 1);
      } else {
        Products<Stage::kTokenRows>::multiply_bf16(sums, rows.values[step], columns, 1);
      }
    }
    commit_products();
    wait_products<0>();
    if constexpr (kScaled) {
      pin(products);
#pragma unroll
      for (int i = 0; i < kSums; ++i) sums[i] += products[i] * scale;
    } else {
      pin(sums);
    }
    __syncwarp();
    if (threadIdx.x % 32 == 0) arrive(&shared.empty[place.stage]);
  }
}

// A number of this block's partial sums, or of its cluster's other block.
template <int kSplit>
__device__ float load_partial(const float* own, unsigned rank) {
  if constexpr (kSplit == 1) return *own;
  float value;
  asm volatile(
      "{\n.reg .b32 remote;\n"
      "mapa.shared::cluster.u32 remote, %1, %2;\n"
      "ld.shared::cluster.f32 %0, [remote];\n}"
      : "=f"(value)
      : "r"(sm90::shared_address(own)), "r"(rank)
      : "memory");
  return value;
}

// Sums over the warpgroups that share the tile, each of which finishes a part of the tokens.
template <int kTokens, int kSplit, typename Shared>
__device__ void write_sums(const RowTiles& args, const Shared& shared, const TilePart& part,
                           int first_row, int group) {
  constexpr int kShares = kGroups * kSplit;
  constexpr int kOwn = kTokens / 8 / kShares;  // eights of tokens
  static_assert(kOwn > 0);
  const unsigned rank = kSplit > 1 ? cluster_rank() : 0;
  const int thread = static_cast<int>(threadIdx.x) % 128;
  const int lane = thread % 32;
  const int row = first_row + thread / 32 * 16 + lane / 4;
  const int first = (static_cast<int>(rank) * kGroups + group) * kOwn;
#pragma unroll
  for (int j = first; j < first + kOwn; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      float sum = 0.0F;
#pragma unroll
      for (unsigned other = 0; other < kShares; ++other) {
        sum += load_partial<kSplit>(&shared.partial[other % kGroups][4 * j + i][thread],
                                    other / kGroups);
      }
      const int token = 8 * j + lane % 4 * 2 + i % 2;
      const int own_row = row + i / 2 * 8;
      if (token >= args.num_tokens || own_row >= part.rows) continue;
      sum *= __ldg(args.token_scales + token);
      float& output = part.output[std::int64_t{token} * part.rows + own_row];
      output = part.accumulate ? output + sum : sum;
    }
  }
}

template <DType kType, int kTokens, int kSplit>
__device__ void multiply_tiles(const RowTiles& args, SharedTiles<kType, kTokens>& shared) {
  using Stage = TileStage<kType, kTokens>;
  const int group = __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x) / 128, 0);
  const int thread = static_cast<int>(threadIdx.x) % 128;
  const int own = args.stages / kSplit;
  const int first_stage = own * static_cast<int>(kSplit > 1 ? cluster_rank() : 0U);
  RingPlace<Stage::kCount> place;
  for_tiles<kSplit>(args, [&](int tile) {
    const TilePart& part = args.parts[part_of(args, tile)];
    const int first_row = (tile - part.first_tile) * kRowsOfTile;
    const float* scales = part.scale + std::int64_t{first_row / 128} * args.stages + first_stage;
    float sums[Stage::kTokenRows / 2];
    multiply_stages<kType, kTokens>(shared, own, group, StageScales(scales), place, sums);
#pragma unroll
    for (int i = 0; i < kTokens / 2; ++i) {
      float sum = sums[i];
      if constexpr (token_parts(kType) == 2) sum += sums[kTokens / 2 + i];
      shared.partial[group][i][thread] = sum;
    }
    sync_partials<kSplit>();
    write_sums<kTokens, kSplit>(args, shared, part, first_row, group);
    __syncwarp();
    sync_partials<kSplit>();
  });
}

#endif  // M2_SM90_CODE

// Blocks share the tiles of 64 rows; or clusters of two do, of which each block takes half of the
// columns.
template <DType kType, int kTokens, int kSplit>
__global__ void __launch_bounds__(kThreads, 1)
    row_tiles_kernel(const __grid_constant__ RowTiles args) {
#if M2_SM90_CODE
  using Shared = SharedTiles<kType, kTokens>;
  extern __shared__ char memory[];
  const std::uint32_t misaligned = sm90::shared_address(memory) % 1024;
  auto& shared = *reinterpret_cast<Shared*>(memory + (1024 - misaligned) % 1024);
  if (threadIdx.x == 0) {
    for (int i = 0; i < Shared::Stage::kCount; ++i) {
      init_barrier(&shared.full[i], 1);
      init_barrier(&shared.empty[i], 4);  // warps of the group that has the stage
    }
    fence_barriers();
  }
  __syncthreads();
  if (threadIdx.x >= kMultiplyThreads) {
    copy_stages<kType, kTokens, kSplit>(args, shared);
  } else {
    begin_kernel();
    multiply_tiles<kType, kTokens, kSplit>(args, shared);
  }
#endif
}

template <DType kType, int kTokens, int kSplit>
void start(const RowTiles& args, Context& context) {
  const auto kernel = row_tiles_kernel<kType, kTokens, kSplit>;
  constexpr int kBytes = kSharedBytes<kType, kTokens>;
  allow_shared_memory(kernel, kBytes);
  const int tiles = std::min(args.tiles, context.num_sms / kSplit);
  ClusterLaunch(context, static_cast<unsigned>(tiles * kSplit), kSplit, kThreads, kBytes)
      .start(kernel, args);
}

template <DType kType>
void start(const RowTiles& args, std::int64_t cols, Context& context) {
  const bool split = cols > kMostColumnsOfBlock && args.stages % 2 == 0;
  if (padded_tokens(args.num_tokens) == 32) {
    return split ? start<kType, 32, 2>(args, context) : start<kType, 32, 1>(args, context);
  }
  split ? start<kType, 64, 2>(args, context) : start<kType, 64, 1>(args, context);
}

}  // namespace
}  // namespace row_tiles

namespace {

bool fits(const WeightView& weight) {
  if (!is_aligned(weight.data) || weight.cols > kTileMostColumns) return false;
  if (weight.block_format != BlockFormat::kNone) return is_int8(weight);
  if (weight.dtype == DType::kF8E4M3) {
    return weight.cols % 128 == 0 && weight.block_rows == 128 && weight.block_cols == 128;
  }
  return weight.dtype != DType::kF32 && weight.cols % kTileColumns == 0;
}

bool fits(std::span<const LinearArgs> products, const RmsNormArgs* norm, const Context& context) {
  if (!context.has_wgmma || products.empty() || products.size() > row_tiles::kMostParts)
    return false;
  const LinearArgs& first = products.front();
  const TensorView& input = norm == nullptr ? first.input : norm->input;
  if (input.shape[0] > kTileTokensMost || !is_aligned(input.data)) return false;
  if (norm != nullptr && !is_aligned(norm->weight.data)) return false;
  return std::ranges::all_of(products, [&](const LinearArgs& args) {
    return fits(args.weight) && args.input.data == first.input.data &&
           args.weight.dtype == first.weight.dtype && args.weight.cols == first.weight.cols;
  });
}

}  // namespace

bool row_tile_linears(std::span<const LinearArgs> products, const RmsNormArgs* norm,
                      Context& context) {
  if (!fits(products, norm, context)) return false;
  const LinearArgs& first = products.front();
  const TensorView& input = norm == nullptr ? first.input : norm->input;
  const DType type = first.weight.dtype;
  const auto num_tokens = static_cast<int>(input.shape[0]);
  const std::int64_t row_bytes = first.weight.cols * static_cast<std::int64_t>(dtype_size(type));
  const std::int64_t rows = token_parts(type) * padded_tokens(num_tokens);
  const TileTokens tokens = {
      context.prefill.operands.get<char>(static_cast<std::size_t>(rows * first.weight.cols * 2)),
      context.prefill.scales.get<float>(kTileTokensMost)};
  const bool has_codes = type == DType::kU8;  // whose columns are in the order of F8's
  fill_tile_tokens(input, norm, has_codes ? DType::kF8E4M3 : type, tokens, context);
  row_tiles::RowTiles args = {};
  args.stages = static_cast<int>(row_bytes / 128);
  args.tokens = static_cast<const char*>(tokens.rows);
  args.token_scales = tokens.scales;
  args.num_tokens = num_tokens;
  for (const LinearArgs& product : products) {
    if (!has_codes) args.maps[args.count] = gemm_matrix(product.weight).map;
    args.parts[args.count++] = {.scale = product.weight.scale,
                                .units = static_cast<const char*>(product.weight.data),
                                .output = product.output.as<float>(),
                                .rows = static_cast<int>(product.weight.rows),
                                .first_tile = args.tiles,
                                .accumulate = product.accumulate};
    args.tiles += static_cast<int>((product.weight.rows + row_tiles::kRowsOfTile - 1) /
                                   row_tiles::kRowsOfTile);
  }
  if (type == DType::kF8E4M3) {
    row_tiles::start<DType::kF8E4M3>(args, first.weight.cols, context);
  } else if (has_codes) {
    row_tiles::start<DType::kU8>(args, first.weight.cols, context);
  } else if (type == DType::kF16) {
    row_tiles::start<DType::kF16>(args, first.weight.cols, context);
  } else {
    row_tiles::start<DType::kBF16>(args, first.weight.cols, context);
  }
  return true;
}

}  // namespace m2::cuda::sm90
