#include "ops/moe_experts.h"

#include "cuda/context.h"
#include "cuda/dispatch.h"
#include "cuda/expert_groups.cuh"
#include "cuda/launch.cuh"
#include "cuda/plain_experts.h"
#include "cuda/stream_experts.cuh"

namespace m2::cuda {
namespace {

// output += the weighted sum over a token's slots, in the router's order. Grid: x along H, y
// tokens.
__global__ void combine_kernel(const float* down,          // [T * K, H]
                               const float* topk_weights,  // [T, K]
                               int hidden_size, int top_k,
                               float* output) {  // [T, H]
  begin_kernel();
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= hidden_size) return;
  const std::int64_t first_slot = std::int64_t{blockIdx.y} * top_k;
  float sum = 0.0F;
  for (int j = 0; j < top_k; ++j) {
    sum += topk_weights[first_slot + j] * down[(first_slot + j) * hidden_size + i];
  }
  output[std::int64_t{blockIdx.y} * hidden_size + i] += sum;
}

class MoeExpertsCall {
 public:
  MoeExpertsCall(const MoeExpertsArgs& args, Context& context)
      : args_(args),
        context_(context),
        table_(context.expert_tables.find(args.experts, context.stream)),
        num_tokens_(static_cast<int>(args.hidden_states.shape[0])),
        top_k_(static_cast<int>(args.topk_ids.shape[1])),
        hidden_size_(static_cast<int>(args.hidden_states.shape[1])),
        inner_size_(static_cast<int>(args.experts.front().gate.rows)) {
    const auto num_slots = static_cast<std::size_t>(num_tokens_) * top_k_;
    inner_ = context.expert_inner.get<float>(num_slots * inner_size_);
  }

  void run() {
    const ExpertWeights& first = args_.experts.front();
    const bool fits = context_.has_bulk_copies && fits_stream(first.gate) &&
                      fits_stream(first.up) && fits_stream(first.down) &&
                      first.down.dtype == first.gate.dtype;
    for_weight_type(first.gate.dtype, [&](auto tag) {
      if constexpr (tag.value != DType::kF32) {
        if (fits && run_stream<tag.value>()) return;
      }
      run_plain();
    });
    check_launch("moe_experts");
  }

 private:
  // False where a multiprocessor has no room for the activations.
  template <DType kType>
  bool run_stream() {
    const ExpertPlans plans = plan_experts<kType>(args_, context_);
    if (plans.gate_up.tokens == 0 || plans.down.tokens == 0) return false;
    const ExpertGroupsView groups = group_by_expert(args_, plans.tile_tokens, context_);
    const StreamExperts call = {.args = args_, .table = table_, .groups = groups, .inner = inner_};
    stream_gate_up<kType>(call, plans.gate_up, context_);
    if (num_tokens_ == 1 && one_token_down<kType>(call, context_)) return true;
    stream_down<kType>(call, plans.down, down(), context_);
    combine();
    return true;
  }

  void run_plain() {
    const ExpertGroupsView groups = group_by_expert(args_, kPlainTokens, context_);
    plain_gate_up(args_, groups, table_, inner_, context_);
    plain_down(args_, groups, table_, inner_, down(), context_);
    combine();
  }

  void combine() {
    constexpr int kThreads = 256;
    const dim3 blocks(static_cast<unsigned>((hidden_size_ + kThreads - 1) / kThreads),
                      static_cast<unsigned>(num_tokens_));
    launch_kernel(context_, combine_kernel, blocks, kThreads, 0, down(),
                  args_.topk_weights.as<float>(), hidden_size_, top_k_, args_.output.as<float>());
  }

  [[nodiscard]] float* down() {
    return context_.expert_down.get<float>(static_cast<std::size_t>(num_tokens_) * top_k_ *
                                           hidden_size_);
  }

  const MoeExpertsArgs& args_;
  Context& context_;
  const ExpertPointers* table_;
  int num_tokens_;
  int top_k_;
  int hidden_size_;
  int inner_size_;
  float* inner_ = nullptr;
};

}  // namespace

void moe_experts(const MoeExpertsArgs& args, Context& context) {
  check(args);
  if (args.topk_ids.num_elements() == 0) return;
  MoeExpertsCall(args, context).run();
}

}  // namespace m2::cuda
