#include <algorithm>

#include "cpu/context.h"
#include "quant/strip_format.h"

namespace m2::cpu {

bool takes_codes(const WeightView& weight) { return weight.block_format != BlockFormat::kNone; }

bool takes_tiles(const WeightView& weight, std::int64_t num_tokens) {
  if (!takes_codes(weight)) return false;
  return num_tokens > (is_strip_format(weight.block_format) ? kMostRowTokens : 1);
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
  context.lanes.run_short(num_tokens, cols, [&](std::int64_t token, Buffer&) {
    context.kernels.quantize(input.as<float>() + token * cols, cols, num_groups,
                             groups + token * num_groups);
  });
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

// How the tasks of a product divide its rows and tokens, where all products of a call have
// `all_rows`.
struct Division {
  Division(const LinearArgs& args, std::int64_t all_rows, const Lanes& lanes)
      : row_step(rows_per_task(all_rows, task_rows(args.weight), lanes)),
        row_tasks((args.weight.rows + row_step - 1) / row_step) {
    const std::int64_t num_tokens = args.input.shape[0];
    // Few rows (the router): the tokens give the parallelism.
    const bool split_tokens = all_rows < std::int64_t{4} * lanes.num_threads() * row_step;
    const bool packed = takes_tiles(args.weight, num_tokens);
    token_step = !split_tokens ? num_tokens : packed ? kPassTokens : kTileTokens;
    token_tasks = (num_tokens + token_step - 1) / token_step;
  }

  [[nodiscard]] std::int64_t num_tasks() const { return row_tasks * token_tasks; }

  std::int64_t row_step;
  std::int64_t row_tasks;
  std::int64_t token_step;
  std::int64_t token_tasks;
};

void multiply_part(const LinearArgs& args, const Division& division, std::int64_t task,
                   Context& context, Buffer& scratch) {
  const std::int64_t num_tokens = args.input.shape[0];
  const std::int64_t rows = args.weight.rows;
  const std::int64_t cols = args.weight.cols;
  const std::int64_t row = task / division.token_tasks * division.row_step;
  const std::int64_t token = task % division.token_tasks * division.token_step;
  const bool quantized = takes_codes(args.weight);
  const bool packed = takes_tiles(args.weight, num_tokens);
  context.kernels.matmul({
      .weight = args.weight,
      .row_begin = row,
      .row_end = std::min(rows, row + division.row_step),
      .input = args.input.as<float>() + token * cols,
      .quantized_input =
          quantized ? context.quantized_input.groups() + token * quantized_groups(cols) : nullptr,
      .packed_input = packed ? context.packed_input.pass(token) : nullptr,
      .num_tokens = std::min(division.token_step, num_tokens - token),
      .output = args.output.as<float>() + token * rows + row,
      .output_stride = rows,
      .accumulate = args.accumulate,
      .scratch = scratch.floats(matmul_scratch(cols)),
  });
}

}  // namespace

void linears(std::span<const LinearArgs> products, Context& context) {
  bool any_codes = false;
  bool any_tiles = false;
  std::int64_t all_rows = 0;
  const TensorView& input = products.front().input;
  for (const LinearArgs& args : products) {
    check(args);
    any_codes = any_codes || takes_codes(args.weight);
    any_tiles = any_tiles || takes_tiles(args.weight, input.shape[0]);
    all_rows += args.weight.rows;
  }
  if (input.shape[0] == 0) return;
  if (any_codes) quantize_input(input, context);
  if (any_tiles) pack_input(input.shape[0], input.shape[1], context);
  const auto division_of = [&](const LinearArgs& args) {
    return Division(args, all_rows, context.lanes);
  };
  std::int64_t num_tasks = 0;
  for (const LinearArgs& args : products) num_tasks += division_of(args).num_tasks();
  context.lanes.run(num_tasks, [&](std::int64_t task, Buffer& scratch) {
    for (const LinearArgs& args : products) {
      const Division division = division_of(args);
      if (task < division.num_tasks()) {
        return multiply_part(args, division, task, context, scratch);
      }
      task -= division.num_tasks();
    }
  });
}

}  // namespace m2::cpu
