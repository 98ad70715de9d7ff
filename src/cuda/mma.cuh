// Matrix-unit products of weights with float32 activations.
//
// mma m16n8k16: sixteen weight rows times eight tokens over sixteen columns. The matrix unit takes
// 16-bit operands, so a float32 activation travels as two numbers, high + low:
//   F16, F8_E4M3 weights (exact in f16): two f16, after scaling each 64 columns of a token to at
//     most 1 by a power of two; the pair is within 2^-24 of the largest.
//   BF16 weights: two bf16; the pair is within 2^-17 of the number itself.
// A weight read is thus used as stored, and the product has nearly float32 accuracy at twice the
// matrix work, which a decode step has to spare.
//
// Operands may take their columns in any order, as long as both take the same. A lane reads sixteen
// contiguous bytes of a weight row and uses them in the order of memory; quad_column() says which
// activations belong to them.
#pragma once

#include <bit>

#include "cuda/numeric.cuh"

namespace m2::cuda {

constexpr int kChunk = 64;      // columns that are handled together
constexpr int kChunkSteps = 4;  // mma steps of 16 columns in them
constexpr int kTileRows = 16;   // weight rows of an mma
constexpr int kTileTokens = 8;  // tokens of an mma

/// Whether a weight's columns can be read by chunks: 16-byte vectors, and scale blocks of 2^n
/// chunks that end at the border of a tile of rows.
inline bool fits_mma(const WeightView& weight) {
  if (weight.dtype == DType::kF32 || weight.cols % kChunk != 0) return false;
  if (reinterpret_cast<std::uintptr_t>(weight.data) % 16 != 0) return false;
  return weight.dtype != DType::kF8E4M3 ||
         (weight.block_cols % kChunk == 0 && weight.block_rows % kTileRows == 0 &&
          std::has_single_bit(static_cast<std::uint64_t>(weight.block_cols)));
}

template <DType kType>
constexpr bool kIsBf16 = kType == DType::kBF16;

/// 16-byte vectors that a lane reads for one row of a chunk.
template <DType kType>
constexpr int kVectors = kType == DType::kF8E4M3 ? 1 : 2;

/// The two 16-bit parts of two activations.
template <bool kBf16>
__device__ inline void split_pair(float x, float y, std::uint32_t& high, std::uint32_t& low) {
  if constexpr (kBf16) {
    const __nv_bfloat162 h = __floats2bfloat162_rn(x, y);
    const __nv_bfloat162 l = __floats2bfloat162_rn(x - __low2float(h), y - __high2float(h));
    high = reinterpret_cast<const std::uint32_t&>(h);
    low = reinterpret_cast<const std::uint32_t&>(l);
  } else {
    const __half2 h = __floats2half2_rn(x, y);
    const __half2 l = __floats2half2_rn(x - __low2float(h), y - __high2float(h));
    high = reinterpret_cast<const std::uint32_t&>(h);
    low = reinterpret_cast<const std::uint32_t&>(l);
  }
}

/// Four neighbouring activations as a lane of an mma takes them.
struct alignas(16) SplitQuad {
  std::uint32_t high[2];
  std::uint32_t low[2];
};

/// Splits a quad.
template <bool kBf16>
__device__ inline SplitQuad split_quad(float4 x) {
  SplitQuad parts;
  split_pair<kBf16>(x.x, x.y, parts.high[0], parts.low[0]);
  split_pair<kBf16>(x.z, x.w, parts.high[1], parts.low[1]);
  return parts;
}

/// The first of the four columns of a chunk that a lane with `column` = lane % 4 uses in a step.
template <DType kType>
__device__ inline int quad_column(int column, int step) {
  if constexpr (kVectors<kType> == 1) return column * 16 + step * 4;
  return step / 2 * 32 + column * 8 + step % 2 * 4;
}

/// A power of two above a chunk's activations, and its inverse.
struct ChunkScale {
  float scale;
  float inverse;
};

/// From the exponent of the largest one; kept normal at both ends.
__device__ inline ChunkScale scale_above(float largest) {
  const std::uint32_t exponent = min(max(__float_as_uint(largest) >> 23U, 2U), 250U) + 1U;
  return {__uint_as_float(exponent << 23U), __uint_as_float((254U - exponent) << 23U)};
}

/// A token's activations of a chunk, as four neighbouring lanes hold them.
struct TokenChunk {
  SplitQuad quads[kChunkSteps];
  float scale;  // what products with them must be multiplied by
};

/// Splits sixteen activations of each lane; the four lanes of a token share the scale.
template <DType kType>
__device__ inline TokenChunk split_chunk(const float4 (&x)[kChunkSteps]) {
  TokenChunk chunk = {.scale = 1.0F};
  float inverse = 1.0F;
  if constexpr (!kIsBf16<kType>) {
    float largest = 0.0F;
#pragma unroll
    for (const float4& quad : x) {
      largest = fmaxf(
          largest, fmaxf(fmaxf(fabsf(quad.x), fabsf(quad.y)), fmaxf(fabsf(quad.z), fabsf(quad.w))));
    }
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 1));
    largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, 2));
    const ChunkScale power = scale_above(largest);
    chunk.scale = power.scale;
    inverse = power.inverse;
  }
