// The products of a tile: what a warpgroup does with the stages of the ring.
#pragma once

#include "cuda/sm90/gemm_stages.cuh"
#include "cuda/sm90/wgmma.cuh"

namespace m2::cuda::sm90 {

#if M2_SM90_CODE

// The same in all lanes, which the compiler cannot know otherwise.
__device__ inline int warpgroup() {
  return __shfl_sync(0xFFFFFFFFU, static_cast<int>(threadIdx.x) / 128, 0);
}

/// What a block sums up in a pass: waves of 64 weight rows of each warpgroup.
template <int kWaves, int kTokens>
using Sums = float[kWaves][kTokens / 2];

// Two-level sums: the tensor unit's own hold 128 columns, the scaled ones all of them. Of two
// waves, every other group of eight rows belongs to the second: a warp's rows lie side by side, and
// gate and up are a wave each.
template <int kTokens, bool kPaired, int kWaves, typename Shared, typename Ring>
__device__ void multiply_f8(const Gemm& args, Shared& shared, const NextTile& tile, int pass,
                            Ring& place, const Turns& turns, Sums<kWaves, kTokens>& sums) {
  using Layout = Stage<Format::kF8, 128>;
  constexpr int kGroupBytes = 8 * kSwizzledRow;
  const int group = warpgroup();
  const std::uint64_t tokens = matrix_descriptor(shared.stages[0]);
  const std::uint64_t weights = matrix_descriptor<kWaves * kGroupBytes>(
      shared.stages[0] + Layout::kTokenBytes + group * kWaves * 64 * kSwizzledRow);
  float products[kTokens / 2];
#pragma unroll
  for (auto& wave : sums) {
#pragma unroll
    for (float& sum : wave) sum = 0.0F;
  }
  for (int block = 0; block < args.column_blocks; ++block) {
    const int stage = place.stage;
    const auto move = static_cast<std::uint64_t>(stage * (Layout::kBytes >> 4));
    wait(&shared.full[stage], place.parity);
#pragma unroll
    for (int wave = 0; wave < kWaves; ++wave) {
      turns.take();
      begin_products();
#pragma unroll
      for (int step = 0; step < 4; ++step) {
        Products<kTokens>::template multiply<Operand::kE4M3>(
            products, weights + move + wave * (kGroupBytes >> 4) + step * kDescriptorStep,
            tokens + move + step * kDescriptorStep, step > 0);
      }
      commit_products();
      turns.pass();
      float scales[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int index = kPaired ? (kWaves == 2 ? wave : i) : (kWaves == 2 ? group : pass);
        scales[i] = tile.scales[index][block];
      }
      wait_products<0>();
      pin(products);
      if (wave == kWaves - 1) release<Format::kF8>(&shared.empty[stage]);
#pragma unroll
      for (int i = 0; i < kTokens / 2; ++i) sums[wave][i] += products[i] * scales[i / 2 % 2];
    }
    place.advance();
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
    if (block > 0) {
      release<Format::kBF16>(&shared.empty[(stage + Layout::kCount - 1) % Layout::kCount]);
    }
    place.advance();
  }
  wait_products<0>();
  pin(sums);
  release<Format::kBF16>(&shared.empty[(place.stage + Layout::kCount - 1) % Layout::kCount]);
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
    release<Format::kInt4>(&shared.empty[stage]);
    place.advance();
  }
}

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90
