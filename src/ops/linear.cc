#include "ops/linear.h"

#include <cstdint>
#include <vector>

#include "base/error.h"
#include "ops/contract.h"

namespace m2 {

void check(const LinearArgs& args) {
  check_weight(args.weight, "linear");
  check_tensor("linear", "input", args.input, DType::kF32, 2);
  M2_CHECK(args.input.shape[1] == args.weight.cols, "linear: weight [", args.weight.rows, ", ",
           args.weight.cols, "] does not match input ", args.input.shape);
  check_shape("linear", "output", args.output, DType::kF32, {args.input.shape[0], args.weight.rows},
              "weight rows and input", args.input.shape);
  check_disjoint("linear", "output", args.output, "input", args.input);
}

namespace reference {

void linear(const LinearArgs& args) {
  check(args);
  const std::int64_t rows = args.weight.rows;
  const std::int64_t cols = args.weight.cols;
  std::vector<float> weight(static_cast<std::size_t>(cols));
  for (std::int64_t row = 0; row < rows; ++row) {
    decode_row(args.weight, row, weight.data());
    for (std::int64_t token = 0; token < args.input.shape[0]; ++token) {
      const float* input = args.input.as<float>() + token * cols;
      double sum = 0.0;
      for (std::int64_t col = 0; col < cols; ++col) {
        sum += double{input[col]} * double{weight[static_cast<std::size_t>(col)]};
      }
      float& output = args.output.as<float>()[token * rows + row];
      output = static_cast<float>(args.accumulate ? double{output} + sum : sum);
    }
  }
}

}  // namespace reference
}  // namespace m2
