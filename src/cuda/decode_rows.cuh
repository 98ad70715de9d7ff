// Rows of heads in attention of a decode step (decode_attention.cuh): queries, new keys and values,
// and the sums of a row's parts.
#pragma once

#include "cuda/bulk_copy.cuh"
#include "cuda/cluster.cuh"
#include "cuda/key_products.cuh"
#include "ops/kv_cache_view.h"

namespace m2::cuda {

constexpr int kDecodeDim = 128;  // of a head
constexpr int kDecodeRows = 8;   // query heads of a KV head, at most
constexpr int kDecodeWarps = 12;
constexpr int kDecodeThreads = 32 * kDecodeWarps;
// Of the keys. One sequence of 1,030, H200: 3.8 us with six parts, 4.6 with eight.
constexpr int kMostDecodeParts = 6;
// Makes the new key; the other warps share the sum of the queries' squares.
constexpr int kKeyWarp = kDecodeWarps - 1;
static_assert(kKeyWarp >= kDecodeRows);

struct DecodeAttention {
  AttentionView view;  // q: [T, Nq * D], as the product gives it
  const float* k;      // [T, Nkv * D], likewise
  const float* v;
  const float* q_weight;
  const float* k_weight;
  const float* cos;  // [T, half]
  const float* sin;
  int half;
  float eps;
  const std::int64_t* slot_mapping;  // [T]
  int parts;
};

__device__ inline float4 load_quad_of(const float* values, std::int64_t quad) {
  return __ldcg(reinterpret_cast<const float4*>(values) + quad);
}
__device__ inline float squares_of(float4 x) {
  return x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w;
}
__device__ inline float4 weighted(float4 x, float4 weight) {
  return {weight.x * x.x, weight.y * x.y, weight.z * x.z, weight.w * x.w};
}
__device__ inline float norm_factor(float squares, int width, float eps) {
  return rsqrtf(__fdividef(squares, static_cast<float>(width)) + eps);
}

// A lane's four neighbouring dimensions of a head's norm weights [heads, D].
__device__ inline float4 weights_of(const float* weights, int head) {
  return __ldg(reinterpret_cast<const float4*>(weights + head * kDecodeDim) + threadIdx.x % 32);
}

// What rotates the heads of a token: a lane has four neighbouring dimensions, the partner of a
// rotated one is half / 4 lanes away.
class HeadRotation {
 public:
  __device__ HeadRotation(const DecodeAttention& args, int token)
      : partner_(args.half / 4), rotates_(lane() < 2 * partner_) {
    const std::int64_t at = std::int64_t{token} * args.half + lane() % partner_ * 4;
    cos_ = __ldg(reinterpret_cast<const float4*>(args.cos + at));
    sin_ = __ldg(reinterpret_cast<const float4*>(args.sin + at));
    // The low half of a pair subtracts its partner's part, the high half adds it.
    if (lane() < partner_) sin_ = {-sin_.x, -sin_.y, -sin_.z, -sin_.w};
  }

  [[nodiscard]] __device__ float4 rotated(float4 own) const {
    const int from = rotates_ ? lane() ^ partner_ : lane();
    const float4 other = {__shfl_sync(kAllLanes, own.x, from), __shfl_sync(kAllLanes, own.y, from),
                          __shfl_sync(kAllLanes, own.z, from), __shfl_sync(kAllLanes, own.w, from)};
    if (!rotates_) return own;
    return {own.x * cos_.x + other.x * sin_.x, own.y * cos_.y + other.y * sin_.y,
            own.z * cos_.z + other.z * sin_.z, own.w * cos_.w + other.w * sin_.w};
  }

 private:
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }

  int partner_;
  bool rotates_;
  float4 cos_;
  float4 sin_;
};

