#include "ops/moe_experts.h"

#include <algorithm>
#include <utility>

#include "cpu/context.h"
#include "quant/strip_format.h"

namespace m2::cpu {
namespace {

// Counting sort of the (token, choice) pairs by expert, stable in the token.
void group_by_expert(const MoeExpertsArgs& args, ExpertGroups& groups) {
  const auto num_slots = static_cast<std::size_t>(args.topk_ids.num_elements());
  const auto top_k = static_cast<std::size_t>(args.topk_ids.shape[1]);
  const std::int32_t* ids = args.topk_ids.as<std::int32_t>();
  groups.counts.assign(args.experts.size(), 0);
  for (std::size_t i = 0; i < num_slots; ++i) ++groups.counts[static_cast<std::size_t>(ids[i])];
  groups.active.clear();
  groups.expert_offsets.clear();
  std::int32_t offset = 0;
  for (std::size_t expert = 0; expert < groups.counts.size(); ++expert) {
    std::int32_t& count = groups.counts[expert];
    if (count == 0) continue;
    groups.active.push_back(static_cast<std::int32_t>(expert));
    groups.expert_offsets.push_back(offset);
    offset += std::exchange(count, offset);  // from now on the next free slot of the expert
  }
  groups.expert_offsets.push_back(offset);
  groups.slot_tokens.resize(num_slots);
  groups.token_slots.resize(num_slots);
  for (std::size_t i = 0; i < num_slots; ++i) {
    const std::int32_t slot = groups.counts[static_cast<std::size_t>(ids[i])]++;
    groups.slot_tokens[static_cast<std::size_t>(slot)] = static_cast<std::int32_t>(i / top_k);
    groups.token_slots[i] = slot;
  }
}

void activate_and_multiply(const MoeExpertsArgs& args, const Kernels& kernels, const float* up,
                           std::int64_t size, float* gate) {
  if (args.activation == Activation::kSilu) return kernels.silu_mul(up, size, gate);
  for (std::int64_t i = 0; i < size; ++i) gate[i] = activate(args.activation, gate[i]) * up[i];
}

// What of the active experts' weights takes quantised activations.
struct Needs {
  bool quantized_input = false;
  bool packed_input = false;
  bool quantized_inner = false;
  bool packed_inner = false;
  bool plain_inner = false;
  TaskRows task_rows;
};

bool input_takes_tiles(const ExpertWeights& expert, std::int64_t num_tokens) {
  return takes_tiles(expert.gate, num_tokens) || takes_tiles(expert.up, num_tokens);
}

Needs needs_of(const MoeExpertsArgs& args, const ExpertGroups& groups) {
  Needs needs;
  for (std::size_t i = 0; i < groups.active.size(); ++i) {
    const ExpertWeights& expert = args.experts[static_cast<std::size_t>(groups.active[i])];
    const std::int64_t count = groups.expert_offsets[i + 1] - groups.expert_offsets[i];
    needs.quantized_input |= takes_codes(expert.gate) || takes_codes(expert.up);
    needs.packed_input |= input_takes_tiles(expert, count);
    needs.packed_inner |= takes_tiles(expert.down, count);
    (takes_codes(expert.down) ? needs.quantized_inner : needs.plain_inner) = true;
    for (const WeightView* weight : {&expert.gate, &expert.up, &expert.down}) {
      const TaskRows rows = task_rows(*weight);
      needs.task_rows.least = std::max(needs.task_rows.least, rows.least);
      needs.task_rows.most = std::max(needs.task_rows.most, rows.most);
    }
  }
  return needs;
}

// The state of one call. What lies between gate_up and down is kept in slot order, [T * K, I]: for
// experts whose down takes codes as such, which the tasks that have the values make at once.
class ExpertsCall {
 public:
  ExpertsCall(const MoeExpertsArgs& args, Context& context)
      : args_(args),
        context_(context),
        groups_(context.groups),
        needs_(needs_of(args, groups_)),
        hidden_size_(args.hidden_states.shape[1]),
        inner_size_(args.experts[static_cast<std::size_t>(groups_.active[0])].gate.rows) {
    const std::int64_t num_slots = args.topk_ids.num_elements();
    if (needs_.quantized_input) quantize_input(args.hidden_states, context);
    if (needs_.plain_inner) context.expert_inner.floats(num_slots * inner_size_);
    if (needs_.quantized_inner) context.quantized_inner.reserve(num_slots, inner_size_);
    if (needs_.packed_input) context.packed_input.reserve(num_slots, hidden_size_);
    if (needs_.packed_inner) context.packed_inner.reserve(num_slots, inner_size_);
  }

