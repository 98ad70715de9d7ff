// Products of up to four tokens with eight rows of weights, as the lanes of a warp make them.
//
// A warp multiplies two pieces of 128 bytes of a stage together: they are the upper and the lower
// rows of the mma (m16n8k16), and what they meet is in different columns of it. F8 weights become
// f16 in registers. A token's numbers are f16 with a power of two for the columns of a piece, or
// with BF16 weights a high and a low part, columns of their own: two tokens then. Which columns of
// a row belong to which step is of no importance, as long as both operands agree: a lane reads
// sixteen neighbouring bytes of weights, and the token's numbers in that order.
#pragma once

#include "cuda/mma.cuh"
#include "cuda/row_pieces.cuh"

namespace m2::cuda {

template <DType kType>
class FewTokensOperands {
 public:
  static constexpr bool kScaled = kType == DType::kF8E4M3;
  static constexpr int kColumns = kPieceCols<kType>;  // of a piece
  static constexpr int kMostTokens = kType == DType::kBF16 ? 2 : 4;

  // ---- tokens in shared memory, a row each

  /// Of a token's row.
  __host__ __device__ static int row_bytes(int cols) {
    return kParts * part_bytes(cols) + (cols / kColumns * 4 + 15) / 16 * 16;
  }
  /// By a warp: columns 128 i + 4 lane and on, zero beyond the row.
  __device__ static void store(char* row, int cols, int i, const float4& x) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int column = 128 * i + 4 * lane;
    const PowerScale power = scale_of(x);
    if (column >= cols) return;
    const SplitQuad parts = split_quad<kIsBf16<kType>>(
        {x.x * power.inverse, x.y * power.inverse, x.z * power.inverse, x.w * power.inverse});
    *reinterpret_cast<uint2*>(row + 2 * column) = {parts.high[0], parts.high[1]};
    if constexpr (kParts == 2) {
      *reinterpret_cast<uint2*>(row + part_bytes(cols) + 2 * column) = {parts.low[0], parts.low[1]};
    }
    if (lane % kQuads == 0) {
      reinterpret_cast<float*>(row + kParts * part_bytes(cols))[column / kColumns] = power.scale;
    }
  }

  /// Piece `piece` of the token whose row is at `row`.
  struct Place {
    std::uint32_t row;
    int piece;
  };
  /// The token whose numbers the lane brings to the mma, and the one whose sums it gets.
  __device__ static int column_token() {
    return static_cast<int>(threadIdx.x) % 32 / (32 / kMostTokens);
  }
  __device__ static int sum_token() { return static_cast<int>(threadIdx.x) % 4 / kParts; }
  /// Whether the lane has sums of one of `num_tokens` after gather().
  __device__ static bool has_sums(int num_tokens) {
    return threadIdx.x % kParts == 0 && sum_token() < num_tokens;
  }

  /// What a lane has of two pieces of tokens.
  struct Tokens {
    std::uint32_t values[kPieceCols<kType> / 16][2];
    float scales[2];

    /// Pieces that meet the upper and the lower rows: of column_token(), and of sum_token().
    __device__ void load(const Place& upper, const Place& lower, const Place& upper_sum,
                         const Place& lower_sum, int cols) {
      const int lane = static_cast<int>(threadIdx.x) % 32;
      const bool is_upper = lane / 4 / kParts % 2 == 0;  // the lane's column of the mma
      const int part = lane / 4 % kParts;
      const std::uint32_t from = (is_upper ? upper.row : lower.row) + part * part_bytes(cols) +
                                 2 * kColumns * (is_upper ? upper.piece : lower.piece) +
                                 lane % 4 * (kColumns / 4);
      constexpr int kVectors = kSteps / 4;  // of half a piece
#pragma unroll
      for (int v = 0; v < 2 * kVectors; ++v) {
        const uint4 x = load_shared(from + v / kVectors * kColumns + v % kVectors * 16);
        values[2 * v][0] = x.x;
        values[2 * v][1] = x.y;
        values[2 * v + 1][0] = x.z;
        values[2 * v + 1][1] = x.w;
      }
      scales[0] = scale_at(upper_sum, cols);
      scales[1] = scale_at(lower_sum, cols);
    }
  };

  // ---- products

  /// What a lane has of two pieces of weights: rows lane / 4.
  struct Weights {
    uint4 vectors[2][2] = {};
    float scales[2] = {1.0F, 1.0F};

    /// Piece `piece` of the eight rows that lie from `tile` on, `width` bytes each, as number i.
    __device__ void load(int i, std::uint32_t tile, int width, int piece, std::uint32_t scale) {
      load_row_piece(tile, width, piece, vectors[i]);
      if constexpr (kScaled) scales[i] = load_shared_float(scale);
    }
  };

  /// sums[0] += upper pieces' products, sums[1] += lower ones', of row lane / 4 and sum_token();
  /// with BF16 weights in lanes lane % 2 == 0 and 1.
  __device__ static void add(const Weights& weights, const Tokens& tokens, float (&sums)[2]) {
    float chains[2][4] = {};  // they hide each other's latency
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      constexpr int kHalf = kSteps / 2;
      const int half = step / kHalf;
      const WeightPairs upper = weight_pairs<kType>(weights.vectors[0][half], step % kHalf);
      const WeightPairs lower = weight_pairs<kType>(weights.vectors[1][half], step % kHalf);
      mma<kIsBf16<kType>>(chains[half], upper, lower, tokens.values[step]);
    }
    if constexpr (kParts == 2) {
      sums[0] += chains[0][0] + chains[1][0] + (chains[0][1] + chains[1][1]);
      sums[1] += chains[0][2] + chains[1][2] + (chains[0][3] + chains[1][3]);
    } else {
      sums[0] += (chains[0][0] + chains[1][0]) * (weights.scales[0] * tokens.scales[0]);
      sums[1] += (chains[0][3] + chains[1][3]) * (weights.scales[1] * tokens.scales[1]);
    }
  }
  /// Such sums in the lanes with has_sums().
  __device__ static void gather(float (&sums)[2]) {
    if constexpr (kParts == 2) sums[1] = __shfl_xor_sync(kAllLanes, sums[1], 1);
  }

 private:
  static constexpr int kParts = kType == DType::kBF16 ? 2 : 1;
  static constexpr int kQuads = kColumns / 4;
  static constexpr int kSteps = kQuads / 4;

  // Of a row of 16-bit numbers; rows of two tokens meet different banks.
  __host__ __device__ static int part_bytes(int cols) { return 2 * cols + 16; }

  __device__ static float scale_at(const Place& place, int cols) {
    if constexpr (kParts == 2) return 1.0F;
    return load_shared_float(place.row + kParts * part_bytes(cols) + place.piece * 4);
  }

  // Of a piece, a quad of which each lane has.
  __device__ static PowerScale scale_of(const float4& x) {
    if constexpr (kType == DType::kBF16) return {1.0F, 1.0F};
    const float own = fmaxf(fmaxf(fabsf(x.x), fabsf(x.y)), fmaxf(fabsf(x.z), fabsf(x.w)));
    std::uint32_t largest = __float_as_uint(own);
    if constexpr (kQuads == 32) {
      largest = __reduce_max_sync(kAllLanes, largest);
    } else {
#pragma unroll
      for (int lanes = 1; lanes < kQuads; lanes *= 2) {
        largest = max(largest, __shfl_xor_sync(kAllLanes, largest, lanes));
      }
    }
    return scale_above(__uint_as_float(largest));
  }
};

}  // namespace m2::cuda
