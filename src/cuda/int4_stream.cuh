// int4 weights on their way from memory to the sums of a few tokens.
//
// A warp takes tiles of sixteen rows, over all their columns, and has a ring of stages of its own
// in shared memory: a stage is up to six units (int4_layout.h) of an "upper" and as many of a
// "lower" eight rows, two bulk copies. It asks for a stage again as soon as it has used one, so
// that the ring is always full and no warp waits for another. Measured on an H200 (gate and up of
// 222 experts): without the products stages of two, four and six units arrive at 0.78, 0.87 and
// 0.90 of the read rate.
#pragma once

#include "cuda/int4_tokens.cuh"

namespace m2::cuda {

/// Sizes that all matrices of a launch share.
struct Int4Shape {
  int rows;
  int cols;

  [[nodiscard]] __host__ __device__ constexpr int units() const { return cols / kUnitColumns; }
};

/// How a launch uses a block's shared memory.
struct Int4Plan {
  int tokens = 0;  // rows of activations that a block holds; 0: not even one fits
  int slots = 0;   // of each warp's ring
  int num_bytes = 0;
};

/// Where the first tile of a matrix, or of two, has its upper and its lower eight rows.
struct TileSource {
  const char* upper;
  const char* lower;
};

/// The tiles of a warp: begin, begin + step .. below end. A tile's number counts in two digits:
/// `num_inner` make an outer one, and lie `tile_bytes` apart.
struct TileOrder {
  int begin;
  int end;
  int step;
  int num_inner;
  int tile_bytes;
};

template <int kGroup>
class Int4Stream {
 public:
  static constexpr int kStageUnits = 6;
  static constexpr int kHalfBytes = kStageUnits * kUnitBytes<kGroup>;
  static constexpr int kMaxSlots = 8;
  static constexpr int kBarrierBytes = kStreamWarps * kMaxSlots * 8;

  /// Of eight rows of a matrix.
  __host__ __device__ static constexpr int eight_rows(const Int4Shape& shape) {
    return shape.units() * kUnitBytes<kGroup>;
  }
  __host__ __device__ static constexpr int num_bytes(int cols, int tokens, int slots) {
    return kBarrierBytes + CodeTokens<kGroup>::num_bytes(cols, tokens) +
           kStreamWarps * slots * 2 * kHalfBytes;
  }

  /// `shared` [plan.num_bytes].
  __device__ Int4Stream(void* shared, const Int4Shape& shape, const Int4Plan& plan)
      : shape_(shape),
        slots_(plan.slots),
        barriers_(shared_address(shared) + warp() * kMaxSlots * 8),
        ring_(shared_address(shared) + num_bytes(shape.cols, plan.tokens, 0) +
              warp() * slots_ * 2 * kHalfBytes),
        tokens_(static_cast<char*>(shared) + kBarrierBytes, shape.cols, plan.tokens) {
    if (lane() == 0) {
#pragma unroll 1
      for (int i = 0; i < slots_; ++i) init_barrier(barriers_ + i * 8, 1);
      fence_barriers();
    }
    __syncwarp();
  }

  /// Asks for the first stages of the warp's tiles from source_of(outer digit) [TileSource].
  template <typename SourceOf>
  __device__ void start(const TileOrder& order, const SourceOf& source_of) {
    order_ = order;
    next_tile_ = order.begin;
#pragma unroll 1
    for (int i = 0; i < slots_; ++i) ask(i, source_of);
  }

  /// By all warps, when none needs the rows before any more.
  template <typename RowOf>
  __device__ void fill(const RowOf& row_of, int count) {
    sync_stream_warps();
    tokens_.fill(row_of, count);
  }

  /// The warp's next tile times `count` tokens: use(token % 2, sum of upper row lane / 4, of the
  /// lower one) for the tokens lane % 4 * 2 and the next.
  template <typename SourceOf, typename Use>
  __device__ void multiply(const SourceOf& source_of, int count, const Use& use) {
    multiply_tile(source_of, min(lane() / 4, count - 1), lane() % 4);
    const int token = lane() % 4 * 2;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (token + i >= count) break;
      use(i, tokens_.rescaled(sums_[i], token + i), tokens_.rescaled(sums_[2 + i], token + i));
    }
  }

  /// The warp's next tile, two experts of one token: those on the upper rows times row `first` of
  /// the activations, those on the lower rows times `first` + 1, or `first` again if that is
  /// `last`; their sums of row lane / 4 in the lanes 0, 4, 8 ..
  template <typename SourceOf>
  __device__ float2 multiply_experts(const SourceOf& source_of, int first, int last) {
    const int second = min(first + 1, last);
    multiply_tile(source_of, lane() < 4 ? first : second, first / 2);
    return {tokens_.rescaled(sums_[0], first), tokens_.rescaled(sums_[3], second)};
  }

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int warp() { return static_cast<int>(threadIdx.x) / 32; }

 private:
  [[nodiscard]] __device__ int stage_units(int first) const {
    return min(kStageUnits, shape_.units() - first);
  }

