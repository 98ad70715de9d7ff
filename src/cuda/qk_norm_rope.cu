#include "ops/qk_norm_rope.h"

#include <algorithm>
#include <bit>

#include "base/error.h"
#include "cuda/alignment.h"
#include "cuda/context.h"
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"

namespace m2::cuda {
namespace {

constexpr int kThreads = 512;

struct Projection {
  float* values;        // [T, width], in place
  const float* weight;  // [width]
  int width;            // heads * D
};

// One block a token and projection (y = 0: q, 1: k). A thread owns both elements of a rotated pair,
// so each is read, normed and written by the same thread.
__global__ void qk_norm_rope_kernel(Projection q, Projection k, float eps,
                                    const float* cos,  // [T, R / 2]
                                    const float* sin,  // [T, R / 2]
                                    int half, int head_dim) {
  __shared__ float scratch[32];
  begin_kernel();
  const Projection& projection = blockIdx.y == 0 ? q : k;
  const std::int64_t token = blockIdx.x;
  float* values = projection.values + token * projection.width;
  float sum = 0.0F;
#pragma unroll 12
  for (int i = threadIdx.x; i < projection.width; i += kThreads) {
    sum += values[i] * values[i];
  }
  const float mean = sum_of_block(sum, scratch) / static_cast<float>(projection.width);
  const float factor = 1.0F / sqrtf(mean + eps);
  __syncthreads();  // every thread has read what others overwrite now

#pragma unroll 4
  for (int i = threadIdx.x; i < projection.width; i += kThreads) {
    const int dim = i % head_dim;
    if (dim >= half && dim < 2 * half) continue;  // written with its partner
    const float low = projection.weight[i] * (values[i] * factor);
    if (dim >= half) {
      values[i] = low;
      continue;
    }
    const float high = projection.weight[i + half] * (values[i + half] * factor);
    const float c = cos[token * half + dim];
    const float s = sin[token * half + dim];
    values[i] = low * c - high * s;
    values[i + half] = high * c + low * s;
  }
}

constexpr int kHeadDim = 128;
constexpr int kFewTokens = 64;
constexpr int kFewThreads = 1024;  // of a block when there are few tokens: the shortest way
constexpr int kManyThreads = 256;  // and when there are many: the most bytes in flight
constexpr int kMaxQuads = 2048;    // up to 64 heads stay in registers

// Where a token's new keys and values go; nothing without a cache.
struct CacheWriter {
  const float* v;                    // [T, width]
  const std::int64_t* slot_mapping;  // [T]
  void* keys;                        // [P, Nkv, B, 128], absent where nothing is written
  void* values;
  int width;  // Nkv * 128
  int block_size;
  KvFormat format;

