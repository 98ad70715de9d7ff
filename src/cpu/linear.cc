#include <algorithm>

#include "cpu/context.h"
#include "quant/strip_format.h"

namespace m2::cpu {

bool takes_codes(const WeightView& weight) { return weight.block_format != BlockFormat::kNone; }

bool takes_tiles(const WeightView& weight, std::int64_t num_tokens) {
  return is_strip_format(weight.block_format) && num_tokens > kMostRowTokens;
}

TaskRows task_rows(const WeightView& weight) {
  if (!takes_codes(weight)) return {.least = 8, .most = 64};
  // Kernels take two strips at a time, or read many from front to back.
  return {.least = 2 * kStripRows, .most = 256};
}

void quantize_input(const TensorView& input, Context& context) {
  const std::int64_t num_tokens = input.shape[0];
  const std::int64_t cols = input.shape[1];
  const std::int64_t num_groups = quantized_groups(cols);
  QuantizedGroup* groups = context.quantized_input.reserve(num_tokens, cols);
  const auto quantize = [&](std::int64_t token) {
    context.kernels.quantize(input.as<float>() + token * cols, cols, num_groups,
                             groups + token * num_groups);
  };
  // A microsecond or two: less than threads need to begin and end together.
  constexpr std::int64_t kAlone = 16384;
  if (num_tokens * cols <= kAlone) {
    for (std::int64_t token = 0; token < num_tokens; ++token) quantize(token);
  } else {
    context.lanes.run(num_tokens, [&](std::int64_t token, Buffer&) { quantize(token); });
  }
}

std::int64_t rows_per_task(std::int64_t rows, TaskRows limits, const Lanes& lanes) {
  std::int64_t result = limits.least;
  while (result < limits.most && rows / (2 * result) >= std::int64_t{8} * lanes.num_threads()) {
    result *= 2;
  }
  return result;
}

namespace {

// Tokens from context.quantized_input into context.packed_input.
void pack_input(std::int64_t num_tokens, std::int64_t cols, Context& context) {
  context.packed_input.reserve(num_tokens, cols);
  const std::int64_t num_passes = (num_tokens + kPassTokens - 1) / kPassTokens;
  context.lanes.run(num_passes, [&](std::int64_t pass, Buffer&) {
    const std::int64_t first = pass * kPassTokens;
    context.kernels.pack_tokens(
        {.rows = context.quantized_input.groups() + first * quantized_groups(cols),
         .num_tokens = std::min(kPassTokens, num_tokens - first),
         .cols = cols,
         .output = context.packed_input.pass(first)});
  });
}

void multiply(const LinearArgs& args, Context& context) {
  const std::int64_t num_tokens = args.input.shape[0];
  const std::int64_t rows = args.weight.rows;
  const std::int64_t cols = args.weight.cols;
  const bool quantized = takes_codes(args.weight);
  const bool packed = takes_tiles(args.weight, num_tokens);
  const std::int64_t row_step = rows_per_task(rows, task_rows(args.weight), context.lanes);
  const std::int64_t row_tasks = (rows + row_step - 1) / row_step;
  // Few rows (the router): the tokens give the parallelism.
  const bool split_tokens = row_tasks < std::int64_t{4} * context.lanes.num_threads();
  const std::int64_t token_step = !split_tokens ? num_tokens : packed ? kPassTokens : kTileTokens;
  const std::int64_t token_tasks = (num_tokens + token_step - 1) / token_step;
  const float* input = args.input.as<float>();
  const QuantizedGroup* groups = context.quantized_input.groups();
  float* output = args.output.as<float>();
  context.lanes.run(row_tasks * token_tasks, [&](std::int64_t task, Buffer& scratch) {
    const std::int64_t row = task / token_tasks * row_step;
    const std::int64_t token = task % token_tasks * token_step;
    context.kernels.matmul({
        .weight = args.weight,
        .row_begin = row,
        .row_end = std::min(rows, row + row_step),
        .input = input + token * cols,
        .quantized_input = quantized ? groups + token * quantized_groups(cols) : nullptr,
        .packed_input = packed ? context.packed_input.pass(token) : nullptr,
        .num_tokens = std::min(token_step, num_tokens - token),
        .output = output + token * rows + row,
        .output_stride = rows,
        .accumulate = args.accumulate,
        .scratch = scratch.floats(matmul_scratch(cols)),
    });
  });
}

}  // namespace

void linears(std::span<const LinearArgs> products, Context& context) {
  const void* quantized = nullptr;  // the input whose codes are there
  const void* packed = nullptr;     // and whose tiles
  for (const LinearArgs& args : products) {
    check(args);
    const std::int64_t num_tokens = args.input.shape[0];
    if (num_tokens == 0) continue;
    if (takes_codes(args.weight) && quantized != args.input.data) {
      quantize_input(args.input, context);
      quantized = args.input.data;
    }
    if (takes_tiles(args.weight, num_tokens) && packed != args.input.data) {
      pack_input(num_tokens, args.weight.cols, context);
      packed = args.input.data;
    }
    multiply(args, context);
  }
}

}  // namespace m2::cpu
