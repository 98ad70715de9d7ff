// The kernel of gemm.h: one warp copies tiles into shared memory, two warpgroups multiply.
#pragma once

#include <cuda_bf16.h>

#include "cuda/int4_operand.cuh"
#include "cuda/launch.cuh"
#include "cuda/shared_memory.h"
#include "cuda/sm90/gemm.h"
#include "cuda/sm90/wgmma.cuh"

namespace m2::cuda::sm90 {

constexpr int kMultiplyThreads = 256;
constexpr int kGemmThreads = kMultiplyThreads + 128;
constexpr int kSwizzledRow = 128;  // bytes
constexpr int kInfoSlots = 8;      // more than stages, so that a slot is never written too early

/// A stage of the ring: a tile of weights and one of tokens.
template <Format kFormat, int kGroup>
struct Stage {
  static constexpr int kTokenParts = kFormat == Format::kInt4 ? 2 : 1;  // of 128 bytes of a row
  static constexpr int kWeightBytes = kFormat == Format::kInt4
                                          ? kBlockRows / kUnitRows * kUnitBytes<kGroup>
                                          : kBlockRows * kSwizzledRow;
  static constexpr int kTokenBytes = kTokenParts * kMaxHalf * kSwizzledRow;
  static constexpr int kBytes = (kWeightBytes + 1023) / 1024 * 1024 + kTokenBytes;
  static constexpr int kCount = kFormat == Format::kInt4 ? 4 : 6;
};

struct TileInfo {
  TokenTile tile;
  int pair;  // clusters' rows within the matrix
  int part;
};

template <Format kFormat, int kGroup>
struct SharedGemm {
  using Layout = Stage<kFormat, kGroup>;
  char stages[Layout::kCount][Layout::kBytes];  // aligned to 1024; tokens first
  TileInfo infos[kInfoSlots];
  std::uint64_t full[Layout::kCount];
  std::uint64_t empty[Layout::kCount];
};

template <Format kFormat, int kGroup>
constexpr int kSharedBytes = static_cast<int>(sizeof(SharedGemm<kFormat, kGroup>)) + 1024;

#if M2_SM90_CODE

__device__ inline int count_items(const Gemm& args) {
  const int tiles = args.experts != nullptr
                        ? *args.num_tiles
                        : (args.num_rows + args.tile_tokens - 1) / args.tile_tokens;
  return tiles * args.pairs;
}

__device__ inline TileInfo find_item(const Gemm& args, int item) {
  TileInfo info = {.tile = {}, .pair = item % args.pairs, .part = 0};
  const int index = item / args.pairs;
  if (args.experts != nullptr) {
    info.tile = args.tiles[index];
    return info;
  }
  const int first = index * args.tile_tokens;
  info.tile = {0, first, min(args.tile_tokens, args.num_rows - first), args.size_index};
  while (info.part + 1 < args.num_parts && info.pair >= args.part_begin[info.part + 1]) ++info.part;
  info.pair -= args.part_begin[info.part];
  return info;
}

__device__ inline const GemmMatrix& matrix_of(const Gemm& args, const TileInfo& info) {
  return args.experts != nullptr ? args.experts[info.tile.expert] : args.parts[info.part];
}

// A place in the ring.
template <int kCount>
struct Place {
  int stage = 0;
  unsigned parity = 0;
  __device__ void advance() {
    if (++stage < kCount) return;
    stage = 0;
    parity ^= 1U;
  }
};

// The place of a block in its cluster: ranks 0, 1 have the first half of the tokens, 0 and 2 the
// first block of rows. `rows_mate` multiplies the same rows, `tokens_mate` the same tokens.
struct ClusterPlace {
  unsigned rank = cluster_rank();