  // The stage after the last one that was asked for, into a slot that is free.
  template <typename SourceOf>
  __device__ void ask(int slot, const SourceOf& source_of) {
    if (next_tile_ >= order_.end) return;
    if (next_column_unit_ == 0) {
      const UnitPosition tile(next_tile_, order_.num_inner);
      if (tile.outer != outer_) {  // its address is some reads away
        outer_ = tile.outer;
        source_ = source_of(outer_);
      }
      const std::int64_t offset = std::int64_t{tile.inner} * order_.tile_bytes;
      upper_ = source_.upper + offset;
      lower_ = source_.lower + offset;
    }
    const int bytes = stage_units(next_column_unit_) * kUnitBytes<kGroup>;
    if (lane() == 0) {
      const std::uint32_t barrier = barriers_ + slot * 8;
      const std::uint32_t to = ring_ + slot * 2 * kHalfBytes;
      arrive_expecting(barrier, 2 * bytes);
      copy_bulk(to, upper_, bytes, barrier);
      copy_bulk(to + kHalfBytes, lower_, bytes, barrier);
    }
    upper_ += bytes;
    lower_ += bytes;
    next_column_unit_ += kStageUnits;
    if (next_column_unit_ < shape_.units()) return;
    next_column_unit_ = 0;
    next_tile_ += order_.step;
  }

  // sums_ = the next tile times the token of this lane's column; `pair` of tokens has its sums.
  template <typename SourceOf>
  __device__ void multiply_tile(const SourceOf& source_of, int token, int pair) {
#pragma unroll
    for (float& sum : sums_) sum = 0.0F;
    std::uint32_t vectors = tokens_.vectors(token);
    for (int first = 0; first < shape_.units(); first += kStageUnits) {
      const int count = stage_units(first);
      await_phase(barriers_ + slot_ * 8, parity_);
      const std::uint32_t units = ring_ + slot_ * 2 * kHalfBytes;
#pragma unroll
      for (int i = 0; i < kStageUnits; ++i) {
        if (i >= count) break;
        multiply_unit(units + i * kUnitBytes<kGroup>, vectors, first + i, pair);
        vectors += 2 * kUnitColumns;
      }
      __syncwarp();
      ask(slot_, source_of);
      if (++slot_ == slots_) {
        slot_ = 0;
        parity_ ^= 1;
      }
    }
  }

  // sums_ += sixteen rows times eight tokens over 128 columns.
  __device__ void multiply_unit(std::uint32_t upper, std::uint32_t vectors, int column_unit,
                                int pair) {
    constexpr int kGroups = CodeTokens<kGroup>::kUnitGroups;
    constexpr int kChains = 4;  // hide each other's latency; with a scale each they are groups
    LaneSums products[kChains] = {};
#pragma unroll
    for (int group = 0; group < kGroups; ++group) {
      const float2 start = tokens_.starts(column_unit * kGroups + group, pair);
      products[group][0] = products[group][2] = start.x;
      products[group][1] = products[group][3] = start.y;
    }
    const uint4 words[2] = {load_shared(upper + lane() * 16),
                            load_shared(upper + kHalfBytes + lane() * 16)};
#pragma unroll
    for (int w = 0; w < 4; ++w) {
      std::uint32_t pairs[2][4];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const uint4& vector = words[half];
        code_pairs(w == 0   ? vector.x
                   : w == 1 ? vector.y
                   : w == 2 ? vector.z
                            : vector.w,
                   pairs[half]);
      }
      const uint4 tokens = load_shared(vectors + w * 64);
      const std::uint32_t columns[2][2] = {{tokens.x, tokens.y}, {tokens.z, tokens.w}};
#pragma unroll
      for (int step = 0; step < 2; ++step) {
        mma<false>(products[w], {{pairs[0][2 * step], pairs[0][2 * step + 1]}},
                   {{pairs[1][2 * step], pairs[1][2 * step + 1]}}, columns[step]);
      }
    }
    add(products, upper);
  }

  // sums_ += the products times the scales of their rows.
  __device__ void add(const LaneSums (&products)[4], std::uint32_t upper) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const std::uint32_t scales = upper + half * kHalfBytes + kUnitWordBytes;
      if constexpr (kGroup == 128) {
        const float scale = load_scale(scales + lane() / 4 * 2);
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          sums_[i] +=
              scale * ((products[0][i] + products[1][i]) + (products[2][i] + products[3][i]));
        }
      } else {
        const uint2 four = load_shared_pair(scales + lane() / 4 * 8);
        const float2 low = __half22float2(reinterpret_cast<const __half2&>(four.x));
        const float2 high = __half22float2(reinterpret_cast<const __half2&>(four.y));
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i) {
          sums_[i] += low.x * products[0][i];
          sums_[i] += low.y * products[1][i];
          sums_[i] += high.x * products[2][i];
          sums_[i] += high.y * products[3][i];
        }
      }
    }
  }

  __device__ static float load_scale(std::uint32_t address) {
    unsigned short bits;
    asm volatile("ld.shared.u16 %0, [%1];" : "=h"(bits) : "r"(address) : "memory");
    return __half2float(__ushort_as_half(bits));
  }

  Int4Shape shape_;
  int slots_;
  std::uint32_t barriers_;  // of this warp: full, for each slot
  std::uint32_t ring_;      // [slots, 2, kHalfBytes] of this warp
  CodeTokens<kGroup> tokens_;
  TileOrder order_{};
  // What is asked for next.
  int next_tile_ = 0;
  int next_column_unit_ = 0;
  int outer_ = -1;
  TileSource source_{};  // of outer_
  const char* upper_ = nullptr;
  const char* lower_ = nullptr;
  // What is used next.
  int slot_ = 0;
  int parity_ = 0;
  LaneSums sums_ = {};
};

}  // namespace m2::cuda
