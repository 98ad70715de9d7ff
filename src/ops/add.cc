#include "ops/add.h"

#include <cstdint>

#include "ops/contract.h"

namespace m2 {

void check(const AddArgs& args) {
  check_tensor("add", "input", args.input, DType::kF32, args.input.shape.rank());
  check_shape("add", "output", args.output, DType::kF32, args.input.shape, "input",
              args.input.shape);
}

namespace reference {

void add(const AddArgs& args) {
  check(args);
  const float* input = args.input.as<float>();
  float* output = args.output.as<float>();
  for (std::int64_t i = 0; i < args.input.num_elements(); ++i) output[i] += input[i];
}

}  // namespace reference
}  // namespace m2