  [[nodiscard]] __device__ int row_half() const { return static_cast<int>(rank % 2); }
  [[nodiscard]] __device__ int token_half() const { return static_cast<int>(rank / 2); }
  [[nodiscard]] __device__ unsigned rows_mate() const { return rank ^ 2U; }
  [[nodiscard]] __device__ unsigned tokens_mate() const { return rank ^ 1U; }
  [[nodiscard]] __device__ unsigned rows_mask() const { return 1U << rank | 1U << rows_mate(); }
  [[nodiscard]] __device__ unsigned tokens_mask() const { return 1U << rank | 1U << tokens_mate(); }
};

template <Format kFormat, bool kPaired, int kGroup>
__device__ void copy_tiles(const Gemm& args, SharedGemm<kFormat, kGroup>& shared, int num_items) {
  using Layout = Stage<kFormat, kGroup>;
  const ClusterPlace self;
  const int clusters = static_cast<int>(gridDim.x / kCluster);
  Place<Layout::kCount> place;
  int slot = 0;
  for (int item = static_cast<int>(blockIdx.x / kCluster); item < num_items; item += clusters) {
    const TileInfo info = find_item(args, item);
    const GemmMatrix& matrix = matrix_of(args, info);
    if (args.experts != nullptr) acquire_tensor_map(&matrix.map);
    const int half = half_size(info.tile.size_index);
    const int first_row = info.tile.first_row + self.token_half() * half;
    // This block copies the first or the second part of the tokens, in whole groups of eight.
    const int first_part = (half / 8 + 1) / 2 * 8;
    const int begin = self.row_half() == 0 ? 0 : first_part;
    const int part = self.row_half() == 0 ? first_part : half - first_part;
    const CUtensorMap* tokens = &args.tokens[part / 8 - 1];
    const int bytes = Layout::kWeightBytes + half * kSwizzledRow * Layout::kTokenParts;
    // And the first or the second half of the weight rows.
    const int row_block = (info.pair * 2 + self.row_half()) * 2 + self.token_half();
    for (int block = 0; block < args.column_blocks; ++block) {
      const int stage = place.stage;
      wait(&shared.empty[stage], place.parity ^ 1U);
      if (block == 0) {
        shared.infos[slot] = info;
        slot = (slot + 1) % kInfoSlots;
      }
      std::uint64_t* full = &shared.full[stage];
      arrive_expecting(full, bytes);
      char* to = shared.stages[stage];
      char* weights = to + Layout::kTokenBytes + self.token_half() * (Layout::kWeightBytes / 2);
      const int x = block * kSwizzledRow;  // bytes
      if constexpr (kFormat == Format::kInt4) {
        load_tile_multicast(weights, &matrix.map, full, 0, block, 0, row_block * (kPaired ? 4 : 8),
                            self.rows_mask());
      } else if constexpr (kPaired) {
        load_tile_multicast(weights, &matrix.map, full, x, 0, 0, row_block * 4, self.rows_mask());
      } else {
        load_tile_multicast(weights, &matrix.map, full, x, row_block * (kBlockRows / 2),
                            self.rows_mask());
      }
#pragma unroll
      for (int i = 0; i < Layout::kTokenParts; ++i) {
        load_tile_multicast(to + (i * kMaxHalf + begin) * kSwizzledRow, tokens, full,
                            (block * Layout::kTokenParts + i) * kSwizzledRow, first_row + begin,
                            self.tokens_mask());
      }
      place.advance();
    }
  }
}

// Tells the blocks that write into this one's stage that a warp has read it.
__device__ inline void release(std::uint64_t* empty) {
  __syncwarp();
  const unsigned lane = threadIdx.x % 32;
  // This block itself, tokens_mate and rows_mate.
  if (lane < 3) arrive_at(empty, cluster_rank() ^ lane);
}

// A lane's scale of the column blocks lane and lane + 32.
struct LaneScales {
  float low;
  float high;

  __device__ LaneScales(const float* scales, int count) {
    const int lane = threadIdx.x % 32;
    low = lane < count ? __ldg(scales + lane) : 0.0F;
    high = lane + 32 < count ? __ldg(scales + lane + 32) : 0.0F;
  }
  [[nodiscard]] __device__ float at(int block) const {
    return __shfl_sync(0xFFFFFFFFU, block < 32 ? low : high, block % 32);
  }
};

// The same in all lanes, which the compiler cannot know otherwise.
__device__ inline int warpgroup() {
  return __shfl_sync(0xFFFFFFFFU, static_cast<int>(threadIdx.x) / 128, 0);
}

// Two-level sums: the tensor unit's own hold 128 columns, the scaled ones all of them.
template <int kTokens, bool kPaired, typename Shared, typename Ring>
__device__ void multiply_f8(const Gemm& args, Shared& shared, const TileInfo& info, Ring& place,
                            const Turns& turns, float (&sums)[kTokens / 2]) {
  using Layout = Stage<Format::kF8, 128>;
  const GemmMatrix& matrix = matrix_of(args, info);
  const int row_block = info.pair * 2 + ClusterPlace().row_half();
  const int scale_row = kPaired ? row_block / 2 : row_block;
  const std::int64_t offset = std::int64_t{scale_row} * args.column_blocks;
  const LaneScales first_scales(matrix.first_scale + offset, args.column_blocks);
  const LaneScales second_scales((kPaired ? matrix.second_scale : matrix.first_scale) + offset,
                                 args.column_blocks);
  const std::uint64_t tokens = matrix_descriptor(shared.stages[0]);
  const std::uint64_t weights =
      matrix_descriptor(shared.stages[0] + Layout::kTokenBytes + warpgroup() * 64 * kSwizzledRow);
  float products[kTokens / 2];
#pragma unroll
  for (float& sum : sums) sum = 0.0F;
  for (int block = 0; block < args.column_blocks; ++block) {
    const int stage = place.stage;
    const auto move = static_cast<std::uint64_t>(stage * (Layout::kBytes >> 4));
    wait(&shared.full[stage], place.parity);
    turns.take();
    begin_products();
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      Products<kTokens>::template multiply<Operand::kE4M3>(
          products, weights + move + step * kDescriptorStep, tokens + move + step * kDescriptorStep,
          step > 0);
    }
    commit_products();
    turns.pass();
    const float first = first_scales.at(block);
    const float second = kPaired ? second_scales.at(block) : first;
    place.advance();
    wait_products<0>();
    pin(products);
    release(&shared.empty[stage]);
#pragma unroll
    for (int i = 0; i < kTokens / 2; ++i) sums[i] += products[i] * (i % 4 < 2 ? first : second);
  }
}

