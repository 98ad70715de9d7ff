#include "ops/rms_norm.h"

#include "cuda/alignment.h"
#include "cuda/context.h"
#include "cuda/launch.cuh"
#include "cuda/numeric.cuh"

namespace m2::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kVectors = 4;  // of a thread: rows up to 4,096 stay in registers

// One block a token.
__global__ void __launch_bounds__(kThreads)
    rms_norm_kernel(const float4* input,   // [T, H]
                    const float4* weight,  // [H]
                    float eps, int vectors,
                    float4* output) {  // [T, H], may be the input
  __shared__ float scratch[32];
  begin_kernel();
  const float4* from = input + std::int64_t{blockIdx.x} * vectors;
  float4* to = output + std::int64_t{blockIdx.x} * vectors;
  float4 row[kVectors];
  float4 factors[kVectors];
  float sum = 0.0F;
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    const int at = i * kThreads + static_cast<int>(threadIdx.x);
    row[i] = at < vectors ? from[at] : float4{};
    factors[i] = at < vectors ? __ldg(weight + at) : float4{};
  }
#pragma unroll
  for (const float4& x : row) sum += x.x * x.x + x.y * x.y + x.z * x.z + x.w * x.w;
  const float mean = sum_of_block(sum, scratch) / static_cast<float>(4 * vectors);
  const float factor = 1.0F / sqrtf(mean + eps);
#pragma unroll
  for (int i = 0; i < kVectors; ++i) {
    const int at = i * kThreads + static_cast<int>(threadIdx.x);
    const float4& x = row[i];
    const float4& w = factors[i];
    if (at >= vectors) continue;
    to[at] = {w.x * (x.x * factor), w.y * (x.y * factor), w.z * (x.z * factor),
              w.w * (x.w * factor)};
  }
}

// Any width and alignment; reads the row twice.
__global__ void __launch_bounds__(kThreads)
    plain_rms_norm_kernel(const float* input, const float* weight, float eps,
                          std::int64_t hidden_size, float* output) {
  __shared__ float scratch[32];
  begin_kernel();
  const float* from = input + blockIdx.x * hidden_size;
  float* to = output + blockIdx.x * hidden_size;
  float sum = 0.0F;
  for (std::int64_t i = threadIdx.x; i < hidden_size; i += kThreads) sum += from[i] * from[i];
  const float mean = sum_of_block(sum, scratch) / static_cast<float>(hidden_size);
  const float factor = 1.0F / sqrtf(mean + eps);
  for (std::int64_t i = threadIdx.x; i < hidden_size; i += kThreads) {
    to[i] = weight[i] * (from[i] * factor);
  }
}

}  // namespace

void rms_norm(const RmsNormArgs& args, Context& context) {
  check(args);
  if (args.input.num_elements() == 0) return;
  const auto num_tokens = static_cast<unsigned>(args.input.shape[0]);
  const std::int64_t hidden_size = args.input.shape[1];
  const bool vectors = hidden_size % 4 == 0 && hidden_size <= 4 * kVectors * kThreads &&
                       is_aligned(args.input.data) && is_aligned(args.weight.data) &&
                       is_aligned(args.output.data);
  if (vectors) {
    launch_kernel(context, rms_norm_kernel, num_tokens, kThreads, 0,
                  static_cast<const float4*>(args.input.data),
                  static_cast<const float4*>(args.weight.data), args.eps,
                  static_cast<int>(hidden_size / 4), static_cast<float4*>(args.output.data));
  } else {
    launch_kernel(context, plain_rms_norm_kernel, num_tokens, kThreads, 0, args.input.as<float>(),
                  args.weight.as<float>(), args.eps, hidden_size, args.output.as<float>());
  }
  check_launch("rms_norm");
}

}  // namespace m2::cuda
