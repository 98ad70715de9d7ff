#include "ops/moe_route.h"

#include <span>

#include "cpu/context.h"

namespace m2::cpu {

void moe_route(const MoeRouteArgs& args, Context& context) {
  check(args);
  const LinearArgs product = {
      .input = args.hidden_states, .weight = args.gate, .output = args.router_logits};
  linears({&product, 1}, context);
  const std::int64_t num_experts = args.gate.rows;
  constexpr std::int64_t kPasses = 16;  // over the scores, about
  context.lanes.run_short(
      args.hidden_states.shape[0], kPasses * num_experts, [&](std::int64_t token, Buffer& scratch) {
        float* floats = scratch.floats(2 * num_experts);
        const auto size = static_cast<std::size_t>(num_experts);
        choose_experts(args, token, std::span(floats, size), std::span(floats + num_experts, size));
      });
}

}  // namespace m2::cpu