template <int kTokens, typename Shared, typename Ring>
__device__ void multiply_bf16(const Gemm& args, Shared& shared, Ring& place,
                              float (&sums)[kTokens / 2]) {
  using Layout = Stage<Format::kBF16, 128>;
  const int group = warpgroup();
#pragma unroll
  for (float& sum : sums) sum = 0.0F;
  for (int block = 0; block < args.column_blocks; ++block) {
    const int stage = place.stage;
    wait(&shared.full[stage], place.parity);
    const char* tokens = shared.stages[stage];
    const std::uint64_t a =
        matrix_descriptor(tokens + Layout::kTokenBytes + group * 64 * kSwizzledRow);
    const std::uint64_t b = matrix_descriptor(tokens);
    begin_products();
#pragma unroll
    for (int step = 0; step < 4; ++step) {
      Products<kTokens>::template multiply<Operand::kBF16>(sums, a + step * kDescriptorStep,
                                                           b + step * kDescriptorStep, 1);
    }
    commit_products();
    // The stage before is free: products follow each other without a gap.
    wait_products<1>();
    if (block > 0) release(&shared.empty[(stage + Layout::kCount - 1) % Layout::kCount]);
    place.advance();
  }
  wait_products<0>();
  pin(sums);
  release(&shared.empty[(place.stage + Layout::kCount - 1) % Layout::kCount]);
}

template <int kTokens, int kGroup, typename Shared, typename Ring>
__device__ void multiply_int4(const Gemm& args, Shared& shared, Ring& place,
                              float (&sums)[kTokens / 2]) {
  using Layout = Stage<Format::kInt4, kGroup>;
  const int warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (float& sum : sums) sum = 0.0F;
  for (int block = 0; block < args.column_blocks; ++block) {
    const int stage = place.stage;
    wait(&shared.full[stage], place.parity);
    const char* tokens = shared.stages[stage];
    const char* units = tokens + Layout::kTokenBytes + warp * 2 * kUnitBytes<kGroup>;
    std::uint32_t operands[8][4];
    expand_units<kGroup>(units, units + kUnitBytes<kGroup>, operands);
    pin(sums);
    begin_products();
#pragma unroll
    for (int step = 0; step < 8; ++step) {
      const std::uint64_t b = matrix_descriptor(tokens + step / 4 * kMaxHalf * kSwizzledRow) +
                              step % 4 * kDescriptorStep;
      Products<kTokens>::multiply(sums, operands[step], b, 1);
    }
    commit_products();
    wait_products<0>();
    pin(sums);
    release(&shared.empty[stage]);
    place.advance();
  }
}

// Undoes the scaling of the tokens' rows.
template <int kTokens>
__device__ void scale_by_row(const Gemm& args, const TileInfo& info, float (&sums)[kTokens / 2]) {
  const float* scales = args.token_scales + info.tile.first_row + threadIdx.x % 4 * 2;
#pragma unroll
  for (int j = 0; j < kTokens / 8; ++j) {
    const float2 scale = *reinterpret_cast<const float2*>(scales + 8 * j);
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[4 * j + i] *= i % 2 == 0 ? scale.x : scale.y;
  }
}

