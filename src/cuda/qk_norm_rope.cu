#include "ops/qk_norm_rope.h"

#include "cuda/context.h"
#include "cuda/numeric.cuh"

namespace m2::cuda {
namespace {

constexpr int kThreads = 512;

struct Projection {
  float* values;        // [T, width], in place
  const float* weight;  // [width]
  std::int64_t width;   // heads * D
};

// One block a token and projection (y = 0: q, 1: k). A thread owns both elements of a rotated pair,
// so each is read, normed and written by the same thread.
__global__ void qk_norm_rope_kernel(Projection q, Projection k, float eps,
                                    const float* cos,  // [T, R / 2]
                                    const float* sin,  // [T, R / 2]
                                    std::int64_t half, std::int64_t head_dim) {
  __shared__ float scratch[32];
  const Projection& projection = blockIdx.y == 0 ? q : k;
  const std::int64_t token = blockIdx.x;
  float* values = projection.values + token * projection.width;
  float sum = 0.0F;
  for (std::int64_t i = threadIdx.x; i < projection.width; i += kThreads) {
    sum += values[i] * values[i];
  }
  const float mean = sum_of_block(sum, scratch) / static_cast<float>(projection.width);
  const float factor = 1.0F / sqrtf(mean + eps);
  __syncthreads();  // every thread has read what others overwrite now

  for (std::int64_t i = threadIdx.x; i < projection.width; i += kThreads) {
    const std::int64_t dim = i % head_dim;
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

}  // namespace

void qk_norm_rope(const QkNormRopeArgs& args, Context& context) {
  check(args);
  if (args.q.shape[0] == 0) return;
  const dim3 grid(static_cast<unsigned>(args.q.shape[0]), 2);
  qk_norm_rope_kernel<<<grid, kThreads, 0, context.stream.get()>>>(
      {args.q.as<float>(), args.q_weight.as<float>(), args.q.shape[1]},
      {args.k.as<float>(), args.k_weight.as<float>(), args.k.shape[1]}, args.eps,
      args.cos.as<float>(), args.sin.as<float>(), args.cos.shape[1], args.head_dim);
  check_launch("qk_norm_rope");
}

}  // namespace m2::cuda