// A lane's four numbers of a new key or value [D], as the cache has them.
template <DType kType>
__device__ void write_cached(uint4* row, float4 x) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (kType == DType::kF8E4M3) {
    const auto low = __nv_cvt_float2_to_fp8x2({x.x, x.y}, __NV_SATFINITE, __NV_E4M3);
    const auto high = __nv_cvt_float2_to_fp8x2({x.z, x.w}, __NV_SATFINITE, __NV_E4M3);
    reinterpret_cast<std::uint32_t*>(row)[lane] = low | std::uint32_t{high} << 16U;
  } else {
    const __nv_bfloat162 pairs[2] = {__floats2bfloat162_rn(x.x, x.y),
                                     __floats2bfloat162_rn(x.z, x.w)};
    reinterpret_cast<uint2*>(row)[lane] = reinterpret_cast<const uint2&>(pairs);
  }
}

// Unnormalised sums of a warp over some keys.
template <DType kType>
struct WarpRows {
  float2 scales[kDecodeRows];  // the largest score, in units of log2, and the sum
  float4 quads[kDecodeRows][kDecodeDim / 4];

  // Neither lanes that store nor lanes that load together meet in a bank.
  __device__ float4& quad(int row, int index) {
    const int pair = row / 2;
    return quads[row][index ^ (kType == DType::kF8E4M3 ? pair : pair % 2 + pair / 2 * 4)];
  }

  __device__ void store(const Accumulator<1, kDecodeDim>& acc) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int row = lane % 4 * 2 + r;
#pragma unroll
      for (int i = 0; i < kDecodeDim / 16; i += 2) {
        const auto& first = acc.output[0][i];
        const auto& second = acc.output[0][i + 1];
        quad(row, output_dim<kType, kDecodeDim>(i) / 4) = {first[r], first[2 + r], second[r],
                                                           second[2 + r]};
      }
      float sum = acc.sum[0][r];
      for (int step = 4; step < 32; step *= 2) sum += __shfl_xor_sync(kAllLanes, sum, step);
      if (lane / 4 == 0) scales[row] = {acc.largest[0][r], sum};
    }
  }
};

// A part of one row, on its way to the block that finishes the row.
struct alignas(16) RowPart {
  float4 quads[kDecodeDim / 4];
  float2 scale;
};
constexpr int kRowPartBytes = kDecodeDim * 4 + 8;

// By one warp: the sum of `count` parts of a row. Lane i knows the scale of part i % kLanes;
// quad_of(i) is the lane's quad of it.
template <int kMost>
struct MergedRow {
  static constexpr int kLanes = kMost > 8 ? 16 : 8;
  static_assert(kMost <= kLanes);

  float4 quad = {};
  float2 scale;  // the same in all lanes

  template <typename QuadOf>
  __device__ MergedRow(float2 own, int count, const QuadOf& quad_of) {
    const bool used = static_cast<int>(threadIdx.x) % kLanes < count;
    float largest = used ? own.x : -INFINITY;
    for (int step = kLanes / 2; step > 0; step /= 2) {
      largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, step));
    }
    const float own_weight = used ? weight_of(own.x, largest) : 0.0F;
    float sum = used ? own.y * own_weight : 0.0F;
#pragma unroll
    for (int part = 0; part < kMost; ++part) {
      const float4 x = quad_of(min(part, count - 1));
      const float weight = __shfl_sync(kAllLanes, own_weight, part);
      quad = {quad.x + x.x * weight, quad.y + x.y * weight, quad.z + x.z * weight,
              quad.w + x.w * weight};
    }
    for (int step = kLanes / 2; step > 0; step /= 2) {
      sum += __shfl_xor_sync(kAllLanes, sum, step);
    }
    scale = {largest, sum};
  }

  // To block `rank` of the cluster.
  __device__ void send(RowPart& to, std::uint64_t& barrier, int rank) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const auto place = [&](const void* own) {
      return address_in_cluster(shared_address(own), rank);
    };
    store_in_cluster(place(&to.quads[lane]), quad, place(&barrier));
    if (lane == 0) store_in_cluster(place(&to.scale), scale, place(&barrier));
  }
  // A row that saw no key is zeros.
  __device__ void write(float* to) const {
    const float inverse = scale.y == 0.0F ? 0.0F : __fdividef(1.0F, scale.y);
    reinterpret_cast<float4*>(to)[threadIdx.x % 32] = {quad.x * inverse, quad.y * inverse,
                                                       quad.z * inverse, quad.w * inverse};
  }
};

}  // namespace m2::cuda
