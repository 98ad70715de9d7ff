#include "ops/qk_norm_rope.h"

#include "base/error.h"
#include "ops/contract.h"
#include "ops/rms_norm.h"

namespace m2 {

void check(const QkNormRopeArgs& args) {
  check_tensor("qk_norm_rope", "q", args.q, DType::kF32, 2);
  check_tensor("qk_norm_rope", "k", args.k, DType::kF32, 2);
  const Shape& q = args.q.shape;
  const Shape& k = args.k.shape;
  M2_CHECK(q[0] == k[0], "qk_norm_rope: k ", k, " does not match q ", q);
  M2_CHECK(args.head_dim > 0 && q[1] % args.head_dim == 0 && k[1] % args.head_dim == 0,
           "qk_norm_rope: head_dim ", args.head_dim, " does not divide q ", q, " and k ", k);
  check_shape("qk_norm_rope", "q_weight", args.q_weight, DType::kF32, {q[1]}, "q", q);
  check_shape("qk_norm_rope", "k_weight", args.k_weight, DType::kF32, {k[1]}, "k", k);
  check_tensor("qk_norm_rope", "cos", args.cos, DType::kF32, 2);
  const Shape& cos = args.cos.shape;
  M2_CHECK(cos[0] == q[0] && 2 * cos[1] <= args.head_dim, "qk_norm_rope: cos ", cos,
           " does not match q ", q, " with head_dim ", args.head_dim);
  check_shape("qk_norm_rope", "sin", args.sin, DType::kF32, cos, "cos", cos);
  M2_CHECK(args.eps >= 0.0F, "qk_norm_rope: eps must not be negative, got ", args.eps);
}

namespace reference {
namespace {

void rotate(const TensorView& heads, const QkNormRopeArgs& args) {
  const std::int64_t half = args.cos.shape[1];
  const std::int64_t width = heads.shape[1];
  for (std::int64_t token = 0; token < heads.shape[0]; ++token) {
    const float* cos = args.cos.as<float>() + token * half;
    const float* sin = args.sin.as<float>() + token * half;
    for (std::int64_t first = 0; first < width; first += args.head_dim) {
      float* head = heads.as<float>() + token * width + first;
      for (std::int64_t j = 0; j < half; ++j) {
        const float low = head[j];
        const float high = head[j + half];
        head[j] = low * cos[j] - high * sin[j];
        head[j + half] = high * cos[j] + low * sin[j];
      }
    }
  }
}

}  // namespace

void qk_norm_rope(const QkNormRopeArgs& args) {
  check(args);
  rms_norm({.input = args.q, .weight = args.q_weight, .eps = args.eps, .output = args.q});
  rms_norm({.input = args.k, .weight = args.k_weight, .eps = args.eps, .output = args.k});
  rotate(args.q, args);
  rotate(args.k, args);
}

}  // namespace reference
}  // namespace m2
