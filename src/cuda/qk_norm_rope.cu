#include "ops/qk_norm_rope.h"

#include <algorithm>
#include <bit>

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
constexpr int kHeadThreads = 1024;
constexpr int kWarpHeads = 2;  // of a warp: up to 64 heads stay in registers

// As above for heads of 128 dimensions: a lane holds four neighbouring ones, and the partner of a
// rotated one is R / 8 lanes away, R / 8 a power of two.
__global__ void __launch_bounds__(kHeadThreads)
    qk_norm_rope_128_kernel(Projection q, Projection k, float eps, const float* cos,
                            const float* sin, int half) {
  __shared__ float scratch[32];
  begin_kernel();
  const Projection& projection = blockIdx.y == 0 ? q : k;
  const std::int64_t token = blockIdx.x;
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
  float4 x[kWarpHeads];
  float4 w[kWarpHeads];
  float sum = 0.0F;
#pragma unroll
  for (int i = 0; i < kWarpHeads; ++i) {
    const int at = i * kHeadThreads + thread;
    const bool used = 4 * at < projection.width;
    x[i] = used ? values[at] : float4{};
    w[i] = used ? __ldg(weights + at) : float4{};
  }
#pragma unroll
  for (const float4& v : x) sum += v.x * v.x + v.y * v.y + v.z * v.z + v.w * v.w;
  const float mean = sum_of_block(sum, scratch) / static_cast<float>(projection.width);
  const float factor = 1.0F / sqrtf(mean + eps);
#pragma unroll
  for (int i = 0; i < kWarpHeads; ++i) {
    const int at = i * kHeadThreads + thread;
    const float4 own = {w[i].x * (x[i].x * factor), w[i].y * (x[i].y * factor),
                        w[i].z * (x[i].z * factor), w[i].w * (x[i].w * factor)};
    const int from = rotates ? lane ^ partner : lane;
    const float4 other = {__shfl_sync(kAllLanes, own.x, from), __shfl_sync(kAllLanes, own.y, from),
                          __shfl_sync(kAllLanes, own.z, from), __shfl_sync(kAllLanes, own.w, from)};
    if (4 * at >= projection.width) continue;
    values[at] = {own.x * c.x + other.x * s.x, own.y * c.y + other.y * s.y,
                  own.z * c.z + other.z * s.z, own.w * c.w + other.w * s.w};
  }
}

bool is_aligned(const TensorView& tensor) {
  return reinterpret_cast<std::uintptr_t>(tensor.data) % sizeof(float4) == 0;
}

bool fits_heads_of_128(const QkNormRopeArgs& args) {
  const auto partner = static_cast<std::uint64_t>(args.cos.shape[1] / 4);
  bool aligned = true;
  for (const TensorView& tensor :
       {args.q, args.k, args.q_weight, args.k_weight, args.cos, args.sin}) {
    aligned = aligned && is_aligned(tensor);
  }
  return aligned && args.head_dim == kHeadDim && args.cos.shape[1] % 4 == 0 &&
         std::has_single_bit(partner) && partner <= 16 &&
         std::max(args.q.shape[1], args.k.shape[1]) <= std::int64_t{4} * kHeadThreads * kWarpHeads;
}

}  // namespace

void qk_norm_rope(const QkNormRopeArgs& args, Context& context) {
  check(args);
  if (args.q.shape[0] == 0) return;
  const dim3 grid(static_cast<unsigned>(args.q.shape[0]), 2);
  const Projection q = {args.q.as<float>(), args.q_weight.as<float>(),
                        static_cast<int>(args.q.shape[1])};
  const Projection k = {args.k.as<float>(), args.k_weight.as<float>(),
                        static_cast<int>(args.k.shape[1])};
  const auto half = static_cast<int>(args.cos.shape[1]);
  if (fits_heads_of_128(args)) {
    launch_kernel(context, qk_norm_rope_128_kernel, grid, kHeadThreads, 0, q, k, args.eps,
                  args.cos.as<float>(), args.sin.as<float>(), half);
  } else {
    launch_kernel(context, qk_norm_rope_kernel, grid, kThreads, 0, q, k, args.eps,
                  args.cos.as<float>(), args.sin.as<float>(), half,
                  static_cast<int>(args.head_dim));
  }
  check_launch("qk_norm_rope");
}

}  // namespace m2::cuda