#pragma unroll
  for (int step = 0; step < kChunkSteps; ++step) {
    const float4& quad = x[step];
    chunk.quads[step] = split_quad<kIsBf16<kType>>(
        {quad.x * inverse, quad.y * inverse, quad.z * inverse, quad.w * inverse});
  }
  return chunk;
}

/// The operand registers of four weights of a row: columns 0 1 and 2 3.
struct WeightPairs {
  std::uint32_t pair[2];
};

/// What step `step` takes from a lane's vectors of a row.
template <DType kType>
__device__ inline WeightPairs weight_pairs(const uint4 (&vectors)[kVectors<kType>], int step) {
  if constexpr (kVectors<kType> == 1) {
    const std::uint32_t words[4] = {vectors[0].x, vectors[0].y, vectors[0].z, vectors[0].w};
    const std::uint32_t word = words[step];
    const __half2_raw first =
        __nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(word), __NV_E4M3);
    const __half2_raw second =
        __nv_cvt_fp8x2_to_halfraw2(static_cast<__nv_fp8x2_storage_t>(word >> 16U), __NV_E4M3);
    return {{reinterpret_cast<const std::uint32_t&>(first),
             reinterpret_cast<const std::uint32_t&>(second)}};
  } else {
    const uint4& vector = vectors[step / 2];
    return step % 2 == 0 ? WeightPairs{{vector.x, vector.y}} : WeightPairs{{vector.z, vector.w}};
  }
}

/// sums += rows (upper: row lane / 4, lower: that + 8) times tokens.
template <bool kBf16>
__device__ inline void mma(float (&sums)[4], const WeightPairs& upper, const WeightPairs& lower,
                           const std::uint32_t (&tokens)[2]) {
  if constexpr (kBf16) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(upper.pair[0]), "r"(lower.pair[0]), "r"(upper.pair[1]), "r"(lower.pair[1]),
          "r"(tokens[0]), "r"(tokens[1]));
  } else {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(upper.pair[0]), "r"(lower.pair[0]), "r"(upper.pair[1]), "r"(lower.pair[1]),
          "r"(tokens[0]), "r"(tokens[1]));
  }
}

/// Sixteen bytes that are used once and that no kernel writes.
__device__ inline uint4 load_constant_stream(const void* address) {
  uint4 value;
  asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(address));
  return value;
}

/// Sixteen bytes that are used once; a kernel that still ran when this one started may have written
/// them.
__device__ inline uint4 load_stream(const void* address) {
  uint4 value;
  asm volatile("ld.global.L1::no_allocate.L2::128B.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
               : "l"(address)
               : "memory");
  return value;
}

/// A lane's part of a tile of rows in one chunk.
template <DType kType>
struct RowVectors {
  uint4 upper[kVectors<kType>];
  uint4 lower[kVectors<kType>];
};

/// The addresses from which a lane reads a tile of rows; rows beyond the matrix read the last one.
template <DType kType>
class RowReader {
 public:
  RowReader() = default;
  __device__ RowReader(const void* data, int first_row, int rows, int cols) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int upper = min(first_row + lane / 4, rows - 1);
    const int lower = min(first_row + lane / 4 + 8, rows - 1);
    constexpr int kSize = kType == DType::kF8E4M3 ? 1 : 2;
    upper_ = static_cast<const char*>(data) + std::int64_t{upper} * cols * kSize + lane % 4 * 16;
    to_lower_ = (lower - upper) * cols * kSize;
  }

  __device__ RowVectors<kType> read(int chunk) const {
    RowVectors<kType> result;
    const char* upper = upper_ + chunk * (64 * kVectors<kType>);
#pragma unroll
    for (int i = 0; i < kVectors<kType>; ++i) {
      result.upper[i] = load_constant_stream(upper + i * 64);
      result.lower[i] = load_constant_stream(upper + to_lower_ + i * 64);
    }
    return result;
  }

 private:
  const char* upper_;
  int to_lower_;  // bytes
};

}  // namespace m2::cuda