__device__ inline std::uint32_t pack_bf16(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  return reinterpret_cast<const std::uint32_t&>(pair);
}
// Rows become tokens: lane l then has token l / 4 and rows 2 (l % 4), + 1.
__device__ inline std::uint32_t transpose_pairs(std::uint32_t pair) {
  std::uint32_t result;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(pair));
  return result;
}

// SiLU(gate) * up of eight rows for each warp.
template <int kTokens>
__device__ void write_inner(const Gemm& args, const TileInfo& info,
                            const float (&sums)[kTokens / 2]) {
  const bool swapped = matrix_of(args, info).gate_is_second != 0;
  const int lane = threadIdx.x % 32;
  const int row = (info.pair * 2 + ClusterPlace().row_half()) * 64 +
                  static_cast<int>(threadIdx.x) / 32 * 8 + lane % 4 * 2;
  auto* output = static_cast<__nv_bfloat16*>(args.outputs[0]) +
                 std::int64_t{info.tile.first_row + lane / 4} * args.widths[0] + row;
#pragma unroll
  for (int j = 0; j < kTokens / 8; ++j) {
    float inner[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float gate = swapped ? sums[4 * j + 2 + i] : sums[4 * j + i];
      const float up = swapped ? sums[4 * j + i] : sums[4 * j + 2 + i];
      inner[i] = gate * up * __fdividef(1.0F, 1.0F + __expf(-gate));
    }
    const std::uint32_t rows = transpose_pairs(pack_bf16(inner[0], inner[1]));
    if (8 * j + lane / 4 < info.tile.count) {
      *reinterpret_cast<std::uint32_t*>(output + std::int64_t{8 * j} * args.widths[0]) = rows;
    }
  }
}

template <int kTokens>
__device__ void write_rows(const Gemm& args, const TileInfo& info,
                           const float (&sums)[kTokens / 2]) {
  const int lane = threadIdx.x % 32;
  const int column = lane % 4;
  const bool odd = column % 2 != 0;
  // Neighbouring lanes exchange, so that each has four rows side by side.
  const int row = (info.pair * 2 + ClusterPlace().row_half()) * kBlockRows +
                  static_cast<int>(threadIdx.x) / 32 * 16 + (odd ? 6 + 2 * column : 2 * column);
  auto* output = static_cast<__nv_bfloat16*>(args.outputs[0]) +
                 std::int64_t{info.tile.first_row + lane / 4} * args.widths[0] + row;
#pragma unroll
  for (int j = 0; j < kTokens / 8; ++j) {
    const std::uint32_t upper = transpose_pairs(pack_bf16(sums[4 * j], sums[4 * j + 1]));
    const std::uint32_t lower = transpose_pairs(pack_bf16(sums[4 * j + 2], sums[4 * j + 3]));
    const std::uint32_t other = __shfl_xor_sync(0xFFFFFFFFU, odd ? upper : lower, 1);
    const uint2 rows = odd ? make_uint2(other, lower) : make_uint2(upper, other);
    if (8 * j + lane / 4 < info.tile.count) {
      *reinterpret_cast<uint2*>(output + std::int64_t{8 * j} * args.widths[0]) = rows;
    }
  }
}

template <int kTokens>
__device__ void write_tokens(const Gemm& args, const TileInfo& info,
                             const float (&sums)[kTokens / 2]) {
  const int lane = threadIdx.x % 32;
  const int row = (info.pair * 2 + ClusterPlace().row_half()) * kBlockRows +
                  static_cast<int>(threadIdx.x) / 32 * 16 + lane / 4;
  const int width = args.widths[info.part];
  const int first = lane % 4 * 2;
  float* output = static_cast<float*>(args.outputs[info.part]) +
                  std::int64_t{info.tile.first_row + first} * width + row;
  const bool accumulate = args.accumulate;
#pragma unroll
  for (int j = 0; j < kTokens / 8; ++j) {
    float before[4] = {};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const bool used = 8 * j + first + i % 2 < info.tile.count;
      float* to = output + std::int64_t{8 * j + i % 2} * width + i / 2 * 8;
      if (used && accumulate) before[i] = *to;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const bool used = 8 * j + first + i % 2 < info.tile.count;
      float* to = output + std::int64_t{8 * j + i % 2} * width + i / 2 * 8;
      if (used) *to = before[i] + sums[4 * j + i];
    }
  }
}

