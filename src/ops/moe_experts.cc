#include "ops/moe_experts.h"

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "ops/contract.h"
#include "ops/linear.h"

namespace m2 {
namespace {

void check_expert(const ExpertWeights& expert, std::int64_t hidden_size, std::int64_t index) {
  check_weight(expert.gate, "moe_experts: gate");
  check_weight(expert.up, "moe_experts: up");
  check_weight(expert.down, "moe_experts: down");
  const std::int64_t inner = expert.gate.rows;
  const bool match = expert.gate.cols == hidden_size && expert.up.rows == inner &&
                     expert.up.cols == hidden_size && expert.down.rows == hidden_size &&
                     expert.down.cols == inner;
  M2_CHECK(match, "moe_experts: expert ", index, ": gate [", inner, ", ", expert.gate.cols,
           "], up [", expert.up.rows, ", ", expert.up.cols, "], down [", expert.down.rows, ", ",
           expert.down.cols, "] do not match each other and hidden_size ", hidden_size);
}

}  // namespace

void check(const MoeExpertsArgs& args) {
  check_tensor("moe_experts", "hidden_states", args.hidden_states, DType::kF32, 2);
  const Shape& hidden = args.hidden_states.shape;
  check_shape("moe_experts", "output", args.output, DType::kF32, hidden, "hidden_states", hidden);
  check_disjoint("moe_experts", "output", args.output, "hidden_states", args.hidden_states);
  check_tensor("moe_experts", "topk_ids", args.topk_ids, DType::kI32, 2);
  const Shape& topk = args.topk_ids.shape;
  M2_CHECK(topk[0] == hidden[0], "moe_experts: topk_ids ", topk, " does not match hidden_states ",
           hidden);
  check_shape("moe_experts", "topk_weights", args.topk_weights, DType::kF32, topk, "topk_ids",
              topk);
  M2_CHECK(topk[1] == 0 || !args.experts.empty(), "moe_experts: topk_ids ", topk,
           " but no experts");
  for (std::size_t e = 0; e < args.experts.size(); ++e) {
    check_expert(args.experts[e], hidden[1], static_cast<std::int64_t>(e));
    M2_CHECK(args.experts[e].gate.rows == args.experts[0].gate.rows, "moe_experts: experts 0 and ",
             e, " differ in width");
  }
}

namespace reference {
namespace {

// down(act(gate x) * up x) of one expert for one token.
void expert_forward(const ExpertWeights& expert, Activation activation, const TensorView& input,
                    const TensorView& output) {
  const Tensor gate(DType::kF32, {1, expert.gate.rows});
  const Tensor up(DType::kF32, {1, expert.up.rows});
  linear({.input = input, .weight = expert.gate, .output = gate.view()});
  linear({.input = input, .weight = expert.up, .output = up.view()});
  for (std::int64_t i = 0; i < expert.gate.rows; ++i) {
    gate.as<float>()[i] = activate(activation, gate.as<float>()[i]) * up.as<float>()[i];
  }
  linear({.input = gate.view(), .weight = expert.down, .output = output});
}

}  // namespace

void moe_experts(const MoeExpertsArgs& args) {
  check(args);
  const std::int64_t hidden_size = args.hidden_states.shape[1];
  const std::int64_t top_k = args.topk_ids.shape[1];
  const Tensor down(DType::kF32, {1, hidden_size});
  std::vector<float> sum(static_cast<std::size_t>(hidden_size));
  for (std::int64_t token = 0; token < args.hidden_states.shape[0]; ++token) {
    const TensorView input{
        args.hidden_states.as<float>() + token * hidden_size, DType::kF32, {1, hidden_size}};
    std::fill(sum.begin(), sum.end(), 0.0F);
    for (std::int64_t j = token * top_k; j < (token + 1) * top_k; ++j) {
      const auto id = static_cast<std::size_t>(args.topk_ids.as<std::int32_t>()[j]);
      M2_DCHECK(id < args.experts.size(), "moe_experts: expert ", id, " is not one of ",
                args.experts.size());
      expert_forward(args.experts[id], args.activation, input, down.view());
      const float weight = args.topk_weights.as<float>()[j];
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += weight * down.as<float>()[i];
    }
    float* output = args.output.as<float>() + token * hidden_size;
    for (std::size_t i = 0; i < sum.size(); ++i) output[i] += sum[i];
  }
}

}  // namespace reference
}  // namespace m2
