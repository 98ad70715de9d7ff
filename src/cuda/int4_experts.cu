#include "cuda/int4_experts.h"

#include <algorithm>

#include "base/error.h"
#include "cuda/combine_experts.h"
#include "cuda/expert_passes.h"
#include "cuda/int4_block.cuh"
#include "cuda/int4_few_tokens.cuh"
#include "cuda/int4_one_token.cuh"
#include "cuda/shared_memory.h"
#include "cuda/unit_counter.h"

namespace m2::cuda {
namespace {

constexpr int kWarps = 12;
constexpr int kStageUnits = 6;
// A block sorts them; more are done in several passes. 256 at a time read weights twice where an
// expert has more tokens than fit a block (H200: 1,147 us, 128 take 521).
constexpr std::int64_t kPassTokens = 128;

constexpr int kUnroll = 3;

template <int kGroup>
using Block = Int4Block<kGroup, kWarps, kStageUnits, kUnroll>;

template <int kGroup>
__global__ void __launch_bounds__(32 * kWarps, 1) int4_experts_kernel(const Int4Experts args) {
  extern __shared__ uint4 shared[];
  Block<kGroup>(reinterpret_cast<char*>(shared), args).run();
}

template <int kGroup>
__global__ void __launch_bounds__(Int4OneToken<kGroup>::kThreads, 1)
    int4_one_token_kernel(const Int4Experts args) {
  extern __shared__ uint4 shared[];
  Int4OneToken<kGroup>(reinterpret_cast<char*>(shared), args).run();
}

template <int kGroup>
__global__ void __launch_bounds__(Int4FewTokens<kGroup>::kThreads, 1)
    int4_few_tokens_kernel(const Int4Experts args) {
  extern __shared__ uint4 shared[];
  Int4FewTokens<kGroup>(reinterpret_cast<char*>(shared), args).run();
}

Int4Shape shape_of(const WeightView& weight) {
  return {static_cast<int>(weight.rows), static_cast<int>(weight.cols)};
}

// The most slots of a ring that leave room for the rest: num_bytes(plan).
template <typename NumBytes>
Int4Plan plan_with(int sets, int most_slots, const Context& context, const NumBytes& num_bytes) {
  constexpr int kFewestSlots = 2;
  constexpr int kSpare = 1024;  // static shared memory and what the driver takes
  for (int slots = most_slots; slots >= kFewestSlots; --slots) {
    Int4Plan plan = {.sets = sets, .slots = slots};
    plan.num_bytes = num_bytes(plan);
    if (plan.num_bytes <= context.shared_bytes - kSpare) return plan;
  }
  return {};
}

template <typename Kernel>
void start(Kernel kernel, int threads, const Int4Experts& args, const Context& context) {
  allow_shared_memory(kernel, args.plan.num_bytes);
  launch_kernel(context, kernel, static_cast<unsigned>(context.num_sms), threads,
                args.plan.num_bytes, args);
}

// Int4OneToken or Int4FewTokens, which add to the output themselves. False where the tokens, the
// choices or a stage do not fit.
template <typename Kernel>
bool add_experts(const MoeExpertsArgs& call, Int4Experts args, Context& context,
                 void (*kernel)(Int4Experts)) {
  constexpr int kInFlight = 2;  // stages: see int4_one_token.cuh
  if (!Kernel::takes(args)) return false;
  const int num_slots = args.sizes.num_slots;
  const int row_tiles = args.down.rows / kUnitRows;
  args.sizes.tokens_per_tile = kSetTokens;
  args.output = call.output.as<float>();
  int tiles = std::min(Kernel::kStageTiles, (row_tiles + context.num_sms - 1) / context.num_sms);
  for (; tiles > 0 && args.plan.slots == 0; --tiles) {
    args.plan.down_tiles = tiles;
    const Int4Plan fitted = plan_with(1, Kernel::kMostSlots, context, [&](const Int4Plan& plan) {
      args.plan.entries = std::min(kSetTokens * plan.slots, num_slots);
      return Kernel::num_bytes(args, plan, context.num_sms);
    });
    args.plan.slots = fitted.slots;
    args.plan.num_bytes = fitted.num_bytes;
  }
  if (args.plan.slots == 0) return false;
  args.plan.given = Kernel::kGiven;
  args.plan.in_flight = std::min(kInFlight, args.plan.slots);
  const MarkedValues inner = marked_values(
      static_cast<std::size_t>(num_slots) * static_cast<std::size_t>(args.gate.rows), context);
  args.inner = inner.values;
  args.round = inner.round;
  start(kernel, Kernel::kThreads, args, context);
  return true;
}

// False where the tokens of a tile do not fit beside the weights.
template <int kGroup>
bool several_tokens(const MoeExpertsArgs& call, Int4Experts args, Context& context) {
  for (int sets = 2; sets > 0 && args.plan.slots == 0; --sets) {
    args.sizes.tokens_per_tile = sets * kSetTokens;
    args.plan =
        plan_with(sets, Block<kGroup>::Stream::kMaxSlots, context,
                  [&](const Int4Plan& plan) { return Block<kGroup>::num_bytes(args, plan); });
  }
  if (args.plan.slots == 0) return false;
  const auto num_slots = static_cast<std::size_t>(args.sizes.num_slots);
  args.output =
      context.expert_down.get<float>(num_slots * static_cast<std::size_t>(args.down.rows));
  start(int4_experts_kernel<kGroup>, 32 * kWarps, args, context);
  combine_experts(args.output, call, context);
  return true;
}

template <int kGroup>
bool run(const MoeExpertsArgs& call, const RouterScores* scores, Context& context) {
  const auto num_slots = static_cast<std::size_t>(call.topk_ids.num_elements());
  const Int4Shape gate = shape_of(call.experts.front().gate);
  const Int4Experts args = {
      .hidden_states = call.hidden_states.as<float>(),
      .experts = context.expert_tables.find(call.experts, context.stream),
      .topk_ids = call.topk_ids.as<std::int32_t>(),
      .topk_weights = call.topk_weights.as<float>(),
      .scores = scores == nullptr ? RouterScores{} : *scores,
      .sizes = {.num_experts = static_cast<int>(call.experts.size()),
                .num_slots = static_cast<int>(num_slots),
                .tokens_per_tile = 0},
      .gate = gate,
      .down = shape_of(call.experts.front().down),
      .activation = call.activation,
      .inner = context.expert_inner.get<float>(num_slots * static_cast<std::size_t>(gate.rows)),
      .output = nullptr,
      .top_k = static_cast<int>(call.topk_ids.shape[1]),
      .counters = {next_counter(context), next_counter(context)},
      .round = nullptr,
      .plan = {}};
  const std::int64_t num_tokens = call.hidden_states.shape[0];
  if (num_tokens == 1 &&
      add_experts<Int4OneToken<kGroup>>(call, args, context, int4_one_token_kernel<kGroup>)) {
    return true;
  }
  if (num_tokens > 1 &&
      add_experts<Int4FewTokens<kGroup>>(call, args, context, int4_few_tokens_kernel<kGroup>)) {
    return true;
  }
  return several_tokens<kGroup>(call, args, context);
}

}  // namespace

bool has_int4_experts(const MoeExpertsArgs& args) {
  return !args.experts.empty() && is_int4(args.experts.front().gate);
}

void int4_experts(const MoeExpertsArgs& args, const RouterScores* scores, Context& context) {
  M2_REQUIRE(ErrorCode::kUnsupported, context.has_bulk_copies,
             "cuda: moe_experts: int4 weights need a device of compute capability 9 or later");
  for_int4_group(args.experts.front().gate, [&](auto group) {
    const auto run_one = [&](const MoeExpertsArgs& pass, const RouterScores* of_pass) {
      return run<group()>(pass, of_pass, context);
    };
    const bool fits = run_passes(args, scores, kPassTokens, run_one);
    M2_REQUIRE(ErrorCode::kUnsupported, fits, "cuda: moe_experts: rows of ",
               std::max(args.experts.front().gate.cols, args.experts.front().down.cols),
               " activations do not fit a multiprocessor beside int4 weights");
  });
  check_launch("moe_experts: int4");
}

}  // namespace m2::cuda
