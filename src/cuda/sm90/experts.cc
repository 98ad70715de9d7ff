// The experts of many tokens: tokens sorted by expert, gate and up, down, weighted sum.
#include <algorithm>
#include <array>
#include <span>

#include "cuda/expert_passes.h"
#include "cuda/sm90/gemm_call.h"

namespace m2::cuda::sm90 {
namespace {

// More tokens are done in several passes, which bounds the memory between the products; an expert
// has hundreds of them by then.
constexpr std::int64_t kPassTokens = 8192;

bool uniform(std::span<const ExpertWeights> experts) {
  const ExpertWeights& first = experts.front();
  return std::ranges::all_of(experts, [&](const ExpertWeights& expert) {
    return std::ranges::all_of(std::array{expert.gate, expert.up, expert.down},
                               [&](const WeightView& weight) {
                                 return fits_gemm(weight) && weight.dtype == first.gate.dtype &&
                                        weight.block_format == first.gate.block_format;
                               });
  });
}

class ExpertsCall {
 public:
  ExpertsCall(const MoeExpertsArgs& args, const OperandRows* tokens, Context& context)
      : args_(args),
        tokens_(tokens),
        context_(context),
        format_(format_of(args.experts.front().gate)),
        groups_(group_tokens(args, format_, context)),
        hidden_size_(args.hidden_states.shape[1]),
        inner_size_(args.experts.front().gate.rows) {}

  void run() {
    const auto tables = context_.prefill.tables.find(args_.experts, context_.stream);
    const std::int64_t rows = groups_.max_rows;
    const auto result_bytes =
        static_cast<std::size_t>(rows * std::max(hidden_size_, inner_size_)) * 2;
    void* results = context_.prefill.results.get<char>(result_bytes);
    // One buffer for both operands: grown to the larger one at once, so that it stays where it is.
    OperandRows operand =
        operand_rows(rows, std::max(hidden_size_, inner_size_), format_, context_);
    if (tokens_ != nullptr) {
      copy_rows(*tokens_, args_, groups_, operand, context_);
    } else {
      convert_tokens(args_.hidden_states, &groups_, static_cast<int>(args_.topk_ids.shape[1]),
                     format_, operand, context_);
    }
    multiply(tables.gate_up, operand, hidden_size_, inner_size_, results, Output::kInner);
    void* down = results;
    OperandRows inner = operand;
    if (format_ == Format::kBF16) {
      inner.data = results;
      down = operand.data;
    } else {
      convert_inner(results, static_cast<int>(inner_size_), groups_, format_, inner, context_);
    }
    multiply(tables.down, inner, inner_size_, hidden_size_, down, Output::kRows);
    combine_rows(down, args_, groups_, context_);
  }

 private:
  void multiply(const GemmMatrix* experts, const OperandRows& operand, std::int64_t cols,
                std::int64_t width, void* to, Output output) {
    Gemm gemm = {};
    set_tokens(gemm, operand, groups_.max_rows, cols, format_);
    gemm.experts = experts;
    gemm.tiles = groups_.tiles;
    gemm.num_tiles = groups_.num_tiles;
    const std::int64_t weight_rows = output == Output::kInner ? 2 * width : width;
    gemm.pairs = static_cast<int>(weight_rows / kClusterRows);
    gemm.outputs[0] = to;
    gemm.widths[0] = static_cast<int>(width);
    launch(gemm, args_.experts.front().gate, output, context_);
  }

  const MoeExpertsArgs& args_;
  const OperandRows* tokens_;  // [T, H] F8, or none
  Context& context_;
  Format format_;
  TokenRows groups_;
  std::int64_t hidden_size_;
  std::int64_t inner_size_;
};

}  // namespace

bool fits_experts(const MoeExpertsArgs& args, const Context& context) {
  return context.has_wgmma && args.activation == Activation::kSilu && !args.experts.empty() &&
         args.hidden_states.shape[0] > few_expert_tokens(format_of(args.experts.front().gate)) &&
         uniform(args.experts);
}

void experts(const MoeExpertsArgs& args, const OperandRows* tokens, Context& context) {
  const std::int64_t num_tokens = args.hidden_states.shape[0];
  for (std::int64_t first = 0; first < num_tokens; first += kPassTokens) {
    const std::int64_t count = std::min(kPassTokens, num_tokens - first);
    const MoeExpertsArgs pass = tokens_of(args, first, count);
    OperandRows rows = tokens == nullptr ? OperandRows{} : *tokens;
    if (tokens != nullptr) {
      rows.data = static_cast<char*>(rows.data) + first * args.hidden_states.shape[1];
      rows.scales += first;
    }
    ExpertsCall(pass, tokens == nullptr ? nullptr : &rows, context).run();
  }
}

bool norms_into_experts(const MoeBlockArgs& args, const LinearArgs& gate, const Context& context) {
  return fits_experts(args.experts, context) &&
         format_of(args.experts.experts.front().gate) != Format::kBF16 &&
         gate.weight.dtype == DType::kF32 && fits_linears({&gate, 1}, context) &&
         can_norm_rows(args.norm);
}

OperandRows norm_into_experts(const MoeBlockArgs& args, const LinearArgs& gate, Context& context) {
  const TensorView& tokens = args.norm.input;
  const OperandRows rows = {
      .data = context.prefill.f8_tokens.get<char>(static_cast<std::size_t>(tokens.num_elements())),
      .scales = context.prefill.f8_scales.get<float>(static_cast<std::size_t>(tokens.shape[0])),
      .for_int4 = format_of(args.experts.experts.front().gate) == Format::kInt4};
  norm_linear_f8(args.norm, gate, rows, context);
  return rows;
}

}  // namespace m2::cuda::sm90
