#include "ops/rms_norm.h"

#include <cmath>
#include <cstdint>

#include "base/error.h"
#include "ops/contract.h"

namespace m2 {

void check(const RmsNormArgs& args) {
  check_tensor("rms_norm", "input", args.input, DType::kF32, 2);
  const Shape& input = args.input.shape;
  check_shape("rms_norm", "weight", args.weight, DType::kF32, {input[1]}, "input", input);
  check_shape("rms_norm", "output", args.output, DType::kF32, input, "input", input);
  M2_CHECK(args.eps >= 0.0F, "rms_norm: eps must not be negative, got ", args.eps);
}

namespace reference {

void rms_norm(const RmsNormArgs& args) {
  check(args);
  const std::int64_t hidden_size = args.input.shape[1];
  const float* weight = args.weight.as<float>();
  for (std::int64_t token = 0; token < args.input.shape[0]; ++token) {
    const float* input = args.input.as<float>() + token * hidden_size;
    float* output = args.output.as<float>() + token * hidden_size;
    double sum = 0.0;
    for (std::int64_t i = 0; i < hidden_size; ++i) sum += double{input[i]} * double{input[i]};
    const auto mean = static_cast<float>(sum / static_cast<double>(hidden_size));
    const float factor = 1.0F / std::sqrt(mean + args.eps);
    for (std::int64_t i = 0; i < hidden_size; ++i) output[i] = weight[i] * (input[i] * factor);
  }
}

}  // namespace reference
}  // namespace m2
