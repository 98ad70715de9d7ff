#include "ops/qk_norm_rope.h"

#include "cpu/context.h"

namespace m2::cpu {
namespace {

void norm_rope(const TensorView& heads, const TensorView& weight, const QkNormRopeArgs& args,
               std::int64_t token, const Kernels& kernels) {
  const std::int64_t width = heads.shape[1];
  const std::int64_t half = args.cos.shape[1];
  float* row = heads.as<float>() + token * width;
  kernels.rms_norm(row, weight.as<float>(), width, args.eps, row);
  const float* cos = args.cos.as<float>() + token * half;
  const float* sin = args.sin.as<float>() + token * half;
  for (std::int64_t first = 0; first < width; first += args.head_dim) {
    kernels.rotate(cos, sin, half, row + first);
  }
}

}  // namespace

void qk_norm_rope(const QkNormRopeArgs& args, Context& context) {
  check(args);
  const std::int64_t width = args.q.shape[1] + args.k.shape[1];
  context.lanes.run_short(args.q.shape[0], width, [&](std::int64_t token, Buffer&) {
    norm_rope(args.q, args.q_weight, args, token, context.kernels);
    norm_rope(args.k, args.k_weight, args, token, context.kernels);
  });
}

}  // namespace m2::cpu
