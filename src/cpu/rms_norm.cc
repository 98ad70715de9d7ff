#include "ops/rms_norm.h"

#include "cpu/context.h"

namespace m2::cpu {

void rms_norm(const RmsNormArgs& args, Context& context) {
  check(args);
  const std::int64_t hidden_size = args.input.shape[1];
  const float* input = args.input.as<float>();
  const float* weight = args.weight.as<float>();
  float* output = args.output.as<float>();
  context.lanes.run_short(args.input.shape[0], hidden_size, [&](std::int64_t token, Buffer&) {
    context.kernels.rms_norm(input + token * hidden_size, weight, hidden_size, args.eps,
                             output + token * hidden_size);
  });
}

}  // namespace m2::cpu