  // Four neighbouring numbers `at` .. of a token's keys or values.
  __device__ void write(void* cached, std::int64_t token, int at, float4 x) const {
    const std::int64_t slot = slot_mapping[token];
    const std::int64_t block = slot / block_size;
    const std::int64_t row =
        (block * (width / kHeadDim) + at / kHeadDim) * block_size + slot % block_size;
    const std::int64_t to = row * kHeadDim + at % kHeadDim;
    if (format == KvFormat::kF8E4M3) {
      const auto low = __nv_cvt_float2_to_fp8x2({x.x, x.y}, __NV_SATFINITE, __NV_E4M3);
      const auto high = __nv_cvt_float2_to_fp8x2({x.z, x.w}, __NV_SATFINITE, __NV_E4M3);
      *reinterpret_cast<std::uint32_t*>(static_cast<char*>(cached) + to) = low | std::uint32_t{high}
                                                                                     << 16U;
    } else if (format == KvFormat::kBF16) {
      const __nv_bfloat162 pairs[2] = {__floats2bfloat162_rn(x.x, x.y),
                                       __floats2bfloat162_rn(x.z, x.w)};
      *reinterpret_cast<uint2*>(static_cast<__nv_bfloat16*>(cached) + to) =
          reinterpret_cast<const uint2&>(pairs);
    } else {
      *reinterpret_cast<float4*>(static_cast<float*>(cached) + to) = x;
    }
  }
};

// As above for heads of 128 dimensions: a lane holds four neighbouring ones, and the partner of a
// rotated one is R / 8 lanes away, R / 8 a power of two. y = 2: writes the values to the cache, as
// y = 1 does the keys.
template <int kBlockThreads>
__global__ void __launch_bounds__(kBlockThreads, kBlockThreads == kFewThreads ? 1 : 3)
    qk_norm_rope_128_kernel(Projection q, Projection k, float eps, const float* cos,
                            const float* sin, int half, CacheWriter cache) {
  constexpr int kQuads = kMaxQuads / kBlockThreads;  // of a thread
  // Few tokens ask for the weights together with the numbers; many find them in the first cache.
  constexpr bool kHoldsWeights = kBlockThreads == kFewThreads;
  __shared__ float scratch[32];
  begin_kernel();
  const Projection projection = {blockIdx.y == 0 ? q.values : k.values,
                                 blockIdx.y == 0 ? q.weight : k.weight,
                                 blockIdx.y == 0 ? q.width : k.width};
  const std::int64_t token = blockIdx.x;
  if (blockIdx.y == 2) {
    for (int at = 4 * threadIdx.x; at < cache.width; at += 4 * kBlockThreads) {
      const float4 x = *reinterpret_cast<const float4*>(cache.v + token * cache.width + at);
      cache.write(cache.values, token, at, x);
    }
    return;
  }
  auto* values = reinterpret_cast<float4*>(projection.values + token * projection.width);
  const auto* weights = reinterpret_cast<const float4*>(projection.weight);
  const auto thread = static_cast<int>(threadIdx.x);
  const int lane = thread % 32;
  const int partner = half / 4;  // lanes
  const bool rotates = lane < 2 * partner;
  float4 c = {1.0F, 1.0F, 1.0F, 1.0F};
  float4 s = {};
  if (rotates) {
    const std::int64_t at = token * half + lane % partner * 4;
    c = *reinterpret_cast<const float4*>(cos + at);
    s = *reinterpret_cast<const float4*>(sin + at);
  }
  // The low half of a pair subtracts its partner's part, the high half adds it.
  if (lane < partner) s = {-s.x, -s.y, -s.z, -s.w};
  float4 x[kQuads];
  float4 w[kHoldsWeights ? kQuads : 1];
  float sum = 0.0F;
#pragma unroll
  for (int i = 0; i < kQuads; ++i) {
    const int at = i * kBlockThreads + thread;
    const bool used = 4 * at < projection.width;
    x[i] = used ? values[at] : float4{};
    if constexpr (kHoldsWeights) w[i] = used ? __ldg(weights + at) : float4{};
  }
#pragma unroll
  for (const float4& v : x) sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
  const float mean = sum_of_block(sum, scratch) / static_cast<float>(projection.width);
  const float factor = 1.0F / sqrtf(mean + eps);
#pragma unroll
  for (int i = 0; i < kQuads; ++i) {
    const int at = i * kBlockThreads + thread;
    if constexpr (!kHoldsWeights) w[0] = 4 * at < projection.width ? __ldg(weights + at) : float4{};
    const float4& weight = w[kHoldsWeights ? i : 0];
    const float4 own = {weight.x * (x[i].x * factor), weight.y * (x[i].y * factor),
                        weight.z * (x[i].z * factor), weight.w * (x[i].w * factor)};
    const int from = rotates ? lane ^ partner : lane;
    const float4 other = {__shfl_sync(kAllLanes, own.x, from), __shfl_sync(kAllLanes, own.y, from),
                          __shfl_sync(kAllLanes, own.z, from), __shfl_sync(kAllLanes, own.w, from)};
    if (4 * at >= projection.width) continue;
    const float4 rotated = {own.x * c.x + other.x * s.x, own.y * c.y + other.y * s.y,
                            own.z * c.z + other.z * s.z, own.w * c.w + other.w * s.w};
    values[at] = rotated;
    if (blockIdx.y == 1 && cache.keys != nullptr) cache.write(cache.keys, token, 4 * at, rotated);
  }
}

bool fits_heads_of_128(const QkNormRopeArgs& args) {
  const auto partner = static_cast<std::uint64_t>(args.cos.shape[1] / 4);
  bool aligned = true;
  for (const TensorView& tensor :
       {args.q, args.k, args.q_weight, args.k_weight, args.cos, args.sin}) {
    aligned = aligned && is_aligned(tensor.data);
  }
  return aligned && args.head_dim == kHeadDim && args.cos.shape[1] % 4 == 0 &&
         std::has_single_bit(partner) && partner <= 16 &&
         std::max(args.q.shape[1], args.k.shape[1]) <= 4 * kMaxQuads;
}

Projection projection_of(const TensorView& values, const TensorView& weight) {
  return {values.as<float>(), weight.as<float>(), static_cast<int>(values.shape[1])};
}

// Heads of 128; with a cache to write to, or none.
void launch_heads_of_128(const QkNormRopeArgs& args, const CacheWriter& cache, Context& context) {
  const dim3 grid(static_cast<unsigned>(args.q.shape[0]), cache.keys == nullptr ? 2 : 3);
  const bool few = args.q.shape[0] <= kFewTokens;
  const auto kernel =
      few ? qk_norm_rope_128_kernel<kFewThreads> : qk_norm_rope_128_kernel<kManyThreads>;
  launch_kernel(context, kernel, grid, few ? kFewThreads : kManyThreads, 0,
                projection_of(args.q, args.q_weight), projection_of(args.k, args.k_weight),
                args.eps, args.cos.as<float>(), args.sin.as<float>(),
                static_cast<int>(args.cos.shape[1]), cache);
}

}  // namespace

void qk_norm_rope(const QkNormRopeArgs& args, Context& context) {
  check(args);
  if (args.q.shape[0] == 0) return;
  if (fits_heads_of_128(args)) {
    launch_heads_of_128(args, {}, context);
  } else {
    const dim3 grid(static_cast<unsigned>(args.q.shape[0]), 2);
    launch_kernel(context, qk_norm_rope_kernel, grid, kThreads, 0,
                  projection_of(args.q, args.q_weight), projection_of(args.k, args.k_weight),
                  args.eps, args.cos.as<float>(), args.sin.as<float>(),
                  static_cast<int>(args.cos.shape[1]), static_cast<int>(args.head_dim));
  }
  check_launch("qk_norm_rope");
}

void qk_norm_rope_append(const QkNormRopeArgs& rotate, const KvAppendArgs& append,
                         Context& context) {
  check(rotate);
  check(append);
  M2_CHECK(append.k.data == rotate.k.data, "qk_norm_rope_append: k must be the same in both parts");
  if (rotate.q.shape[0] == 0) return;
  const KvCacheView& cache = append.cache;
  const bool fits = fits_heads_of_128(rotate) && is_aligned(append.v.data) &&
                    is_aligned(cache.keys.data) && is_aligned(cache.values.data);
  if (!fits) {
    qk_norm_rope(rotate, context);
    return kv_append(append, context);
  }
  launch_heads_of_128(rotate,
                      {.v = append.v.as<float>(),
                       .slot_mapping = append.slot_mapping.as<std::int64_t>(),
                       .keys = cache.keys.data,
                       .values = cache.values.data,
                       .width = static_cast<int>(rotate.k.shape[1]),
                       .block_size = static_cast<int>(cache.block_size()),
                       .format = cache.format},
                      context);
  check_launch("qk_norm_rope_append");
}

}  // namespace m2::cuda
