#include "ops/moe_experts.h"

#include "cuda/combine_experts.h"
#include "cuda/context.h"
#include "cuda/dispatch.h"
#include "cuda/expert_groups.cuh"
#include "cuda/int4_experts.h"
#include "cuda/launch.cuh"
#include "cuda/one_token_down.cuh"
#include "cuda/plain_experts.h"
#include "cuda/stream_experts.cuh"

namespace m2::cuda {
namespace {

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
                      first.down.dtype == first.gate.dtype &&
                      pieces_of_warp(stream_shape(first.gate)) > 0 &&
                      pieces_of_warp(stream_shape(first.down)) > 0;
    for_weight_type(first.gate.dtype, [&](auto tag) {
      if constexpr (tag.value != DType::kF32) {
        if (fits) return run_stream<tag.value>();
      }
      run_plain();
    });
    check_launch("moe_experts");
  }

 private:
  template <DType kType>
  void run_stream() {
    const int tile_tokens = tile_tokens_of<kType>(args_);
    const StreamExperts call = {.args = args_,
                                .table = table_,
                                .groups = group_by_expert(args_, tile_tokens, context_),
                                .tile_tokens = tile_tokens,
                                .inner = inner_};
    stream_gate_up<kType>(call, context_);
    if (num_tokens_ == 1 && one_token_down<kType>(call, context_)) return;
    stream_down<kType>(call, down(), context_);
    combine();
  }

  void run_plain() {
    const ExpertGroupsView groups = group_by_expert(args_, kPlainTokens, context_);
    plain_gate_up(args_, groups, table_, inner_, context_);
    plain_down(args_, groups, table_, inner_, down(), context_);
    combine();
  }

  void combine() { combine_experts(down(), args_, context_); }

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
  if (sm90::fits_experts(args, context)) return sm90::experts(args, context);
  if (has_int4_experts(args)) return int4_experts(args, context);
  MoeExpertsCall(args, context).run();
}

}  // namespace m2::cuda