template <int kTokens, Format kFormat, Output kOutput, int kGroup, typename Shared, typename Ring>
__device__ void multiply_tile(const Gemm& args, Shared& shared, const TileInfo& info, Ring& place,
                              const Turns& turns) {
  constexpr bool kPaired = kOutput == Output::kInner;
  float sums[kTokens / 2];
  if constexpr (kFormat == Format::kF8) {
    multiply_f8<kTokens, kPaired>(args, shared, info, place, turns, sums);
  } else if constexpr (kFormat == Format::kBF16) {
    multiply_bf16<kTokens>(args, shared, place, sums);
  } else {
    multiply_int4<kTokens, kGroup>(args, shared, place, sums);
  }
  if constexpr (kFormat != Format::kBF16) scale_by_row<kTokens>(args, info, sums);
  if constexpr (kOutput == Output::kInner) write_inner<kTokens>(args, info, sums);
  if constexpr (kOutput == Output::kRows) write_rows<kTokens>(args, info, sums);
  if constexpr (kOutput == Output::kTokens) write_tokens<kTokens>(args, info, sums);
}

// A block without tokens keeps pace with its cluster.
template <int kCount, typename Shared>
__device__ void skip_tile(const Gemm& args, Shared& shared, Place<kCount>& place) {
  for (int block = 0; block < args.column_blocks; ++block) {
    wait(&shared.full[place.stage], place.parity);
    release(&shared.empty[place.stage]);
    place.advance();
  }
}

template <Format kFormat, Output kOutput, int kGroup>
__device__ void multiply_tiles(const Gemm& args, SharedGemm<kFormat, kGroup>& shared,
                               int num_items) {
  const ClusterPlace self;
  const Turns turns(static_cast<int>(threadIdx.x) / 128);
  const int clusters = static_cast<int>(gridDim.x / kCluster);
  Place<Stage<kFormat, kGroup>::kCount> place;
  int slot = 0;
  for (int item = static_cast<int>(blockIdx.x / kCluster); item < num_items; item += clusters) {
    wait(&shared.full[place.stage], place.parity);  // then the slot is filled, too
    TileInfo info = shared.infos[slot];
    slot = (slot + 1) % kInfoSlots;
    // From here on the tile is this block's half.
    const int half = half_size(info.tile.size_index);
    info.tile.first_row += self.token_half() * half;
    info.tile.count -= self.token_half() * half;
    if (info.tile.count <= 0) {
      skip_tile(args, shared, place);
      continue;
    }
    const auto run = [&](auto index) {
      multiply_tile<half_size(index.value), kFormat, kOutput, kGroup>(args, shared, info, place,
                                                                      turns);
    };
    switch (info.tile.size_index) {
      case 0:
        run(std::integral_constant<int, 0>());
        break;
      case 1:
        run(std::integral_constant<int, 1>());
        break;
      case 2:
        run(std::integral_constant<int, 2>());
        break;
      case 3:
        run(std::integral_constant<int, 3>());
        break;
      case 4:
        run(std::integral_constant<int, 4>());
        break;
      case 5:
        run(std::integral_constant<int, 5>());
        break;
      case 6:
        run(std::integral_constant<int, 6>());
        break;
      default:
        run(std::integral_constant<int, 7>());
        break;
    }
  }
}

#endif  // M2_SM90_CODE

// Clusters walk over (tile of tokens, 256 weight rows); a tile's rows come one after the other.
template <Format kFormat, Output kOutput, int kGroup>
__global__ void __launch_bounds__(kGemmThreads, 1) gemm_kernel(const __grid_constant__ Gemm args) {
#if M2_SM90_CODE
  using Shared = SharedGemm<kFormat, kGroup>;
  extern __shared__ char memory[];
  const std::uint32_t misaligned = shared_address(memory) % 1024;
  auto& shared = *reinterpret_cast<Shared*>(memory + (1024 - misaligned) % 1024);
  if (threadIdx.x == 0) {
    for (int i = 0; i < Shared::Layout::kCount; ++i) {
      init_barrier(&shared.full[i], 1);
      init_barrier(&shared.empty[i], 3 * kMultiplyThreads / 32);
    }
    fence_barriers();
  }
  sync_cluster();
  begin_kernel();
  const int num_items = count_items(args);
  if (threadIdx.x >= kMultiplyThreads) {
    shrink_registers<24>();
    if (threadIdx.x == kMultiplyThreads) {
      copy_tiles<kFormat, kOutput == Output::kInner, kGroup>(args, shared, num_items);
    }
  } else {
    grow_registers<240>();
    multiply_tiles<kFormat, kOutput, kGroup>(args, shared, num_items);
  }
  sync_cluster();  // the other blocks may still release stages of this one
#endif
}

}  // namespace m2::cuda::sm90