  // inner = act(gate x) * up x: one list of tasks over all experts and row ranges.
  void gate_up() {
    if (needs_.packed_input) {
      pack(input_takes_tiles, [&](std::int64_t first) {
        return PackArgs{.rows = context_.quantized_input.groups(),
                        .input_rows = groups_.slot_tokens.data() + first,
                        .cols = hidden_size_,
                        .output = context_.packed_input.pass(first)};
      });
    }
    TaskRows limits = needs_.task_rows;
    // Inner columns that share a scale are quantised by one task.
    if (needs_.quantized_inner) limits.least = std::max(limits.least, kScaleCols);
    const std::int64_t step = rows_per_task(
        inner_size_ * static_cast<std::int64_t>(groups_.active.size()), limits, context_.lanes);
    const std::int64_t row_tasks = (inner_size_ + step - 1) / step;
    const auto num_experts = static_cast<std::int64_t>(groups_.active.size());
    context_.lanes.run(num_experts * row_tasks, [&](std::int64_t task, Buffer& scratch) {
      const std::int64_t row = task % row_tasks * step;
      gate_up_rows(task / row_tasks, row, std::min(inner_size_, row + step), scratch);
    });
  }

  // output += sum over the choices of weight * down inner. A task owns a range of output columns
  // for all tokens, so the sum needs no second pass and no atomics.
  void down() {
    if (needs_.packed_inner) {
      const auto takes = [](const ExpertWeights& expert, std::int64_t num_tokens) {
        return takes_tiles(expert.down, num_tokens);
      };
      pack(takes, [&](std::int64_t first) {
        return PackArgs{.rows = quantized_inner(first),
                        .cols = inner_size_,
                        .output = context_.packed_inner.pass(first)};
      });
    }
    std::int64_t step = rows_per_task(hidden_size_, needs_.task_rows, context_.lanes);
    const std::int64_t num_slots = args_.topk_ids.num_elements();
    constexpr std::int64_t kMostFloats = std::int64_t{1} << 21;  // 8 MiB a thread
    while (step > needs_.task_rows.least && step * num_slots > kMostFloats) step /= 2;
    const std::int64_t num_tasks = (hidden_size_ + step - 1) / step;
    context_.lanes.run(num_tasks, [&](std::int64_t task, Buffer& scratch) {
      down_rows(task * step, std::min(hidden_size_, (task + 1) * step), scratch);
    });
  }

 private:
  // The slots of every expert that takes tiles, in passes.
  template <class Takes, class Args>
  void pack(const Takes& takes, const Args& args_from) {
    const auto num_experts = static_cast<std::int64_t>(groups_.active.size());
    context_.lanes.run(num_experts, [&](std::int64_t index, Buffer&) {
      const std::int64_t end = first_slot(index + 1);
      if (!takes(weights(index), end - first_slot(index))) return;
      for (std::int64_t first = first_slot(index); first < end; first += kPassTokens) {
        PackArgs args = args_from(first);
        args.num_tokens = std::min(kPassTokens, end - first);
        context_.kernels.pack_tokens(args);
      }
    });
  }

  void gate_up_rows(std::int64_t index, std::int64_t begin, std::int64_t end, Buffer& scratch) {
    const ExpertWeights& expert = weights(index);
    const std::int64_t first = first_slot(index);
    const std::int64_t count = first_slot(index + 1) - first;
    const std::int64_t width = end - begin;
    const std::int64_t room = matmul_scratch(hidden_size_);
    float* floats = scratch.floats(room + 2 * count * width);
    float* gate = floats + room;       // [count, width]
    float* up = gate + count * width;  // the same
    MatmulArgs matmul{
        .weight = expert.gate,
        .row_begin = begin,
        .row_end = end,
        .input = args_.hidden_states.as<float>(),
        .quantized_input = context_.quantized_input.groups(),
        .input_rows = groups_.slot_tokens.data() + first,
        .packed_input = context_.packed_input.pass(first),
        .num_tokens = count,
        .output = gate,
        .output_stride = width,
        .scratch = floats,
        .next_rows = next_rows(expert.gate, expert.up, begin),
    };
    context_.kernels.matmul(matmul);
    matmul.weight = expert.up;
    matmul.output = up;
    matmul.next_rows = nullptr;
    context_.kernels.matmul(matmul);
    activate_and_multiply(args_, context_.kernels, up, count * width, gate);
    for (std::int64_t i = 0; i < count; ++i) {
      store_inner(expert, first + i, begin, width, gate + i * width);
    }
  }

