#include "ops/add.h"

#include <algorithm>

#include "cpu/context.h"

namespace m2::cpu {

void add(const AddArgs& args, Context& context) {
  check(args);
  constexpr std::int64_t kStep = 16384;  // 128 KiB read: longer than waking a thread
  const std::int64_t size = args.input.num_elements();
  const float* input = args.input.as<float>();
  float* output = args.output.as<float>();
  context.lanes.run((size + kStep - 1) / kStep, [&](std::int64_t task, Buffer&) {
    const std::int64_t begin = task * kStep;
    const std::int64_t count = std::min(kStep, size - begin);
    context.kernels.add_scaled(1.0F, input + begin, count, output + begin);
  });
}

}  // namespace m2::cpu
