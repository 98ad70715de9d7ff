// The products of a tile: what a warpgroup does with the stages of the ring.
#pragma once

#include "cuda/sm90/gemm_stages.cuh"
#include "cuda/sm90/int4_f8.cuh"
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

// Of two waves, every other group of eight rows belongs to the second: a warp's rows lie side by
// side, and gate and up are a wave each.

/// F8 weights as they lie in the stages.
template <bool kPaired, int kWaves>
class F8Weights {
 public:
  using Layout = Stage<Format::kF8, 128>;
  static constexpr int kParts = 1;         // of 128 columns that have scales of their own
  static constexpr bool kFetches = false;  // a stage ahead
  static constexpr bool kTakesTurns = true;

  template <typename Shared>
  __device__ F8Weights(const Shared& shared, const NextTile& tile, int row_block)
      : tile_(tile),
        row_block_(row_block),
        first_(matrix_descriptor<kWaves * kGroupBytes>(shared.stages[0] + Layout::kTokenBytes +
                                                       warpgroup() * kWaves * 64 * kSwizzledRow)) {}

  __device__ void fetch(int) {}
  __device__ void begin(int stage, int wave) {
    place_ = first_ + static_cast<std::uint64_t>(stage * (Layout::kBytes >> 4)) +
             wave * (kGroupBytes >> 4);
  }
  template <int kTokens>
  __device__ void multiply(float (&products)[kTokens / 2], int step, std::uint64_t tokens,
                           int accumulate) const {
    Products<kTokens>::template multiply<Operand::kE4M3>(products, place_ + step * kDescriptorStep,
                                                         tokens, accumulate);
  }
  /// Of the rows lane / 4 and lane / 4 + 8 of a warp's wave.
  __device__ float scale(int i, int wave, int, int block) const {
    const int index = kPaired ? (kWaves == 2 ? wave : i) : (kWaves == 2 ? warpgroup() : row_block_);
    return tile_.scales[index][block];
  }
  __device__ void end() {}

 private:
  static constexpr int kGroupBytes = 8 * kSwizzledRow;
  const NextTile& tile_;
  int row_block_;
  std::uint64_t first_;
  std::uint64_t place_;
};

/// int4 weights, expanded into registers: one wave.
template <int kGroup>
class Int4Weights {
 public:
  using Layout = Stage<Format::kInt4, kGroup>;
  static constexpr int kParts = kUnitColumns / kGroup;
  static constexpr bool kFetches = true;
  static constexpr bool kTakesTurns = kParts == 1;

  template <typename Shared>
  __device__ explicit Int4Weights(const Shared& shared)
      : units_(shared.stages[0] + Layout::kTokenBytes +
               static_cast<int>(threadIdx.x) / 32 * 2 * kUnitBytes<kGroup>) {}

  __device__ void fetch(int stage) {
    const char* upper = units_ + stage * Layout::kBytes;
    next_.load(upper, upper + kUnitBytes<kGroup>);
  }
  __device__ void begin(int, int) {
    next_.expand(code_, operands_);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int part = 0; part < kParts; ++part) scales_[i][part] = next_.scales[i][part];
    }
  }
  template <int kTokens>
  __device__ void multiply(float (&products)[kTokens / 2], int step, std::uint64_t tokens,
                           int accumulate) const {
    ProductsOfRegisters<kTokens>::multiply(products, operands_[step], tokens, accumulate);
  }
  __device__ float scale(int i, int, int part, int) const {
    return __half2float(scales_[i][part]) * kInt4Unit;
  }
  /// The products have read the operands.
  __device__ void end() {
#pragma unroll
    for (auto& step : operands_) {
#pragma unroll
      for (std::uint32_t& operand : step) asm volatile("" : "+r"(operand)::"memory");
    }
  }

 private:
  E4M3Codes code_;
  const char* units_;
  Int4Rows<kGroup> next_;
  std::uint32_t operands_[4][4];
  __half scales_[2][kParts];
};

// Two-level sums: the tensor unit's own hold the columns of a part, the scaled ones all of them. Of
// several short parts the next one's products run while those of a part are scaled.
template <Format kFormat, int kTokens, int kWaves, typename Weights, typename Shared, typename Ring>
__device__ void multiply_scaled(const Gemm& args, Shared& shared, Weights weights, Ring& place,
                                const Turns& turns, Sums<kWaves, kTokens>& sums) {
  using Layout = typename Weights::Layout;
  constexpr int kSteps = 4 / Weights::kParts;
  const std::uint64_t tokens = matrix_descriptor(shared.stages[0]);
  constexpr bool kTwoBuffers = Weights::kParts > 1 && kTokens <= 128;
  constexpr int kBuffers = kTwoBuffers ? 2 : 1;
  float products[kBuffers][kTokens / 2];
#pragma unroll
  for (auto& wave : sums) {
#pragma unroll
    for (float& sum : wave) sum = 0.0F;
  }
  wait(&shared.full[place.stage], place.parity);
  weights.fetch(place.stage);
  for (int block = 0; block < args.column_blocks; ++block) {
    const int stage = place.stage;
    const auto move = static_cast<std::uint64_t>(stage * (Layout::kBytes >> 4));
    if (!Weights::kFetches && block > 0) wait(&shared.full[stage], place.parity);
    const auto multiply = [&](int part) __attribute__((always_inline)) {
      if constexpr (Weights::kTakesTurns) turns.take();
      begin_products();
#pragma unroll
      for (int i = 0; i < kSteps; ++i) {
        const int step = part * kSteps + i;
        weights.template multiply<kTokens>(products[part % kBuffers], step,
                                           tokens + move + step * kDescriptorStep, i > 0);
      }
      commit_products();
      if constexpr (Weights::kTakesTurns) turns.pass();
    };
#pragma unroll
    for (int wave = 0; wave < kWaves; ++wave) {
      weights.begin(stage, wave);
      if constexpr (kTwoBuffers) multiply(0);
#pragma unroll
      for (int part = 0; part < Weights::kParts; ++part) {
        const bool is_last = part + 1 == Weights::kParts;
        if constexpr (!kTwoBuffers) multiply(part);
        if (kTwoBuffers && !is_last) multiply(part + 1);
        float scales[2];
#pragma unroll
        for (int i = 0; i < 2; ++i) scales[i] = weights.scale(i, wave, part, block);
        if (Weights::kFetches && is_last && block + 1 < args.column_blocks) {
          Ring next = place;
          next.advance();
          wait(&shared.full[next.stage], next.parity);
          weights.fetch(next.stage);
        }
        if (kTwoBuffers && !is_last) {
          wait_products<1>();
        } else {
          wait_products<0>();
        }
        pin(products[part % kBuffers]);
        if (is_last) weights.end();
        if (is_last && wave + 1 == kWaves) release<kFormat>(&shared.empty[stage]);
#pragma unroll
        for (int i = 0; i < kTokens / 2; ++i) {
          sums[wave][i] += products[part % kBuffers][i] * scales[i / 2 % 2];
        }
      }
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

#endif  // M2_SM90_CODE

}  // namespace m2::cuda::sm90
