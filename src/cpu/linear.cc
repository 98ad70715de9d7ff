#include <algorithm>

#include "base/error.h"
#include "cpu/context.h"

namespace m2::cpu {

std::int64_t rows_per_task(std::int64_t rows, const Lanes& lanes) {
  constexpr std::int64_t kLeast = 8;
  constexpr std::int64_t kMost = 64;
  std::int64_t result = kLeast;
  while (result < kMost && rows / (2 * result) >= std::int64_t{8} * lanes.num_threads()) {
    result *= 2;
  }
  return result;
}

void linear(const LinearArgs& args, Context& context) {
  check(args);
  M2_REQUIRE(ErrorCode::kUnsupported, args.weight.block_format == BlockFormat::kNone,
             "cpu: weights in ", block_format_name(args.weight.block_format), " have no kernel");
  const std::int64_t num_tokens = args.input.shape[0];
  if (num_tokens == 0) return;
  const std::int64_t rows = args.weight.rows;
  const std::int64_t cols = args.weight.cols;
  const std::int64_t row_step = rows_per_task(rows, context.lanes);
  const std::int64_t row_tasks = (rows + row_step - 1) / row_step;
  // Few rows (the router): the tokens give the parallelism.
  const bool split_tokens = row_tasks < std::int64_t{4} * context.lanes.num_threads();
  const std::int64_t token_step = split_tokens ? kTileTokens : num_tokens;
  const std::int64_t token_tasks = (num_tokens + token_step - 1) / token_step;
  const float* input = args.input.as<float>();
  float* output = args.output.as<float>();
  context.lanes.run(row_tasks * token_tasks, [&](std::int64_t task, Buffer& scratch) {
    const std::int64_t row = task / token_tasks * row_step;
    const std::int64_t token = task % token_tasks * token_step;
    context.kernels.matmul({
        .weight = args.weight,
        .row_begin = row,
        .row_end = std::min(rows, row + row_step),
        .input = input + token * cols,
        .num_tokens = std::min(token_step, num_tokens - token),
        .output = output + token * rows + row,
        .output_stride = rows,
        .accumulate = args.accumulate,
        .scratch = scratch.floats(matmul_scratch(cols)),
    });
  });
}

}  // namespace m2::cpu