  void store_inner(const ExpertWeights& expert, std::int64_t slot, std::int64_t begin,
                   std::int64_t width, const float* values) {
    if (!takes_codes(expert.down)) {
      std::copy_n(values, width, inner(slot) + begin);
      return;
    }
    context_.kernels.quantize(values, width, quantized_groups(width),
                              quantized_inner(slot) + quantized_groups(begin));
  }

  void down_rows(std::int64_t begin, std::int64_t end, Buffer& scratch) {
    const std::int64_t width = end - begin;
    const std::int64_t room = matmul_scratch(inner_size_);
    float* floats = scratch.floats(room + (args_.topk_ids.num_elements() + 1) * width);
    float* results = floats + room;  // [T * K, width] in slot order, then one row for the sum
    const auto num_experts = static_cast<std::int64_t>(groups_.active.size());
    for (std::int64_t i = 0; i < num_experts; ++i) {
      const std::int64_t first = first_slot(i);
      const WeightView& weight = weights(i).down;
      const WeightView& next = weights(std::min(i + 1, num_experts - 1)).down;
      const bool quantized = takes_codes(weight);
      context_.kernels.matmul({
          .weight = weight,
          .row_begin = begin,
          .row_end = end,
          .input = quantized ? nullptr : inner(first),
          .quantized_input = quantized ? quantized_inner(first) : nullptr,
          .packed_input = quantized ? context_.packed_inner.pass(first) : nullptr,
          .num_tokens = first_slot(i + 1) - first,
          .output = results + first * width,
          .output_stride = width,
          .scratch = floats,
          .next_rows = next_rows(weight, next, begin),
      });
    }
    combine(begin, width, results, results + args_.topk_ids.num_elements() * width);
  }

  // In the router's order for every token, then one addition to the output.
  void combine(std::int64_t begin, std::int64_t width, const float* results, float* sum) {
    const std::int64_t top_k = args_.topk_ids.shape[1];
    const float* topk_weights = args_.topk_weights.as<float>();
    for (std::int64_t token = 0; token < args_.hidden_states.shape[0]; ++token) {
      std::fill_n(sum, width, 0.0F);
      for (std::int64_t j = token * top_k; j < (token + 1) * top_k; ++j) {
        const std::int64_t slot = groups_.token_slots[static_cast<std::size_t>(j)];
        context_.kernels.add_scaled(topk_weights[j], results + slot * width, width, sum);
      }
      context_.kernels.add_scaled(1.0F, sum, width,
                                  args_.output.as<float>() + token * hidden_size_ + begin);
    }
  }

  // Where the product with `next` begins to read, if its weights are like those before.
  [[nodiscard]] static const void* next_rows(const WeightView& weight, const WeightView& next,
                                             std::int64_t row) {
    if (!takes_codes(next) || next.block_format != weight.block_format) return nullptr;
    // Whole strips or rows of blocks.
    return static_cast<const std::uint8_t*>(next.data) +
           block_matrix_bytes(next.block_format, row, next.cols);
  }

  [[nodiscard]] const ExpertWeights& weights(std::int64_t index) const {
    const auto expert = groups_.active[static_cast<std::size_t>(index)];
    return args_.experts[static_cast<std::size_t>(expert)];
  }
  [[nodiscard]] std::int64_t first_slot(std::int64_t index) const {
    return groups_.expert_offsets[static_cast<std::size_t>(index)];
  }
  [[nodiscard]] float* inner(std::int64_t slot) {
    return context_.expert_inner.floats(0) + slot * inner_size_;
  }
  [[nodiscard]] QuantizedGroup* quantized_inner(std::int64_t slot) {
    return context_.quantized_inner.groups() + slot * quantized_groups(inner_size_);
  }

  const MoeExpertsArgs& args_;
  Context& context_;
  const ExpertGroups& groups_;
  Needs needs_;
  std::int64_t hidden_size_;
  std::int64_t inner_size_;
};

}  // namespace

void moe_experts(const MoeExpertsArgs& args, Context& context) {
  check(args);
  if (args.topk_ids.num_elements() == 0) return;
  group_by_expert(args, context.groups);
  ExpertsCall call(args, context);
  call.gate_up();
  call.down();
}

}  // namespace m2::cpu
